package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/sirupsen/logrus"
)

// WatcherConfig says what a Watcher watches.
type WatcherConfig struct {
	Path      string
	Overrides Overrides // the same as for the Load that made Current
	Current   *Config   // what the owner runs with
	Log       logrus.FieldLogger

	// Settle is how long a directory must be quiet before the file is read; 0: 100 ms.
	Settle time.Duration
	// Poll is how often the file is read without being told to; 0: 10 s. Notifications only make it faster:
	// they do not reach across links and some file systems, and a node may have run out of them.
	Poll time.Duration
}

// Update is a new state of the file.
type Update struct {
	Config *Config // valid; nil with an error
	Err    error   // Errors, or why the file can't be read; the owner keeps what it has
}

// Watcher tells its owner when a file has become another configuration, or a broken one.
//
// It follows files replaced by an editor and the links that Kubernetes swaps in a ConfigMap's volume. What
// changes only in wording (comments, order of peers' keys, flags' values in the file) is not an update.
type Watcher struct {
	cfg     WatcherConfig
	updates chan Update
	poke    chan struct{}
}

// NewWatcher makes a Watcher, which does nothing before Run.
func NewWatcher(cfg WatcherConfig) *Watcher {
	if cfg.Settle == 0 {
		cfg.Settle = 100 * time.Millisecond
	}
	if cfg.Poll == 0 {
		cfg.Poll = 10 * time.Second
	}
	return &Watcher{cfg: cfg, updates: make(chan Update), poke: make(chan struct{}, 1)}
}

// Updates is where Run delivers. Only the latest state is kept for an owner that is busy, and a state equal
// to the one delivered before is not delivered again. The channel is never closed.
func (w *Watcher) Updates() <-chan Update { return w.updates }

// Reload has the file read now, for SIGHUP. It is answered by an Update even when nothing changed. It never
// blocks; several calls may get one answer.
func (w *Watcher) Reload() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// Run watches until the context ends and then returns nil. It must be called once.
func (w *Watcher) Run(ctx context.Context) error {
	notes := w.subscribe()
	defer notes.close()
	poll := time.NewTicker(w.cfg.Poll)
	defer poll.Stop()
	file := observed{latest: Update{Config: w.cfg.Current}}

	quiet := time.NewTimer(0) // at once: the file may have changed since the owner read it
	defer quiet.Stop()
	var noisySince time.Time
	for {
		var updates chan Update // nil, which blocks, while there is nothing to say
		if file.untold {
			updates = w.updates
		}
		select {
		case <-ctx.Done():
			return nil
		case updates <- file.latest:
			file.untold = false
		case <-notes.C:
			if noisySince.IsZero() {
				noisySince = time.Now()
			}
			if time.Since(noisySince) < 10*w.cfg.Settle { // a directory that is never quiet must not hold us up
				quiet.Reset(w.cfg.Settle)
			}
		case <-quiet.C:
			noisySince = time.Time{}
			w.look(&file, false)
		case <-poll.C:
			notes.renew()
			if !file.same(readFile(w.cfg.Path)) {
				quiet.Reset(w.cfg.Settle) // whoever writes it may not be through
			}
		case <-w.poke:
			w.look(&file, true)
		}
	}
}

// observed is what is known of the file.
type observed struct {
	text   []byte // at the last look, if it could be read
	err    error  // why it could not
	looked bool
	latest Update // what was made of it, or what the owner has
	untold bool   // latest waits to be delivered
}

func (o *observed) same(text []byte, err error) bool {
	return o.looked && bytes.Equal(text, o.text) && fmt.Sprint(err) == fmt.Sprint(o.err)
}

// look reads the file and decides whether that is news.
func (w *Watcher) look(file *observed, asked bool) {
	text, err := readFile(w.cfg.Path)
	if file.same(text, err) && !asked {
		return
	}
	file.text, file.err, file.looked = text, err, true
	next := Update{Err: err}
	if err == nil {
		next.Config, next.Err = Parse(bytes.NewReader(text), w.cfg.Path, w.cfg.Overrides)
	}
	if asked || !next.equal(file.latest) {
		file.latest, file.untold = next, true
	}
}

func (u Update) equal(other Update) bool {
	return fmt.Sprint(u.Err) == fmt.Sprint(other.Err) && reflect.DeepEqual(u.Config, other.Config)
}

// readFile reads no more than Parse looks at.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return text, nil
}

// notes are the notifications about the directory of a file. The directory and not the file is watched,
// since a file that is replaced takes its watch with it.
type notes struct {
	C       <-chan struct{} // something happened; never closed
	watcher *fsnotify.Watcher
	dir     string
	log     logrus.FieldLogger
	lost    bool
}

func (w *Watcher) subscribe() *notes {
	n := &notes{dir: filepath.Dir(w.cfg.Path), log: w.cfg.Log}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		n.log.WithError(err).Warnf("can't watch %s: it is read every %s instead", n.dir, w.cfg.Poll)
		return n
	}
	n.watcher = watcher
	n.renew()
	woken := make(chan struct{}, 1)
	n.C = woken
	go forward(watcher, woken)
	return n
}

// forward turns events into wake-ups until the watcher is closed. Which file they are about does not matter,
// and lost ones don't either: whoever is woken reads the file itself.
func forward(watcher *fsnotify.Watcher, woken chan<- struct{}) {
	events, failures := watcher.Events, watcher.Errors
	for events != nil || failures != nil {
		select {
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			if e.Op == fsnotify.Chmod {
				continue
			}
		case _, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
		}
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

// renew watches the directory, again if it was replaced.
func (n *notes) renew() {
	if n.watcher == nil {
		return
	}
	err := n.watcher.Add(n.dir)
	if err != nil && !n.lost && !errors.Is(err, fsnotify.ErrClosed) {
		n.log.WithError(err).Warnf("can't watch %s for now", n.dir)
	}
	n.lost = err != nil
}

func (n *notes) close() {
	if n.watcher == nil {
		return
	}
	if err := n.watcher.Close(); err != nil {
		n.log.WithError(err).Debug("close watcher")
	}
}
