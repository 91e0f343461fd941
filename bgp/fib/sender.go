package fib

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// sender is who asked the kernel for a change, as far as that can be told: a notification carries the netlink port of
// the socket the request came through, and no more.
type sender struct {
	port uint32
	pid  uint32 // 0: not known
	name string // of the process
	sure bool   // the process was seen to hold the socket
}

const (
	// maxPID is the largest number that can be a process id (PID_MAX_LIMIT). The first netlink socket of a process gets
	// its id as port; further ones get numbers beyond.
	maxPID = 1 << 22
	// kernelsChoice is where the ports begin that the kernel draws at random for further sockets. Those below are a
	// process id, with a number of libnl's above it or without.
	kernelsChoice = 1 << 31
)

func (s *sender) String() string {
	switch {
	case s.sure:
		return fmt.Sprintf("by process %d (%s)", s.pid, s.name)
	case s.pid != 0:
		return fmt.Sprintf("probably by process %d (%s)", s.pid, s.name)
	case s.port < maxPID:
		return fmt.Sprintf("by a program with netlink port %d, as a rule its process id", s.port)
	}
	return fmt.Sprintf("by a program with netlink port %d, which tells no process id", s.port)
}

// is makes s the process pid, if that is still there.
func (s *sender) is(pid uint32, name string, sure bool) *sender {
	if name != "" {
		s.pid, s.name, s.sure = pid, name, sure
	}
	return s
}

// blame sums up who did what was done several times.
func blame(all []*sender) string {
	type suspect struct {
		last  *sender
		times int
		pids  map[uint32]struct{}
	}
	by := map[string]*suspect{}
	var worst *suspect
	for _, s := range all {
		if s == nil {
			continue
		}
		key := s.name
		if key == "" {
			key = strconv.Itoa(int(s.port))
		}
		x := by[key]
		if x == nil {
			x = &suspect{pids: map[uint32]struct{}{}}
			by[key] = x
		}
		x.last, x.times = s, x.times+1
		x.pids[s.pid] = struct{}{}
		if worst == nil || x.times >= worst.times {
			worst = x
		}
	}
	if worst == nil {
		return ""
	}
	text := ", " + worst.last.String()
	if len(worst.pids) > 1 {
		text += " and others of that name"
	}
	if len(by) > 1 {
		text += " among others"
	}
	return text + remedy(worst.last.name)
}

// remedy says how to make peace with programs that are known for this.
func remedy(name string) string {
	if name == "systemd-network" { // a name has 15 characters
		return "; ManageForeignRoutes=no and ManageForeignNextHops=no in networkd.conf end that"
	}
	return ""
}

// witness finds out which process is behind a netlink port. A process that has ended by then, or that belongs to a
// pid namespace that we do not see, cannot be told. Only the goroutine that reads notifications uses it.
type witness struct {
	sockets *os.File // /proc/net/netlink of the table's network namespace; nil: not readable
	proc    string
	all     bool // proc shows the machine's first pid namespace: a port that is a process id is one of there
	known   map[uint32]*sender
	since   time.Time // of known
	sought  time.Time // when all processes were looked through last
}

const (
	// What is known of a port is believed for a moment: who deletes 100,000 routes is looked up once.
	believed  = time.Second
	mostKnown = 256
	// Looking through all processes is for programs with several sockets, and not for each of their requests.
	seekRest = 5 * time.Second
	// firstPIDNamespace is what the kernel calls the pid namespace of the machine itself (PROC_PID_INIT_INO).
	firstPIDNamespace = "pid:[4026531836]"
)

// newWitness is called on a thread of the table's network namespace; what it opens stays there.
func newWitness() *witness {
	w := &witness{proc: "/proc", known: map[uint32]*sender{}}
	if f, err := os.Open("/proc/thread-self/net/netlink"); err == nil {
		w.sockets = f
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	w.all = err == nil && ns == firstPIDNamespace
	return w
}

func (w *witness) close() {
	if w.sockets != nil {
		_ = w.sockets.Close()
	}
}

// who returns the sender behind port, nil for the kernel itself.
func (w *witness) who(port uint32, now time.Time) *sender {
	if port == 0 {
		return nil
	}
	if now.Sub(w.since) > believed || len(w.known) >= mostKnown {
		clear(w.known)
		w.since = now
	}
	s := w.known[port]
	if s == nil {
		s = w.find(port, now)
		w.known[port] = s
	}
	return s
}

func (w *witness) find(port uint32, now time.Time) *sender {
	s := &sender{port: port}
	socket := w.socket(port)
	if socket == "" { // closed already
		if port < maxPID && w.likely(port) {
			return s.is(port, w.name(port), false)
		}
		return s
	}
	// libnl puts a number of its own above the process id.
	pid := port & (maxPID - 1)
	switch w.holds(pid, socket) {
	case yes:
		return s.is(pid, w.name(pid), true)
	case unknown:
		if port < kernelsChoice && w.likely(pid) {
			return s.is(pid, w.name(pid), false)
		}
	case no:
	}
	if now.Sub(w.sought) < seekRest {
		return s
	}
	w.sought = now
	pid = w.seek(socket)
	return s.is(pid, w.name(pid), true)
}

// likely says whether a process may be taken for the one whose id is in a port, without having been seen to hold the
// socket.
func (w *witness) likely(pid uint32) bool { return w.all && w.outermost(pid) }

// socket returns what links in /proc/PID/fd call the route netlink socket with this port; empty when there is none.
func (w *witness) socket(port uint32) string {
	if w.sockets == nil {
		return ""
	}
	var all bytes.Buffer
	if _, err := w.sockets.Seek(0, 0); err != nil {
		return ""
	}
	if _, err := all.ReadFrom(w.sockets); err != nil {
		return ""
	}
	want := strconv.FormatUint(uint64(port), 10)
	for line := range strings.Lines(all.String()) {
		// sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
		f := strings.Fields(line)
		if len(f) == 10 && f[1] == "0" && f[2] == want && f[9] != "0" {
			return "socket:[" + f[9] + "]"
		}
	}
	return ""
}

// holding is what can be said of whether a process has a socket.
type holding uint8

const (
	no holding = iota
	yes
	unknown // we may not look: the daemon has no CAP_SYS_PTRACE, and most programs have more capabilities than it
)

// holds says whether a process has the socket. It is no for a process that is not there.
func (w *witness) holds(pid uint32, socket string) holding {
	dir := fmt.Sprintf("%s/%d/fd", w.proc, pid)
	fds, err := os.ReadDir(dir)
	held := no
	if err != nil && !gone(err) {
		held = unknown
	}
	for _, fd := range fds {
		switch to, err := os.Readlink(dir + "/" + fd.Name()); {
		case err == nil && to == socket:
			return yes
		case err != nil && !gone(err):
			held = unknown
		}
	}
	return held
}

// gone says whether a process or one of its files is not there, or not any more.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// seek looks for the process that has the socket among all that are visible, and that we may look into; 0 for none.
func (w *witness) seek(socket string) uint32 {
	all, err := os.ReadDir(w.proc)
	if err != nil {
		return 0
	}
	for _, p := range all {
		if pid, err := strconv.ParseUint(p.Name(), 10, 32); err == nil && w.holds(uint32(pid), socket) == yes {
			return uint32(pid)
		}
	}
	return 0
}

// outermost says whether a process exists and has no other id in a pid namespace of its own.
func (w *witness) outermost(pid uint32) bool {
	b, err := os.ReadFile(fmt.Sprintf("%s/%d/status", w.proc, pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return len(strings.Fields(ids)) == 1
		}
	}
	return false
}

// name is what a process calls itself, which may be anything: what cannot be printed is left out. It is empty when
// there is no such process.
func (w *witness) name(pid uint32) string {
	b, err := os.ReadFile(fmt.Sprintf("%s/%d/comm", w.proc, pid))
	if err != nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.TrimSpace(string(b)))
}
