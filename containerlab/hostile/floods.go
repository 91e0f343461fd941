package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// flood is something that is harmless once.
type flood struct {
	name string
	// mebibytes is how much the daemon's memory may have grown when it is over, and peak how much in between.
	mebibytes, peak float64
	run             func(ctx context.Context, s *stage, scale int) error
}

// floods are what many messages, or many connections, are tried with. Scale is 1 for the full size, 10 for a tenth of
// the messages. A peer that never reads makes GoBGP's queue for it grow for as long as it asks: the limit is that of a
// million questions, known.
func floods() []flood {
	return []flood{
		{"a thousand connections from nobody's addresses", 40, 60, func(ctx context.Context, s *stage, _ int) error {
			return s.connections(ctx, 1000, func(i int) netip.Addr { return address4(3, i%strangers) })
		}},
		{"a thousand connections from a peer's address", 40, 60, func(ctx context.Context, s *stage, _ int) error {
			return s.connections(ctx, 1000, func(int) netip.Addr { return address4(1, 0) })
		}},
		{"an OPEN byte by byte", 10, 20, slowly},
		{"a prefix that flaps a thousand times a second", 50, 200, flap},
		{"ten million withdrawals of what nobody announced", 50, 400, withdrawals},
		{"a million prefixes outside every contract", 800, 2000, stuffed},
		{"a peer that asks and never reads", 600, 600, deaf},
	}
}

// connections opens that many at once, says nothing and closes them.
func (s *stage) connections(ctx context.Context, n int, from func(i int) netip.Addr) error {
	var all []net.Conn
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	for i := range n {
		// Who is no peer may be dropped together with peers beside its address, while it is not their turn to connect.
		dialing, cancel := context.WithTimeout(ctx, 30*time.Second)
		conn, err := wire.Peer{Local: from(i), Remote: netip.AddrPortFrom(nodeAddress(), bgpPort), Enter: s.foes.Do}.Connect(dialing)
		cancel()
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		all = append(all, conn)
		if i%100 == 0 {
			if err := s.healthy(); err != nil {
				return err
			}
		}
	}
	return nil
}

// slowly says an OPEN, and then all there is to say, a byte at a time.
func slowly(ctx context.Context, s *stage, scale int) error {
	f := s.all[1]
	if err := f.reach(ctx, openSent); err != nil {
		return err
	}
	defer f.hangUp()
	pace := time.NewTicker(50 * time.Millisecond / time.Duration(scale))
	defer pace.Stop()
	for _, b := range goodOpening(f.number).bytes() {
		if _, err := f.conn.Write([]byte{b}); err != nil {
			return err
		}
		<-pace.C
	}
	return f.expect(wire.TypeKeepalive)
}

// deaf asks for all routes again and again, says that it lives, and reads nothing of what it is told.
func deaf(ctx context.Context, s *stage, scale int) error {
	f := s.all[2]
	if err := f.reach(ctx, established); err != nil {
		return err
	}
	defer f.hangUp()
	if err := f.conn.SetReadBuffer(4096); err != nil {
		return err
	}
	var text []byte
	for range 1000 {
		text = append(text, refresh(1, 1)...)
	}
	return f.shout(ctx, text, 1000/scale)
}

// shout writes a text many times.
func (f *foe) shout(ctx context.Context, text []byte, times int) error {
	for i := range times {
		// What the buffers hold may take the daemon half a minute.
		if err := f.conn.SetDeadline(time.Now().Add(4 * patience)); err != nil {
			return err
		}
		if _, err := f.conn.Write(text); err != nil {
			return fmt.Errorf("part %d of %d: %w", i, times, err)
		}
		if i%100 == 0 {
			if err := errors.Join(f.healthy(), ctx.Err()); err != nil {
				return err
			}
		}
	}
	return nil
}

// worked waits until the daemon has worked off what was said before.
func (f *foe) worked() error {
	if err := f.conn.SetDeadline(time.Now().Add(4 * patience)); err != nil {
		return err
	}
	if _, err := f.conn.Write(refresh(1, 1)); err != nil {
		return err
	}
	return f.heard()
}

// flap announces and withdraws one prefix, a thousand times a second.
func flap(ctx context.Context, s *stage, scale int) error {
	f := s.all[3]
	if err := f.reach(ctx, established); err != nil {
		return err
	}
	defer f.hangUp()
	t := targetOf(4000, f.number)
	up, down := t.good(), update(nlriOf(t.prefix4), nil, nil)
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for i := range 30000 / scale {
		<-pace.C
		text := up
		if i%2 == 1 {
			text = down
		}
		if _, err := f.conn.Write(text); err != nil {
			return err
		}
		if i%1000 == 0 {
			if err := errors.Join(s.healthy(), ctx.Err(), f.conn.SetDeadline(time.Now().Add(patience))); err != nil {
				return err
			}
		}
	}
	return f.worked()
}

// withdrawals withdraws prefixes that were never announced.
func withdrawals(ctx context.Context, s *stage, scale int) error {
	return s.volume(ctx, 4, 10_000_000/scale, func(nlri []byte) []byte { return update(nlri, nil, nil) })
}

// stuffed announces prefixes that no contract has, until the daemon has enough of it.
func stuffed(ctx context.Context, s *stage, scale int) error {
	err := s.volume(ctx, 5, 1_000_000/scale, func(nlri []byte) []byte {
		return update(nil, [][]byte{origin(), asPath(foeASN, farASN), nextHop(address4(1, 5))}, nlri)
	})
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.As(err, new(notification)) {
		return nil
	}
	return err
}

// volume sends messages about n different prefixes of 24 bits, 800 in each.
func (s *stage) volume(ctx context.Context, foe, n int, about func(nlri []byte) []byte) error {
	f := s.all[foe]
	if err := f.reach(ctx, established); err != nil {
		return err
	}
	defer f.hangUp()
	const perMessage = 800
	for done := 0; done < n; done += perMessage {
		nlri := make([]byte, 0, 4*perMessage)
		for i := range perMessage {
			// From 32.0.0.0 on, where there is room for ten million.
			nlri = binary.BigEndian.AppendUint32(nlri, 24<<24|32<<16+uint32(done+i))
		}
		if err := f.shout(ctx, about(nlri), 1); err != nil {
			return err
		}
	}
	return f.worked()
}

// drown tries the floods, and fails if the daemon keeps more memory than it may, beside what must never be.
func (s *stage) drown(ctx context.Context, scale int, out io.Writer) error {
	var errs []error
	for _, flood := range floods() {
		before, _, err := s.resident()
		if err != nil {
			return err
		}
		began := time.Now()
		watching, highest := s.highWater(ctx)
		err = flood.run(ctx, s, scale)
		watching()
		if bad := s.healthy(); err != nil || bad != nil {
			return fmt.Errorf("%s: %w", flood.name, errors.Join(err, bad))
		}
		took := time.Since(began)
		after, err := s.rested(ctx, before+flood.mebibytes)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", flood.name, err))
		}
		if *highest > before+flood.peak {
			errs = append(errs, fmt.Errorf("%s: %.0f MiB in between, %.0f before", flood.name, *highest, before))
		}
		fmt.Fprintf(out, "%-50s %6.1f s, resident memory %4.0f MiB before, %4.0f at most, %4.0f after\n", flood.name, took.Seconds(), before, *highest, after)
	}
	return errors.Join(errs...)
}

// rested waits until the daemon's memory has fallen to a limit, and returns what it is then.
func (s *stage) rested(ctx context.Context, limit float64) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the memory is not given back"))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		now, _, err := s.resident()
		if err != nil || now <= limit {
			return now, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return now, fmt.Errorf("%.0f MiB, more than %.0f: %w", now, limit, context.Cause(ctx))
		}
	}
}

// highWater follows the daemon's memory until the returned function is called, which completes the figure.
func (s *stage) highWater(ctx context.Context) (stop func(), highest *float64) {
	ctx, cancel := context.WithCancel(ctx)
	highest = new(float64)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if now, _, err := s.resident(); err == nil {
				*highest = max(*highest, now)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); watcher.Wait() }, highest
}
