package fib

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestWhoIsBlamedIsNoMoreThanWhatIsKnown(t *testing.T) {
	networkd := &sender{port: 321, pid: 321, name: "systemd-network", sure: true}
	for _, c := range []struct {
		name string
		all  []*sender
		want string
	}{
		{"nobody, when the notifications carried no port", []*sender{nil, nil}, ""},
		{"a process that was seen to hold the socket, and how to stop it", []*sender{networkd, networkd, nil},
			", by process 321 (systemd-network); ManageForeignRoutes=no and ManageForeignNextHops=no in networkd.conf end that"},
		{"a process with the number of the port, probably", []*sender{{port: 7, pid: 7, name: "ip"}}, ", probably by process 7 (ip)"},
		{"many short-lived ones of one name", []*sender{{port: 7, pid: 7, name: "ip"}, {port: 9, pid: 9, name: "ip"}},
			", probably by process 9 (ip) and others of that name"},
		{"a port that may be a process id", []*sender{{port: 7}}, ", by a program with netlink port 7, as a rule its process id"},
		{"a port that is none", []*sender{{port: 1<<32 - 4096}}, ", by a program with netlink port 4294963200, which tells no process id"},
		{"the one who did it most often", []*sender{{port: 7}, networkd, networkd, {port: 8}},
			", by process 321 (systemd-network) among others; ManageForeignRoutes=no and ManageForeignNextHops=no in networkd.conf end that"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, blame(c.all)) })
	}
}

func TestProtocolNames(t *testing.T) {
	names := protocolNames{}
	names.add("# comment\n\n4 fixed\n0x20 hex # why not\n300 toolarge\nnonsense\n")
	names.add(wellKnownProtocols)
	for number, want := range map[uint8]string{4: "4, fixed", 32: "32, hex", 11: "11, zebra", 12: "12, bird", 44: "44", 222: "222"} {
		require.Equal(t, want, names.text(number))
	}
}

func TestAProcessWithItsSocketOpenIsNamedForSure(t *testing.T) {
	newLinux(t)
	w := newWitness()
	defer w.close()
	require.Nil(t, w.who(0, time.Now()), "the kernel")
	// This process has sockets already: the port of a further one is no process id.
	first, port, err := openSocket(0)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Close(first)) }()
	second, other, err := openSocket(0)
	require.NoError(t, err)
	comm, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	want := fmt.Sprintf("by process %d (%s)", os.Getpid(), comm[:len(comm)-1])
	require.Equal(t, want, w.who(port, time.Now()).String())
	require.Equal(t, want, w.who(other, time.Now()).String(), "found by its socket")
	require.NoError(t, unix.Close(second))
	require.Equal(t, want, w.who(other, time.Now()).String(), "believed for a moment")
	gone := w.who(other, time.Now().Add(2*believed))
	require.False(t, gone.sure)
	require.Contains(t, gone.String(), fmt.Sprintf("netlink port %d", other))
}

// TestWhoMayNotBeLookedIntoIsNamedAsProbable: the daemon has two capabilities, and so may not see what a program with all of
// them has open (ptrace(2), "Ptrace access mode checking").
func TestWhoMayNotBeLookedIntoIsNamedAsProbable(t *testing.T) {
	newLinux(t)
	other := exec.Command("ip", "-batch", "-") // one netlink socket, kept until its input ends
	input, err := other.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	t.Cleanup(func() {
		require.NoError(t, input.Close())
		require.NoError(t, other.Wait())
	})
	pid := uint32(other.Process.Pid)
	w := newWitness()
	defer w.close()
	w.all = true // its id is the same wherever these tests run
	within(t, func() bool { return w.socket(pid) != "" }, "its socket")
	socket := w.socket(pid)

	own, port, err := openSocket(0)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Close(own)) }()
	self := uint32(os.Getpid())
	ended := exec.Command("true")
	require.NoError(t, ended.Run())
	require.Equal(t, yes, w.holds(pid, socket), "with all capabilities")
	require.Equal(t, fmt.Sprintf("by process %d (ip)", pid), w.find(pid, time.Now()).String())
	for _, row := range []struct {
		name   string
		pid    uint32
		socket string
		want   holding
	}{
		{"what another has open can't be said", pid, socket, unknown},
		{"nor what it has not", pid, w.socket(port), unknown},
		{"this one has its own", self, w.socket(port), yes},
		{"and not the other's", self, socket, no},
		{"one that has ended has none", uint32(ended.Process.Pid), socket, no},
	} {
		var got holding
		require.NoError(t, unprivileged(func() error { got = w.holds(row.pid, row.socket); return nil }))
		require.Equal(t, row.want, got, row.name)
	}
	find := func() (s *sender) {
		require.NoError(t, unprivileged(func() error { s = w.find(pid, time.Now()); return nil }))
		return s
	}
	require.Equal(t, fmt.Sprintf("probably by process %d (ip)", pid), find().String())
	w.all = false
	require.Equal(t, fmt.Sprintf("by a program with netlink port %d, as a rule its process id", pid), find().String(),
		"where ids may be of another pid namespace")
}

// TestWhichPortsAreAProcessID when nobody can be looked into.
func TestWhichPortsAreAProcessID(t *testing.T) {
	for _, c := range []struct {
		name string
		port uint32
		want string
	}{
		{"the first socket of a program", 4711, "probably by process 4711 (zebra)"},
		{"a further one of libnl", 3<<22 | 4711, "probably by process 4711 (zebra)"},
		{"a port that the kernel drew means nothing", 1<<31 | 4711, "by a program with netlink port 2147488359, which tells no process id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &witness{proc: t.TempDir(), all: true}
			sockets := filepath.Join(t.TempDir(), "netlink")
			require.NoError(t, os.WriteFile(sockets, fmt.Appendf(nil, "0 0 %d 0 0 0 0 2 0 99\n", c.port), 0o600))
			var err error
			w.sockets, err = os.Open(sockets)
			require.NoError(t, err)
			defer w.close()
			dir := filepath.Join(w.proc, "4711")
			require.NoError(t, os.Mkdir(dir, 0o755))
			require.NoError(t, os.WriteFile(dir+"/fd", nil, 0o600)) // no folder: it can't be listed
			require.NoError(t, os.WriteFile(dir+"/comm", []byte("zebra\n"), 0o600))
			require.NoError(t, os.WriteFile(dir+"/status", []byte("NSpid:\t4711\n"), 0o600))
			require.Equal(t, c.want, w.find(c.port, time.Now()).String())
		})
	}
}

func TestFromAnotherPIDNamespaceAPortIsNoProcess(t *testing.T) {
	newLinux(t)
	pid := uint32(os.Getpid())
	for _, c := range []struct {
		name string
		all  bool
		nspd string
		want string
	}{
		{"in the machine's first pid namespace the number is probably the process", true, "4711", "probably by process 4711 (zebra x)"},
		{"a process of that number which has another one in its own namespace is not it", true, "4711\t1",
			"by a program with netlink port 4711, as a rule its process id"},
		{"in a pod the number means nothing here", false, "4711", "by a program with netlink port 4711, as a rule its process id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWitness()
			defer w.close()
			w.proc, w.all = t.TempDir(), c.all
			dir := filepath.Join(w.proc, "4711")
			require.NoError(t, os.Mkdir(dir, 0o755))
			require.NoError(t, os.WriteFile(dir+"/comm", []byte("zebra \x1b\nx\n"), 0o600))
			require.NoError(t, os.WriteFile(dir+"/status", []byte("Name:\tx\nNSpid:\t"+c.nspd+"\n"), 0o600))
			require.Equal(t, c.want, w.who(4711, time.Now()).String())
			require.Zero(t, w.who(pid+1, time.Now()).pid)
		})
	}
}

// TestWhoFightsIsNamed has a program keep its socket open, as a daemon does, and delete a route again and again.
func TestWhoFightsIsNamed(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.run()
	s.ensure(to(pods, n2), to(pods2, n2))
	fd, _, err := openSocket(0)
	require.NoError(t, err)
	other := &netlinkKernel{cmd: &socket{fd: fd, in: make([]byte, receiveSize)}, table: DefaultTable, proto: ourMark}
	defer func() { require.NoError(t, other.cmd.close()) }()
	for range fightRepairs + 1 {
		s.eventually(ours4+n2, pods2+" metric 512 via "+n2)
		reqs := []request{{op: opDeleteRoute, dst: p(pods), metric: DefaultMetric, id: s.id(groupText([]uint32{s.id("via " + n2)}))}}
		require.NoError(t, other.apply(t.Context(), reqs))
		require.NoError(t, reqs[0].err)
	}
	s.eventuallyStatus(pods, Failed)
	comm, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	require.Contains(t, s.reason(pods), fmt.Sprintf("(more than 5 times within a minute, by process %d (%s))", os.Getpid(), comm[:len(comm)-1]))
	s.wantRoutes(pods2 + " metric 512 via " + n2)
	// Programs that end at once are at least numbered.
	for range fightRepairs + 1 {
		within(t, func() bool {
			return s.status(pods2) == Installed && exec.Command("ip", "route", "del", pods2, "proto", "200").Run() == nil
		}, "a delete")
		s.eventuallyStatus(pods2, s.status(pods2))
	}
	s.eventuallyStatus(pods2, Failed)
	require.Regexp(t, `by (a program with netlink port \d+|process \d+ \(ip\))`, s.reason(pods2))
	t.Log(s.reason(pods2))
	require.NotNil(t, l)
}
