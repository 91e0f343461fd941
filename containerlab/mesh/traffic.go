package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab/bench/gauge"
)

const (
	trafficPort = 9
	trafficTick = time.Millisecond
	// ticks are between two packets of a flow: it has ten a second.
	ticks = 100
	// grace is how long packets may be under way.
	grace = 500 * time.Millisecond
	// receiveBuffer holds all packets of a run: what this program is too busy to read is not lost.
	receiveBuffer = 4 << 20
)

// flow is packets from the pod of one node to that of the node with the same number in the other cluster.
type flow struct {
	from *net.UDPConn
	to   netip.AddrPort
	sent int          // of the goroutine that sends
	got  atomic.Int64 // by the pod at the other end
}

// traffic is flows between all nodes.
type traffic struct {
	flows []*flow
	stop  context.CancelFunc
	wait  sync.WaitGroup // for the receivers
	sends sync.WaitGroup // for the sender
}

// startTraffic starts a flow from each node and one to it, but for a node that is about to die and the one at the other
// end of its flows.
func (m *mesh) startTraffic(dying *host) (*traffic, error) {
	ctx, stop := context.WithCancel(context.Background())
	t := &traffic{stop: stop}
	for i, east := range m.hosts[:m.nodes] {
		if east == dying {
			continue
		}
		west := m.hosts[m.nodes+i]
		there, back := &flow{to: netip.AddrPortFrom(netip.MustParseAddr(west.pod()), trafficPort)}, &flow{to: netip.AddrPortFrom(netip.MustParseAddr(east.pod()), trafficPort)}
		t.flows = append(t.flows, there, back)
		if err := errors.Join(there.open(east), back.open(west)); err != nil {
			t.end()
			return nil, err
		}
		t.wait.Go(func() { back.receive(there.from) })
		t.wait.Go(func() { there.receive(back.from) })
	}
	t.sends.Go(func() { t.send(ctx) })
	return t, nil
}

// open makes the socket of the pod that a flow comes from. It is not connected: an ICMP error is to be a lost packet, not
// one that was not sent.
func (f *flow) open(h *host) error {
	err := h.node.Do(func() (err error) {
		f.from, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(h.pod()), Port: trafficPort})
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", h, err)
	}
	raw, err := f.from.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	})
	return errors.Join(err, failed)
}

// send sends a packet of each flow now and then, until ctx is cancelled. Ticks that were missed are not made up for: a
// burst could be lost for being one.
func (t *traffic) send(ctx context.Context) {
	tick := time.NewTicker(trafficTick)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for i := n % ticks; i < len(t.flows); i += ticks {
			t.flows[i].sent++
			_, _ = t.flows[i].from.WriteToUDPAddrPort([]byte{0}, t.flows[i].to) // what fails does not arrive
		}
	}
}

// receive counts what arrives at a socket, until it is closed.
func (f *flow) receive(at *net.UDPConn) {
	var packet [8]byte
	for {
		n, _, err := at.ReadFromUDPAddrPort(packet[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && n == 1 {
			f.got.Add(1)
		}
	}
}

// lost ends the sending and counts the packets that did not arrive.
func (w *watch) lost(ctx context.Context) (lost, sent int) {
	w.traffic.stop()
	w.traffic.sends.Wait()
	_ = gauge.Pause(ctx, grace) // the context's end is somebody else's to report
	for _, f := range w.traffic.flows {
		sent, lost = sent+f.sent, lost+f.sent-int(f.got.Load())
	}
	return lost, sent
}

// judgeTraffic reports the packets that were lost. All nodes share the queues of one machine: what these had no room for
// was lost to it and not to routing.
func (w *watch) judgeTraffic(ctx context.Context, what, fault string) error {
	lost, sent := w.lost(ctx)
	now, err := machineDropped()
	if err != nil {
		return err
	}
	dropped := min(lost, now-w.dropped)
	figure := w.mesh.none(lost-dropped, fault)
	if dropped > 0 {
		figure += fmt.Sprintf(", and %d that the machine had no room for", dropped)
	}
	w.mesh.report.Add(fmt.Sprintf("%s, of %d", what, sent), figure)
	return nil
}

// machineDropped is how many packets the machine's queues had no room for, of all its namespaces.
func machineDropped() (int, error) {
	text, err := os.ReadFile("/proc/net/softnet_stat") // a line for each processor, in hexadecimal; the second number
	if err != nil {
		return 0, err
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return 0, fmt.Errorf("softnet_stat: %q", line)
		}
		n, err := strconv.ParseUint(fields[1], 16, 32)
		if err != nil {
			return 0, fmt.Errorf("softnet_stat: %w", err)
		}
		sum += int(n)
	}
	return sum, nil
}

// end ends all flows.
func (t *traffic) end() {
	t.stop()
	t.sends.Wait()
	for _, f := range t.flows {
		if f.from != nil {
			f.from.Close()
		}
	}
	t.wait.Wait()
}
