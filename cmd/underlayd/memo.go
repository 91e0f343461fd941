package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// memo is what one run of the daemon leaves to the next: a restart that finds the Kubernetes API away goes on advertising
// what it advertised, and one that finds a peer dead does not wait for it. It lies in the runtime directory, which a
// reboot empties: then the pods are gone too. It changes only when something happened, and holds no time that ticks.
type memo struct {
	Node     string         `json:"node"`
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	// Labels are those of the Node; null: they were never known.
	Labels map[string]string `json:"labels"`
	// Annotations are those of the Node that people set for the daemon, the last ones that broke no rule; null: they were
	// never known.
	Annotations map[string]string `json:"annotations"`
	// PeersFile is what bgp.peersFile said when it was good.
	PeersFile string `json:"peersFile,omitempty"`
	// Nodes are the other Nodes of the cluster, if they are peers.
	Nodes []k8s.Member `json:"nodes,omitempty"`
	// Peers are those that had a session when something was written last, by name.
	Peers map[string]memoPeer `json:"peers,omitempty"`
	// Probes is what the probe last said of each cluster: a restart is no news for the Node.
	Probes map[string]string `json:"probes,omitempty"`
	// Running says that the daemon has not ended by itself.
	Running bool `json:"running,omitempty"`
	// Crashes are the last times it ended by a fault of its own.
	Crashes []time.Time `json:"crashes,omitempty"`
	// Trying is the peer that was let in last after a crash, see probation.
	Trying string `json:"trying,omitempty"`
	// Quarantine holds the peers that are kept out, by name.
	Quarantine map[string]quarantine `json:"quarantine,omitempty"`
}

// memoPeer is a struct so that what is known of a peer can grow without another version of the file: keys that a run does
// not know, of a later one or an earlier one, are left aside.
type memoPeer struct {
	Address netip.Addr `json:"address"`
}

// quarantine is how long a peer is kept out, and how often it was.
type quarantine struct {
	Until time.Time `json:"until"`
	Times int       `json:"times"`
	Over  bool      `json:"over,omitempty"` // it is in again, and watched
}

// memoVersion is that of the file. A file of another version is not read.
const memoVersion = 1

// memoFile is the file with its seal: half a file, or one with a flipped bit, is none.
type memoFile struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	Memo    json.RawMessage `json:"memo"`
}

// errMemo is wrapped by every reason why there is no memo to go by.
var errMemo = errors.New("nothing is known of the last run")

// keeper reads and writes the memo.
type keeper struct {
	path  string
	saved []byte // as last read or written
}

func newKeeper(directory string) *keeper { return &keeper{path: filepath.Join(directory, "memo.json")} }

// read returns what the last run of this node left; the zero memo if there was none. An error says why one that is there
// can't be used.
func (k *keeper) read(node string) (memo, error) {
	none := memo{Node: node}
	text, err := os.ReadFile(k.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, nil
	case err != nil:
		return none, fmt.Errorf("%w: %w", errMemo, err)
	}
	var f memoFile
	if err := json.Unmarshal(text, &f); err != nil {
		return none, fmt.Errorf("%w: %s: %w", errMemo, k.path, err)
	}
	if f.Version != memoVersion {
		return none, fmt.Errorf("%w: %s is of version %d, this daemon reads %d", errMemo, k.path, f.Version, memoVersion)
	}
	if f.SHA256 != seal(f.Memo) {
		return none, fmt.Errorf("%w: %s is damaged: its checksum is wrong", errMemo, k.path)
	}
	var m memo
	if err := json.Unmarshal(f.Memo, &m); err != nil {
		return none, fmt.Errorf("%w: %s: %w", errMemo, k.path, err)
	}
	if m.Node != node {
		return none, fmt.Errorf("%w: %s is of node %q, not %q", errMemo, k.path, m.Node, node)
	}
	k.saved = f.Memo
	return m, nil
}

func seal(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// write replaces the file if the memo is another one. A reader sees the old one or the new one, whatever happens to us
// or to the machine meanwhile.
func (k *keeper) write(m memo) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("memo: %w", err)
	}
	if bytes.Equal(text, k.saved) {
		return nil
	}
	whole, err := json.Marshal(memoFile{Version: memoVersion, SHA256: seal(text), Memo: text})
	if err != nil {
		return fmt.Errorf("memo: %w", err)
	}
	if err := replaceFile(k.path, whole); err != nil {
		return fmt.Errorf("a restart will not know of this run: %w", err)
	}
	k.saved = text
	return nil
}

// replaceFile writes a file in one step: to the disk first, then under its name.
func replaceFile(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// remove deletes the file; that there is none is fine.
func (k *keeper) remove() error {
	if err := os.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("memo: %w", err)
	}
	return nil
}

// recall reads what the last run left.
func (a *agent) recall() {
	a.keeper = newKeeper(a.config.Runtime.Directory)
	var err error
	if a.memo, err = a.keeper.read(a.config.Node.Name); err != nil {
		a.log.WithError(err).Warn("starting as if for the first time")
	}
	a.lastPeers = a.memo.Peers
}

// remember writes what the next run is to know. What can't be written is tried again with the next change, and by
// tryAgain.
func (a *agent) remember() {
	err := a.keeper.write(a.memo)
	if err != nil && a.memoProblem == nil {
		a.log.WithError(err).Warn("memo")
	}
	a.stale = a.stale || (err == nil) != (a.memoProblem == nil)
	a.memoProblem = err
}

// noteSources notes what the sources of peers know, for a run that finds them away.
func (a *agent) noteSources() {
	file, nodes := a.peersFile.good, a.memo.Nodes
	if a.members != nil {
		nodes = a.members.last
	}
	if file != a.memo.PeersFile || !reflect.DeepEqual(nodes, a.memo.Nodes) {
		a.memo.PeersFile, a.memo.Nodes = file, nodes
		a.remember()
	}
}

// rememberSessions notes which peers have a session.
func (a *agent) rememberSessions(sessions []bgp.Session) {
	if !a.converged {
		return // until then, what the last run knew is better
	}
	peers := make(map[string]memoPeer, len(sessions))
	for _, s := range sessions {
		if s.Established {
			peers[s.Peer] = memoPeer{Address: s.Address}
		}
	}
	if !maps.Equal(peers, a.memo.Peers) {
		a.memo.Peers = peers
		a.remember()
	}
}

// conclude notes that the daemon has ended by itself.
func (a *agent) conclude() {
	a.memo.Running = false
	a.remember()
}

// expected says whether a peer is worth waiting for after a start: if it had a session in the last run, or if there was
// none to tell.
func (a *agent) expected(s bgp.Session) bool {
	if a.lastPeers == nil {
		return true
	}
	last, had := a.lastPeers[s.Peer]
	return had && (last.Address == s.Address || unfound(s.Address))
}

// memoProblems says that the next run will know nothing of this one.
func (a *agent) memoProblems() []status.Problem {
	if a.memoProblem == nil {
		return nil
	}
	return []status.Problem{{Severity: status.Warning, Subject: "runtime directory", Message: a.memoProblem.Error()}}
}
