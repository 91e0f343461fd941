package config

import (
	"errors"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/sirupsen/logrus"
)

// Notes are notifications about the directories of files. The directory and not the file is watched, since a file that
// is replaced takes its watch with it. They only make things faster: they do not reach across links and some file
// systems, and a node may have run out of them. So whoever uses them reads the files now and then without being told.
type Notes struct {
	C       <-chan struct{} // something happened; never closed
	woken   chan struct{}   // the same
	watcher *fsnotify.Watcher
	tried   bool // to get one
	dirs    []string
	poll    time.Duration
	log     logrus.FieldLogger
	lost    map[string]bool
}

// Notify begins to watch directories. Without notifications C says nothing, and the log why, and that the caller reads the
// files every poll, which it does in any case. As long as there is nothing to watch it takes none of the few watches that
// a node has (fs.inotify.max_user_instances).
func Notify(log logrus.FieldLogger, poll time.Duration, dirs ...string) *Notes {
	woken := make(chan struct{}, 1)
	n := &Notes{C: woken, woken: woken, log: log, poll: poll, lost: make(map[string]bool)}
	n.Follow(dirs...)
	return n
}

// open gets a watcher for the first directory.
func (n *Notes) open() {
	n.tried = true
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		n.log.WithError(err).WithField("every", n.poll).Warn("no notifications of changed files: they are read from time to time instead")
		return
	}
	n.watcher = watcher
	go forward(watcher, n.woken)
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

// Follow makes the watched directories these. Notes belong to one goroutine, which calls it.
func (n *Notes) Follow(dirs ...string) {
	if len(dirs) > 0 && !n.tried {
		n.open()
	}
	if n.watcher == nil {
		return
	}
	kept := make(map[string]bool, len(dirs))
	for _, dir := range dirs {
		kept[dir] = true
	}
	for _, dir := range n.dirs {
		if !kept[dir] {
			_ = n.watcher.Remove(dir) // it may be gone itself
			delete(n.lost, dir)
		}
	}
	n.dirs = dirs
	n.Renew()
}

// Renew watches the directories again, for those that were replaced.
func (n *Notes) Renew() {
	if n.watcher == nil {
		return
	}
	for _, dir := range n.dirs {
		err := n.watcher.Add(dir)
		if err != nil && !n.lost[dir] && !errors.Is(err, fsnotify.ErrClosed) {
			n.log.WithError(err).WithFields(logrus.Fields{"folder": dir, "every": n.poll}).Warn("can't watch a folder: its files are read from time to time until it can be watched")
		}
		n.lost[dir] = err != nil
	}
}

// Close ends the watch.
func (n *Notes) Close() {
	if n.watcher == nil {
		return
	}
	if err := n.watcher.Close(); err != nil {
		n.log.WithError(err).Debug("close watcher")
	}
}
