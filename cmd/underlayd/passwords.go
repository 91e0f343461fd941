package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
)

// passwordPoll is how often the files of passwords are read without being told to.
const passwordPoll = 5 * time.Second

// passwords reads the files in which peers' passwords are, and follows them. A file that can't be used keeps the
// password it held before in force; without one the peer must not run.
type passwords struct {
	log     logrus.FieldLogger
	changed chan struct{} // capacity one: "look again"
	follow  chan struct{} // likewise, for Run: other files are wanted

	mu    sync.Mutex // guards known
	known map[string]password

	secrets secretSource          // nil: there is no Kubernetes API
	held    map[string]bgp.Secret // of Secrets, as last read, by passwordID; belongs to the caller of of
}

// password is what is known of a file or of a Secret.
type password struct {
	key     bgp.Secret // as last read; zero if it never could be
	problem string     // why it can't be read now; empty if it can
	unread  bool       // the API has not said yet what there is
}

func newPasswords(log logrus.FieldLogger) *passwords {
	return &passwords{
		log: log, changed: make(chan struct{}, 1), follow: make(chan struct{}, 1), known: map[string]password{},
	}
}

// of returns what the files and the Secrets of a configuration hold, by passwordID. Files that are new to it are read, others
// are forgotten.
func (p *passwords) of(c *config.Config) map[string]password {
	wanted := p.filesOf(c)
	p.secretsOf(c, wanted)
	return wanted
}

func (p *passwords) filesOf(c *config.Config) map[string]password {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := make(map[string]password)
	other := false
	for _, peer := range c.BGP.Peers {
		path := peer.PasswordFile
		if path == "" {
			continue
		}
		known, ok := p.known[path]
		if !ok {
			known, other = p.read(path, known), true
		}
		wanted[path] = known
	}
	if other || len(wanted) != len(p.known) {
		p.known = maps.Clone(wanted)
		poke(p.follow)
	}
	return wanted
}

// read reads a file and says in the log when that has become a problem, or none any more.
func (p *passwords) read(path string, before password) password {
	key, err := readPassword(path)
	if err != nil {
		now := password{key: before.key, problem: err.Error()}
		if now != before {
			p.log.WithField("kept", !now.key.IsZero()).Error(now.problem)
		}
		return now
	}
	if before.problem != "" || before.key != key && !before.key.IsZero() {
		p.log.WithField("file", path).Info("password read")
	}
	return password{key: key}
}

// Run follows the files until ctx is cancelled.
func (p *passwords) Run(ctx context.Context) error {
	notes := config.Notify(p.log, passwordPoll)
	defer notes.Close()
	poll := time.NewTicker(passwordPoll)
	defer poll.Stop()
	var secrets <-chan struct{}
	if p.secrets != nil {
		secrets = p.secrets.Changed()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-secrets:
			poke(p.changed)
			continue
		case <-p.follow:
			notes.Follow(p.directories()...)
		case <-notes.C:
		case <-poll.C:
			notes.Renew()
		}
		p.look()
	}
}

// look reads all files again.
func (p *passwords) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, before := range p.known {
		if now := p.read(path, before); now != before {
			p.known[path] = now
			poke(p.changed)
		}
	}
}

func (p *passwords) directories() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirs := map[string]struct{}{}
	for path := range p.known {
		dirs[filepath.Dir(path)] = struct{}{}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// poke never blocks: one that waits already tells as much.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// readPassword reads a password from a file that nobody else can read or write. What is wrong with it is said with its
// name and the rule, and never with what it holds.
func readPassword(path string) (bgp.Secret, error) {
	raw, err := readKeyFile("password file", path)
	if err != nil {
		return bgp.Secret{}, err
	}
	key, err := bgp.ParseSecret(raw)
	clear(raw)
	if err != nil {
		return bgp.Secret{}, fmt.Errorf("password file %s: %w", path, err)
	}
	return key, nil
}

// readKeyFile reads what a file holds that nobody else can read or write; what it is, is for errors.
func readKeyFile(what, path string) ([]byte, error) {
	// It must not hang on a pipe, and nothing else than a regular file is read.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := checkPasswordFile(path, info); err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, path, err)
	}
	const enough = 4096
	raw, err := io.ReadAll(io.LimitReader(f, enough))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return raw, nil
}

// checkPasswordFile applies ssh's rule for private keys: a regular file of root or of the daemon's user, with no
// permission for group and others. In a volume of Kubernetes, known by its link into ..data, the kubelet decides about
// reading (0644 unless defaultMode says otherwise, and the directory is out of reach for other pods); nobody else may
// write there either.
func checkPasswordFile(path string, info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("must be a regular file")
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to user %d: it must belong to root", stat.Uid)
	}
	mode := info.Mode().Perm()
	if inKubernetesVolume(path) {
		if mode&0o022 != 0 {
			return fmt.Errorf("has mode %04o: nobody else may write to it", mode)
		}
		return nil
	}
	if mode&0o077 != 0 {
		return fmt.Errorf("has mode %04o: group and others must have no access to it; chmod 600 it, or set defaultMode: 0400 "+
			"on the volume of a Kubernetes secret that is mounted with subPath", mode)
	}
	return nil
}

// inKubernetesVolume says whether the kubelet wrote a file: it puts links into ..data, itself a link to the present
// version of the volume.
func inKubernetesVolume(path string) bool {
	target, err := os.Readlink(path)
	if err != nil || !strings.HasPrefix(target, "..data/") {
		return false
	}
	data, err := os.Lstat(filepath.Join(filepath.Dir(path), "..data"))
	return err == nil && data.Mode().Type() == os.ModeSymlink
}
