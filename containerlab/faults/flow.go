package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

const (
	flowPort   = 9
	flowTick   = time.Millisecond
	slowly     = 10 // an IPv6 flow sends at each so many ticks
	packetSize = 12
	// receiveBuffer holds seconds of packets: what the bench is too busy to read is not lost.
	receiveBuffer = 8 << 20
	// grace is how long packets may be under way.
	grace = 300 * time.Millisecond
	// A flow whose last packets arrived is alive; this many, if they are that old.
	aliveLast  = 5
	aliveAfter = 50 * time.Millisecond
)

// flow is numbered packets from one pod to another, one way: what comes back goes another way and is another flow.
type flow struct {
	id   uint32
	peer string // behind which one of the pods is
	out  bool   // from the node under test to the peer
	v6   bool
	from *net.UDPConn
	to   netip.AddrPort

	mu    sync.Mutex // guards what follows
	epoch uint32     // of the numbers
	sent  []time.Time
	got   []bool
}

// tally is what became of the packets of a flow.
type tally struct {
	Flow string        `json:"flow"`
	Sent int           `json:"sent"`
	Lost int           `json:"lost"`
	Gap  time.Duration `json:"longestGapNanoseconds"` // between the first packet lost in a row and the next one that came
	peer string
	out  bool
}

// String names the flow: the direction, the peer and the family.
func (f *flow) String() string {
	arrow, family := "←", "IPv4"
	if f.out {
		arrow = "→"
	}
	if f.v6 {
		family = "IPv6"
	}
	return arrow + " " + f.peer + " " + family
}

// begin forgets what was.
func (f *flow) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.epoch++
	f.sent, f.got = f.sent[:0], f.got[:0]
}

func (f *flow) send(at time.Time) {
	f.mu.Lock()
	var packet [packetSize]byte
	binary.BigEndian.PutUint32(packet[:], f.id)
	binary.BigEndian.PutUint32(packet[4:], f.epoch)
	binary.BigEndian.PutUint32(packet[8:], uint32(len(f.sent)))
	f.sent, f.got = append(f.sent, at), append(f.got, false)
	f.mu.Unlock()
	_, _ = f.from.WriteToUDPAddrPort(packet[:], f.to) // what fails does not arrive
}

func (f *flow) receive(epoch, number uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch == f.epoch && int(number) < len(f.got) {
		f.got[number] = true
	}
}

// tally counts the packets sent until a moment.
func (f *flow) tally(until time.Time) tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := tally{Flow: f.String(), peer: f.peer, out: f.out}
	first := -1
	for i, at := range f.sent {
		if at.After(until) {
			break
		}
		t.Sent++
		switch {
		case f.got[i] && first >= 0:
			t.Gap, first = max(t.Gap, at.Sub(f.sent[first])), -1
		case !f.got[i]:
			t.Lost++
			if first < 0 {
				first = i
			}
		}
	}
	if first >= 0 {
		t.Gap = max(t.Gap, until.Sub(f.sent[first]))
	}
	return t
}

// alive says what is wrong with the last packets that have had time to arrive.
func (f *flow) alive() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, looked := time.Now(), 0
	for i := len(f.sent) - 1; i >= 0 && looked < aliveLast; i-- {
		if now.Sub(f.sent[i]) < aliveAfter {
			continue // it may be under way
		}
		if looked++; !f.got[i] {
			return fmt.Errorf("%s: packets do not arrive", f)
		}
	}
	if looked == 0 {
		return fmt.Errorf("%s: nothing has been sent yet", f)
	}
	return nil
}

// traffic is all flows of a lab.
type traffic struct {
	flows   []*flow
	sockets []*net.UDPConn
	stop    context.CancelFunc
	wait    sync.WaitGroup
}

// startTraffic starts flows both ways, of both families, between the node's pod and a pod of each neighbour.
func startTraffic(l *containerlab.Lab) (*traffic, error) {
	ctx, stop := context.WithCancel(context.Background())
	t := &traffic{stop: stop}
	here, err := t.socket(l.Node("pod-east-1"))
	if err != nil {
		t.end()
		return nil, err
	}
	for _, p := range neighbours() {
		there, err := t.socket(l.Node("pod-" + p.name))
		if err != nil {
			t.end()
			return nil, err
		}
		for _, v6 := range []bool{false, true} {
			mine, theirs := pods(0, v6), pods(p.number, v6)
			t.add(&flow{peer: p.name, out: true, v6: v6, from: here, to: netip.AddrPortFrom(theirs, flowPort)})
			t.add(&flow{peer: p.name, v6: v6, from: there, to: netip.AddrPortFrom(mine, flowPort)})
		}
	}
	for _, s := range t.sockets {
		t.wait.Go(func() { t.receive(s) })
	}
	t.wait.Go(func() { t.send(ctx) })
	return t, nil
}

func (t *traffic) add(f *flow) {
	f.id = uint32(len(t.flows))
	t.flows = append(t.flows, f)
}

// socket makes a pod's socket. It is not connected: an ICMP error is to be a lost packet, not one that was not sent.
func (t *traffic) socket(pod *containerlab.Node) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := pod.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{Port: flowPort})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pod.Name(), err)
	}
	t.sockets = append(t.sockets, conn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	})
	return conn, errors.Join(err, failed)
}

// send sends a packet of each flow at each tick. Ticks that were missed are not made up for: a burst could be lost for
// being one.
func (t *traffic) send(ctx context.Context) {
	tick := time.NewTicker(flowTick)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for i, f := range t.flows {
			if !f.v6 || (n+i)%slowly == 0 {
				f.send(time.Now())
			}
		}
	}
}

func (t *traffic) receive(s *net.UDPConn) {
	var packet [2 * packetSize]byte
	for {
		n, _, err := s.ReadFromUDPAddrPort(packet[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if id := binary.BigEndian.Uint32(packet[:]); err == nil && n == packetSize && int(id) < len(t.flows) {
			t.flows[id].receive(binary.BigEndian.Uint32(packet[4:]), binary.BigEndian.Uint32(packet[8:]))
		}
	}
}

func (t *traffic) begin() {
	for _, f := range t.flows {
		f.begin()
	}
}

// alive tells which flows have lost something just now.
func (t *traffic) alive() error {
	var errs []error
	for _, f := range t.flows {
		errs = append(errs, f.alive())
	}
	return errors.Join(errs...)
}

// tallies counts all packets sent until now, after those that are under way have had time to arrive.
func (t *traffic) tallies(ctx context.Context) []tally {
	until := time.Now()
	_ = pause(ctx, grace) // the context's end is somebody else's to report
	all := make([]tally, 0, len(t.flows))
	for _, f := range t.flows {
		all = append(all, f.tally(until))
	}
	return all
}

// end ends all flows.
func (t *traffic) end() {
	t.stop()
	for _, s := range t.sockets {
		s.Close()
	}
	t.wait.Wait()
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
