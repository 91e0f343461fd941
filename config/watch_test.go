package config_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/underlayd/underlayd/config"
)

const deadline = time.Minute

// watched is a file under watch.
type watched struct {
	t       *testing.T
	path    string
	watcher *config.Watcher
	log     *logtest.Hook
}

// watch runs a Watcher for as long as the test, and checks that nothing of it is left. It polls only if asked to.
func watch(t *testing.T, path string, poll time.Duration) *watched {
	t.Helper()
	current, err := config.Load(path, onNode())
	require.NoError(t, err)
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	w := &watched{t: t, path: path, log: hook, watcher: config.NewWatcher(config.WatcherConfig{
		Path: path, Overrides: onNode(), Current: current, Log: log, Settle: 20 * time.Millisecond, Poll: poll,
	})}
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.watcher.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended, "nil on cancel")
		goleak.VerifyNone(t, before)
	})
	w.reload() // from here on the directory is watched
	w.config()
	return w
}

func (w *watched) reload() { w.watcher.Reload() }

func (w *watched) update() config.Update {
	w.t.Helper()
	select {
	case u := <-w.watcher.Updates():
		return u
	case <-time.After(deadline):
		require.FailNow(w.t, "no update")
		return config.Update{}
	}
}

func (w *watched) config() *config.Config {
	w.t.Helper()
	u := w.update()
	require.NoError(w.t, u.Err)
	return u.Config
}

func (w *watched) failure() error {
	w.t.Helper()
	u := w.update()
	require.Error(w.t, u.Err)
	require.Nil(w.t, u.Config)
	return u.Err
}

// quiet checks that the file as it is now is no news: what comes next is only the answer to a poke.
func (w *watched) quiet() {
	w.t.Helper()
	select {
	case u := <-w.watcher.Updates():
		require.FailNow(w.t, "an update that is no news", "%+v", u)
	case <-time.After(10 * 20 * time.Millisecond):
	}
}

// settles waits for a table, past the states in between that a change in several steps may show.
func (w *watched) settles(table int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		select {
		case u := <-w.watcher.Updates():
			return u.Err == nil && u.Config.Kernel.Table == table
		default:
			return false
		}
	}, deadline, 10*time.Millisecond)
}

// write replaces a file at once: no reader sees half of it.
func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// table is a valid file, told from others by its routing table.
func table(number string) string { return minimal + "kernel: {table: " + number + "}\n" }

const noPoll = time.Hour

func start(t *testing.T) *watched {
	path := filepath.Join(t.TempDir(), "underlayd.yaml")
	write(t, path, table("1"))
	return watch(t, path, noPoll)
}

func TestWatcherFollowsAFile(t *testing.T) {
	t.Run("delivers a file that was written over", func(t *testing.T) {
		w := start(t)
		require.NoError(t, os.WriteFile(w.path, []byte(table("2")), 0o600))
		w.settles(2)
	})
	t.Run("delivers a file that an editor renamed into place", func(t *testing.T) {
		w := start(t)
		require.NoError(t, os.Rename(w.path, w.path+"~"))
		write(t, w.path, table("2"))
		w.settles(2)
		write(t, w.path, table("3"))
		require.Equal(t, 3, w.config().Kernel.Table, "the new file is watched like the old one")
	})
	t.Run("reports a broken file once, and the good one after it", func(t *testing.T) {
		w := start(t)
		write(t, w.path, table("255"))
		require.ErrorAs(t, w.failure(), new(config.Errors))
		write(t, w.path, table("255")+"# still broken\n")
		w.quiet()
		write(t, w.path, table("1"))
		require.Equal(t, 1, w.config().Kernel.Table, "even though it is what the owner runs with")
	})
	t.Run("reports a file that is gone, and when it is back", func(t *testing.T) {
		w := start(t)
		require.NoError(t, os.Remove(w.path))
		require.ErrorIs(t, w.failure(), os.ErrNotExist)
		write(t, w.path, table("1"))
		require.Equal(t, 1, w.config().Kernel.Table)
	})
}

func TestWatcherSaysOnlyWhatIsNews(t *testing.T) {
	t.Run("says nothing when only the wording changed", func(t *testing.T) {
		w := start(t)
		write(t, w.path, "# a comment\n"+table("1"))
		write(t, filepath.Join(filepath.Dir(w.path), "other.yaml"), "x")
		w.quiet()
	})
	t.Run("answers a poke even when nothing changed", func(t *testing.T) {
		w := start(t)
		w.reload()
		require.Equal(t, 1, w.config().Kernel.Table)
		w.quiet()
	})
	t.Run("keeps only the latest for an owner that is busy", func(t *testing.T) {
		w := start(t)
		for _, number := range []string{"2", "3"} {
			write(t, w.path, table(number))
			w.reload()
		}
		w.settles(3)
		w.quiet()
	})
}

func TestWatcherMissesNothing(t *testing.T) {
	t.Run("notices what happens beyond a link, where no notification comes from", func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "real.yaml")
		write(t, target, table("1"))
		path := filepath.Join(t.TempDir(), "underlayd.yaml")
		require.NoError(t, os.Symlink(target, path))
		w := watch(t, path, 20*time.Millisecond)
		write(t, target, table("2"))
		require.Equal(t, 2, w.config().Kernel.Table)
	})
	t.Run("watches a directory again that was replaced", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "etc")
		require.NoError(t, os.Mkdir(dir, 0o700))
		write(t, filepath.Join(dir, "underlayd.yaml"), table("1"))
		w := watch(t, filepath.Join(dir, "underlayd.yaml"), 20*time.Millisecond)
		require.NoError(t, os.RemoveAll(dir))
		require.ErrorIs(t, w.failure(), os.ErrNotExist)
		require.NoError(t, os.Mkdir(dir, 0o700))
		write(t, w.path, table("2"))
		require.Equal(t, 2, w.config().Kernel.Table)
	})
	t.Run("does not wait for ever in a directory that is never quiet", func(t *testing.T) {
		w := start(t)
		noise := filepath.Join(filepath.Dir(w.path), "noise")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for ctx.Err() == nil {
				_ = os.WriteFile(noise, nil, 0o600)
			}
		}()
		write(t, w.path, table("2"))
		require.Equal(t, 2, w.config().Kernel.Table)
		cancel()
		<-ended
	})
	t.Run("sees what changed between the owner's reading and its own", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "underlayd.yaml")
		write(t, path, table("1"))
		current, err := config.Load(path, onNode())
		require.NoError(t, err)
		write(t, path, table("2"))
		log, _ := logtest.NewNullLogger()
		w := config.NewWatcher(config.WatcherConfig{Path: path, Overrides: onNode(), Current: current, Log: log, Poll: noPoll})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		u := <-w.Updates()
		require.Equal(t, 2, u.Config.Kernel.Table)
		cancel()
		require.NoError(t, <-ended)
	})
}

// configMap lays a file out as the kubelet does: the name is a link into ..data, which is a link to a
// directory that is replaced as a whole.
type configMap struct {
	t   *testing.T
	dir string
}

func (m configMap) swap(version, text string) {
	m.t.Helper()
	data, next, old := filepath.Join(m.dir, "..data"), filepath.Join(m.dir, "..data_tmp"), ""
	if target, err := os.Readlink(data); err == nil {
		old = filepath.Join(m.dir, target)
	}
	require.NoError(m.t, os.Mkdir(filepath.Join(m.dir, version), 0o700))
	write(m.t, filepath.Join(m.dir, version, "underlayd.yaml"), text)
	require.NoError(m.t, os.Symlink(version, next))
	require.NoError(m.t, os.Rename(next, data))
	if old != "" {
		require.NoError(m.t, os.RemoveAll(old))
	}
}

func TestWatcherFollowsAConfigMap(t *testing.T) {
	m := configMap{t: t, dir: t.TempDir()}
	m.swap("..2026_11_20_01", table("1"))
	path := filepath.Join(m.dir, "underlayd.yaml")
	require.NoError(t, os.Symlink(filepath.Join("..data", "underlayd.yaml"), path))
	w := watch(t, path, noPoll)
	m.swap("..2026_11_20_02", table("2"))
	require.Equal(t, 2, w.config().Kernel.Table)
	m.swap("..2026_11_20_03", "kernel: [\n")
	require.ErrorContains(t, w.failure(), "is not YAML")
	m.swap("..2026_11_20_04", table("3"))
	require.Equal(t, 3, w.config().Kernel.Table)
}
