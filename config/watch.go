package config

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// WatcherConfig says what a Watcher watches.
type WatcherConfig struct {
	Path      string
	Overrides Overrides // the same as for the Load that made Current
	Current   *Config   // what the owner runs with
	Text      []byte    // of the file, of which Current was made; for Begin alone
	Log       logrus.FieldLogger

	// Settle is how long a directory must be quiet before the file is read; 0: 100 ms.
	Settle time.Duration
	// Poll is how often the file is read without being told to; 0: 10 s. Notifications only make it faster:
	// they do not reach across links and some file systems, and a node may have run out of them.
	Poll time.Duration
}

// Update is a new state of the file and of the Node's annotations.
type Update struct {
	// Config is valid. With an error it is nil, and the owner keeps what it has; unless the annotations alone are wrong: then
	// it is what the file says with the last ones that were not.
	Config *Config
	Err    error // Errors, or why the file can't be read
	// Annotations are the last ones that were not wrong; nil: there were none yet. Not to be changed.
	Annotations map[string]string
}

// Watcher tells its owner when a file has become another configuration, or a broken one.
//
// On a Node whose annotations are heeded both make one configuration: see Annotate.
//
// It follows files replaced by an editor and the links that Kubernetes swaps in a ConfigMap's volume. What
// changes only in wording (comments, order of peers' keys, flags' values in the file) is not an update.
type Watcher struct {
	cfg     WatcherConfig
	updates chan Update
	poke    chan struct{}
	told    chan struct{} // like poke: there are other annotations
	start   *Update       // what Begin returned; nil: it was not called
	good    map[string]string

	mu   sync.Mutex // guards seen
	seen map[string]string
}

// NewWatcher makes a Watcher, which does nothing before Run.
func NewWatcher(cfg WatcherConfig) *Watcher {
	if cfg.Settle == 0 {
		cfg.Settle = 100 * time.Millisecond
	}
	if cfg.Poll == 0 {
		cfg.Poll = 10 * time.Second
	}
	return &Watcher{cfg: cfg, updates: make(chan Update), poke: make(chan struct{}, 1), told: make(chan struct{}, 1)}
}

// Begin puts the annotations of the Node on top of Current, for an owner that has one: those seen, nil as long as nothing
// is known of them, or else the last ones of an earlier run. The result has a Config in any case. It is called before Run,
// or never.
func (w *Watcher) Begin(seen, last map[string]string) Update {
	w.good = last
	w.annotate(seen)
	u := w.annotated(w.cfg.Text)
	if u.Config == nil { // those of the last run don't fit to the file
		u.Config = w.cfg.Current
	}
	w.start = &u
	return u
}

// Annotate says which annotations the Node has now. An Update follows if that changes anything, or breaks a rule. It never
// blocks.
func (w *Watcher) Annotate(seen map[string]string) {
	w.annotate(seen)
	select {
	case w.told <- struct{}{}:
	default:
	}
}

func (w *Watcher) annotate(seen map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = seen
}

// annotated is what a text says together with the annotations. A mistake in them neither holds up a change of the file nor
// takes anything back.
func (w *Watcher) annotated(text []byte) Update {
	w.mu.Lock()
	seen := w.seen
	w.mu.Unlock()
	if seen == nil {
		seen = w.good
	}
	c, err := ParseAnnotated(text, w.cfg.Path, w.cfg.Overrides, seen)
	if err == nil {
		w.good = seen
		return Update{Config: c, Annotations: seen}
	}
	u := Update{Err: err, Annotations: w.good}
	if c, err := ParseAnnotated(text, w.cfg.Path, w.cfg.Overrides, w.good); err == nil {
		u.Config = c
	}
	return u
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
	notes := Notify(w.cfg.Log, w.cfg.Poll, filepath.Dir(w.cfg.Path))
	defer notes.Close()
	poll := time.NewTicker(w.cfg.Poll)
	defer poll.Stop()
	file := observed{latest: Update{Config: w.cfg.Current}}
	if w.start != nil {
		file.latest = *w.start
	}

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
			notes.Renew()
			if !file.same(readFile(w.cfg.Path)) {
				quiet.Reset(w.cfg.Settle) // whoever writes it may not be through
			}
		case <-w.poke:
			w.look(&file, true)
		case <-w.told:
			file.looked = false
			w.look(&file, false)
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
	next := Update{Err: err, Annotations: w.good}
	if err == nil {
		next = w.annotated(text)
	}
	if asked || !next.equal(file.latest) {
		file.latest, file.untold = next, true
	}
}

func (u Update) equal(other Update) bool {
	return fmt.Sprint(u.Err) == fmt.Sprint(other.Err) && reflect.DeepEqual(u.Config, other.Config) && maps.Equal(u.Annotations, other.Annotations)
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
