package nat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/underlayd/underlayd/containerlab"
)

const patience = time.Minute

// world is a pod, its node, and everything beyond it, each a network namespace: one that has all addresses of 10.20.0.0/16
// and fd00:20::/64, the other cluster's pods, and 203.0.113.0/24 and 2001:db8::/64, which are nobody's pods.
type world struct {
	pod, node, far netns.NsHandle

	mu      sync.Mutex // guards what follows
	sources map[uint64]netip.Addr
	asked   uint64
}

const (
	pod4, node4      = "10.10.1.10", "192.168.0.1"
	pod6, node6      = "fd00:10:0:1::10", "fd00:fab::1"
	farPod4, farPod6 = "10.20.3.4", "fd00:20::3:4"
	out4, out6       = "203.0.113.9", "2001:db8::9"
)

func newWorld(t testing.TB) *world {
	containerlab.Require(t, "ip", "sysctl")
	w := &world{sources: map[uint64]netip.Addr{}}
	for _, ns := range []*netns.NsHandle{&w.pod, &w.node, &w.far} {
		*ns = newNamespace(t)
		w.sh(t, *ns, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0")
	}
	w.sh(t, w.node, `
		sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip link set lo up
		ip link add pods type veth peer name eth0 netns `+w.path(w.pod)+`
		ip link add uplink type veth peer name fabric netns `+w.path(w.far)+`
		ip addr add 10.10.1.1/24 dev pods; ip addr add fd00:10:0:1::1/64 dev pods nodad; ip link set pods up
		ip addr add 192.168.0.1/24 dev uplink; ip addr add fd00:fab::1/64 dev uplink nodad; ip link set uplink up`)
	w.sh(t, w.pod, `
		ip link set lo up; ip link set eth0 up
		ip addr add 10.10.1.10/24 dev eth0; ip addr add fd00:10:0:1::10/64 dev eth0 nodad
		ip route add default via 10.10.1.1; ip -6 route add default via fd00:10:0:1::1`)
	w.sh(t, w.far, `
		ip link set lo up; ip link set fabric up
		ip addr add 192.168.0.2/24 dev fabric; ip addr add fd00:fab::2/64 dev fabric nodad
		ip route add default via 192.168.0.1; ip -6 route add default via fd00:fab::1
		for net in 10.20.0.0/16 203.0.113.0/24; do ip route add local $net dev lo; done
		ip addr add fd00:20::3:4/128 dev lo nodad
		for net in fd00:20::/64 2001:db8::/64; do ip -6 route add local $net dev lo; done`)
	w.sh(t, w.node, `ip route add default via 192.168.0.2; ip -6 route add default via fd00:fab::2`)
	w.listen(t, w.far)
	w.listen(t, w.pod)
	return w
}

// path is a name of a namespace for a program that this process starts.
func (w *world) path(ns netns.NsHandle) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(ns))
}

func newNamespace(t testing.TB) (ns netns.NsHandle) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread goes with the goroutine
		var err error
		ns, err = netns.New()
		done <- err
	}()
	require.NoError(t, <-done)
	t.Cleanup(func() { require.NoError(t, ns.Close()) })
	return ns
}

// do runs f in a namespace.
func do(t testing.TB, ns netns.NsHandle, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	require.NoError(t, <-done)
}

// sh runs a script in a namespace; it must succeed.
func (w *world) sh(t testing.TB, ns netns.NsHandle, script string) string {
	t.Helper()
	out, err := w.try(t, ns, script)
	require.NoError(t, err, "%s\n%s", script, out)
	return out
}

func (w *world) try(t testing.TB, ns netns.NsHandle, script string) (out string, err error) {
	t.Helper()
	do(t, ns, func() error {
		var b []byte
		// A file of locks of its own: the tests run side by side, and iptables has one for the machine.
		cmd := exec.Command("sh", "-ec", script)
		cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+t.TempDir()+"/xtables.lock")
		b, err = cmd.CombinedOutput()
		out = string(b)
		return nil
	})
	return out, err
}

// open opens an exemption on the node and keeps it until the test ends.
func (w *world) open(t testing.TB, c Config) *Exemption {
	t.Helper()
	var x *Exemption
	do(t, w.node, func() (err error) {
		x, err = Open(c)
		return err
	})
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	return x
}

// watch runs x until the test, or the returned function, ends it.
func (w *world) watch(t testing.TB, x *Exemption) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

// listen has a namespace note where numbered packets come from, and answer connections with where they come from.
func (w *world) listen(t testing.TB, ns netns.NsHandle) {
	var packets net.PacketConn
	var streams net.Listener
	do(t, ns, func() (err error) {
		if packets, err = net.ListenPacket("udp", ":7"); err != nil {
			return err
		}
		streams, err = net.Listen("tcp", ":7")
		return err
	})
	var wait sync.WaitGroup
	t.Cleanup(func() {
		_, _ = packets.Close(), streams.Close()
		wait.Wait()
	})
	wait.Go(func() {
		for buf := make([]byte, 64); ; {
			n, from, err := packets.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && n == 8 {
				w.mu.Lock()
				w.sources[binary.BigEndian.Uint64(buf)] = sourceOf(from)
				w.mu.Unlock()
			}
		}
	})
	wait.Go(func() {
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			source := sourceOf(conn.RemoteAddr()).As16()
			_, _ = conn.Write(source[:])
			_ = conn.Close()
		}
	})
}

func sourceOf(a net.Addr) netip.Addr { return netip.MustParseAddrPort(a.String()).Addr().Unmap() }

// dials a connection, whose first packet is the first of a new one, from a namespace.
func (w *world) dial(t testing.TB, ns netns.NsHandle, network, to string) net.Conn {
	t.Helper()
	var conn net.Conn
	do(t, ns, func() (err error) {
		conn, err = (&net.Dialer{Timeout: patience}).Dial(network, withPort(to))
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func withPort(to string) string {
	if strings.Contains(to, "]:") || strings.Count(to, ":") == 1 {
		return to
	}
	return net.JoinHostPort(to, "7")
}

// send sends a packet with a number of its own over a connection.
func (w *world) send(t testing.TB, conn net.Conn) (number uint64) {
	w.mu.Lock()
	w.asked++
	number = w.asked
	w.mu.Unlock()
	_, err := conn.Write(binary.BigEndian.AppendUint64(nil, number))
	require.NoError(t, err)
	return number
}

// until waits for something, without another goroutine.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(2*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer deadline.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			require.Fail(t, "in vain: "+what)
		}
	}
}

// source is where a packet came from, once it has come.
func (w *world) source(t testing.TB, number uint64) string {
	t.Helper()
	var from netip.Addr
	until(t, "a packet", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		from = w.sources[number]
		return from.IsValid()
	})
	return from.String()
}

// seenAs opens a new connection from a namespace and returns which address it is seen as where it arrives.
func (w *world) seenAs(t testing.TB, ns netns.NsHandle, network, to string) string {
	t.Helper()
	conn := w.dial(t, ns, network, to)
	if network == "udp" {
		return w.source(t, w.send(t, conn))
	}
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	var answer [16]byte
	_, err := io.ReadFull(conn, answer[:])
	require.NoError(t, err)
	return netip.AddrFrom16(answer).Unmap().String()
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func locals() []netip.Prefix  { return prefixes("10.10.1.0/24", "fd00:10:0:1::/64") }
func remotes() []netip.Prefix { return prefixes("10.20.0.0/16", "fd00:20::/48") }

// dialFrom opens a connection to somebody from an address beyond the node and returns which address it is seen as.
func (w *world) dialFrom(t testing.TB, network, from, to string) string {
	t.Helper()
	var conn net.Conn
	do(t, w.far, func() (err error) {
		d := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		}
		conn, err = d.Dial(network, withPort(to))
		return err
	})
	defer conn.Close()
	if network == "udp" {
		return w.source(t, w.send(t, conn))
	}
	var answer [16]byte
	_, err := io.ReadFull(conn, answer[:])
	require.NoError(t, err)
	return netip.AddrFrom16(answer).Unmap().String()
}

// numbered sends a packet with a number of its own to an address.
func (w *world) numbered(t testing.TB, from net.PacketConn, to netip.Addr) (number uint64) {
	w.mu.Lock()
	w.asked++
	number = w.asked
	w.mu.Unlock()
	_, err := from.WriteTo(binary.BigEndian.AppendUint64(nil, number), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 7)))
	require.NoError(t, err)
	return number
}
