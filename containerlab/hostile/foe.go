package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

const (
	bgpPort   = 179
	patience  = 30 * time.Second        // what anything may take
	hearing   = 1500 * time.Millisecond // how long an answer is waited for that may not come
	settling  = 250 * time.Millisecond  // how long the kernel is watched for a change that may not come
	tryPause  = 100 * time.Millisecond  // between attempts to connect: the daemon is idle for seconds after a failure
	readSpace = 1 << 16
)

// foe is one hostile peer. It has one connection at a time.
type foe struct {
	*stage
	number int
	dials  bool // it connects to the daemon; if not, the daemon connects to it
	calls  chan *net.TCPConn
	conn   *net.TCPConn
	in     *bufio.Reader
	ready  bool // the session is established
}

func (f *foe) wire() wire.Peer {
	return wire.Peer{Local: address4(1, f.number), Remote: netip.AddrPortFrom(nodeAddress(), bgpPort), ASN: foeASN, Enter: f.foes.Do}
}

// connect gets a connection that the daemon takes notice of: whose first message is its OPEN. It is not read if the
// attack is to come first.
func (f *foe) connect(ctx context.Context, read bool) error {
	tick := time.NewTicker(tryPause)
	defer tick.Stop()
	for {
		err := f.connectOnce(ctx)
		if err == nil {
			f.in = bufio.NewReaderSize(f.conn, readSpace)
			if err = f.conn.SetDeadline(time.Now().Add(patience)); err == nil {
				_, err = f.in.Peek(1)
			}
			if err == nil && read {
				err = f.expect(wire.TypeOpen)
			}
			if err == nil {
				return nil
			}
			_ = f.conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the daemon takes no connection of foe %d (dials: %t): %w", f.number, f.dials, err)
		case <-tick.C:
		}
	}
}

func (f *foe) connectOnce(ctx context.Context) (err error) {
	if f.dials {
		f.conn, err = f.wire().Connect(ctx)
		return err
	}
	select {
	case f.conn = <-f.calls:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// expect reads one message of a type.
func (f *foe) expect(want byte) error {
	kind, body, err := wire.ReadMessage(f.in)
	if err == nil && kind != want {
		err = fmt.Errorf("a message of type %d instead of %d: %x", kind, want, body)
	}
	return err
}

// reach brings the session to a state.
func (f *foe) reach(ctx context.Context, s state) error {
	if s == established && f.ready {
		return nil
	}
	f.hangUp()
	for {
		err := f.connect(ctx, s != accepted)
		if err == nil && s >= openConfirm {
			err = f.open(s)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		f.hangUp() // a collision, or the end of an idle time: once more
	}
}

func (f *foe) open(s state) error {
	if _, err := f.conn.Write(goodOpening(f.number).bytes()); err != nil {
		return err
	}
	if err := f.expect(wire.TypeKeepalive); err != nil || s == openConfirm {
		return err
	}
	if _, err := f.conn.Write(wire.Keepalive()); err != nil {
		return err
	}
	for range 2 { // the daemon's own prefixes of both families
		if err := f.heard(); err != nil {
			return err
		}
	}
	f.ready = true
	return nil
}

// heard waits for an UPDATE.
func (f *foe) heard() error {
	for {
		kind, body, err := wire.ReadMessage(f.in)
		switch {
		case err != nil:
			return err
		case kind == wire.TypeUpdate:
			return nil
		case kind == wire.TypeNotification:
			return notified(body)
		}
	}
}

type notification [2]byte

func (n notification) Error() string { return fmt.Sprintf("NOTIFICATION %d/%d", n[0], n[1]) }

func notified(body []byte) error {
	if len(body) < 2 {
		return errors.New("NOTIFICATION without a code")
	}
	return notification{body[0], body[1]}
}

func (f *foe) hangUp() {
	if f.conn != nil {
		_ = f.conn.Close()
	}
	f.conn, f.ready = nil, false
}

// perform makes one attack and says what became of it.
func (f *foe) perform(ctx context.Context, n int, a attack) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("not in time"))
	defer cancel()
	t := targetOf(n, f.number)
	if a.state != established {
		if err := f.reach(ctx, a.state); err != nil {
			return 0, err
		}
		return f.early(a, t)
	}
	for {
		err := f.prepare(ctx, t)
		if err == nil {
			break
		}
		f.hangUp()
		if ctx.Err() != nil {
			return 0, err
		}
		f.again.Add(1) // what the last attack left behind ended this session
	}
	got, err := f.strike(a, t)
	if err != nil || a.alone || got&ended != 0 {
		f.hangUp()
	}
	return got, err
}

// prepare brings a session up, and what the attack is about into the kernel.
func (f *foe) prepare(ctx context.Context, t target) error {
	if err := f.reach(ctx, established); err != nil {
		return err
	}
	if err := f.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := f.conn.Write(t.good()); err != nil {
		return fmt.Errorf("announcement before the attack: %w", err)
	}
	watching, cancel := context.WithTimeoutCause(ctx, patience/4, errors.New("not in time"))
	defer cancel()
	if err := f.eye.await(watching, t); err != nil {
		return fmt.Errorf("the daemon does not install what the attack is about: %w", err)
	}
	return f.drain()
}

// drain reads what the daemon said meanwhile.
func (f *foe) drain() error {
	for {
		if err := f.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			return err
		}
		err := f.heard()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
