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
