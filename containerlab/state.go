package containerlab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultState is where kept labs are recorded: a folder for each, with its logs and a file that names its processes.
const DefaultState = "/run/underlayd-netlab"

const stateFile = "lab.json"

// record is what is known of a kept lab.
type record struct {
	Name     string            `json:"name"`
	Topology string            `json:"topology"`
	Env      map[string]string `json:"env,omitempty"`
	Nodes    []recordedNode    `json:"nodes"`
}

// recordedNode names a holder by process id and start time: together they never come to mean another process.
type recordedNode struct {
	Spec      NodeSpec `json:"spec"`
	PID       int      `json:"pid"`
	StartTime uint64   `json:"startTime"` // in clock ticks since boot
}

// Kept describes a kept lab.
type Kept struct {
	Name     string
	Topology string         // the file it was made of
	Folder   string         // its logs
	Nodes    map[string]int // process 1 of each node; 0 if the node has ended
}

// keptFolder is the folder of a lab that is to be kept; it fails if there is such a lab. Two that come at the same
// time both get the folder: the janitor of one of them will not be able to make it.
func keptFolder(state, name string) (string, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return "", err
	}
	folder := filepath.Join(state, name)
	if _, err := os.Lstat(folder); err == nil {
		return "", fmt.Errorf("it is up already, or being made; its folder is %s", folder)
	}
	return folder, nil
}

// keep records the lab, then lets its folder and its nodes outlive this process. If that is killed in between, a lab is
// recorded of which nodes are gone; whatever is left is in the record.
func (l *Lab) keep(ctx context.Context, t *Topology) error {
	r := record{Name: l.name, Topology: t.Path, Env: l.env}
	for _, n := range l.nodes {
		start, err := startTime(n.pid)
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name(), err)
		}
		r.Nodes = append(r.Nodes, recordedNode{Spec: n.spec, PID: n.pid, StartTime: start})
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	path := filepath.Join(l.folder, stateFile)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	j := l.janitor
	l.janitor = nil
	if err := j.leave(); err != nil {
		return err
	}
	for _, n := range l.nodes {
		if err := n.holder.keep(ctx); err != nil {
			return fmt.Errorf("%s: %w", n.Name(), err)
		}
	}
	return nil
}

// Attach returns a kept lab, recorded in the folder state (empty: DefaultState). Any number of processes may attach.
// Nodes that have ended meanwhile answer ErrGone. It needs no Close; Down ends the lab for all.
func Attach(state, name string) (*Lab, error) {
	folder := filepath.Join(firstOf(state, DefaultState), name)
	r, err := readRecord(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no lab %s: %w", name, err)
	}
	if err != nil {
		return nil, err
	}
	l := &Lab{name: r.Name, folder: folder, env: r.Env, log: silence()}
	for _, rn := range r.Nodes {
		n := l.newNode(rn.Spec)
		n.pid = rn.PID
		fd, err := openPID(rn.PID, rn.StartTime)
		if err != nil && !errors.Is(err, ErrGone) {
			return nil, errors.Join(fmt.Errorf("lab %s: node %s: %w", name, n.Name(), err), l.detach())
		}
		n.way.open(fd)
		l.nodes = append(l.nodes, n)
	}
	return l, nil
}

func (l *Lab) detach() error {
	var errs []error
	for _, n := range l.nodes {
		errs = append(errs, n.way.close())
	}
	return errors.Join(errs...)
}

// List returns the kept labs recorded in the folder state (empty: DefaultState), by name.
func List(state string) ([]Kept, error) {
	paths, err := filepath.Glob(filepath.Join(firstOf(state, DefaultState), "*", stateFile))
	if err != nil {
		return nil, fmt.Errorf("labs: %w", err)
	}
	var labs []Kept
	for _, path := range paths {
		folder := filepath.Dir(path)
		r, err := readRecord(folder)
		if errors.Is(err, fs.ErrNotExist) { // it went down meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		k := Kept{Name: r.Name, Topology: r.Topology, Folder: folder, Nodes: map[string]int{}}
		for _, n := range r.Nodes {
			k.Nodes[n.Spec.Name] = 0
			if start, err := startTime(n.PID); err == nil && start == n.StartTime {
				k.Nodes[n.Spec.Name] = n.PID
			}
		}
		labs = append(labs, k)
	}
	return labs, nil
}

func readRecord(folder string) (*record, error) {
	text, err := os.ReadFile(filepath.Join(folder, stateFile))
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("lab: %s: %w", filepath.Join(folder, stateFile), err)
	}
	return &r, nil
}

// openPID returns a pidfd of the process with that id and start time, or -1 and ErrGone if it has ended.
func openPID(pid int, start uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, ErrGone
	}
	if err != nil {
		return -1, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	// The descriptor is open: from here on the id can't pass to another process unseen.
	if now, err := startTime(pid); err != nil || now != start {
		return -1, errors.Join(ErrGone, unix.Close(fd))
	}
	return fd, nil
}

// startTime is field 22 of /proc/PID/stat: clock ticks between boot and the start of the process. A process that has
// ended and is not waited for yet is ErrGone.
func startTime(pid int) (uint64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("start time of process %d: %w", pid, err)
	}
	// The second field is the name in parentheses, which may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const index = 22 - 3
	if len(fields) <= index {
		return 0, fmt.Errorf("start time of process %d: /proc/%d/stat is cut short", pid, pid)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return 0, ErrGone
	}
	return strconv.ParseUint(fields[index], 10, 64)
}

// waitForEnd waits until the process behind a pidfd has ended; it has been killed.
func waitForEnd(fd int) error {
	deadline := time.Now().Add(holderTimeout)
	for {
		left := int(time.Until(deadline).Milliseconds())
		if left <= 0 {
			return errors.New("processes of the node do not end")
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, left)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the holder: %w", err)
		}
		if n > 0 {
			return nil
		}
	}
}
