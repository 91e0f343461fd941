package bfd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// inTime checks that a failure was told at most 20 % later than agreed. What this machine did not give us in time comes on
// top, several times if need be, with the time of a packet that is then allowed for: there are always at least three.
func inTime(t *testing.T, m *Monitor, took, agreed time.Duration) {
	t.Helper()
	allowed := agreed * 6 / 5
	if d := m.Delay(); d > tolerance {
		t.Logf("this machine let us wait for %s", d)
		allowed += 5 * (d + agreed/3)
	}
	require.LessOrEqual(t, took, allowed)
}

// TestInterop has five sessions with another program, for all that may happen to them: over one hop and over two, IPv4
// and IPv6, and link-local.
func TestInterop(t *testing.T) {
	for _, c := range []struct {
		what       string
		interval   time.Duration
		multiplier int
		theirs     theirs
		story      bool
	}{
		{"frr with equal timers", 300 * ms, 10, theirs{"frr", 300, 10}, true},
		{"frr that is slower", 100 * ms, 8, theirs{"frr", 300, 10}, false},
		{"frr that is faster", 300 * ms, 10, theirs{"frr", 50, 8}, false},
		{"bird with equal timers", 300 * ms, 10, theirs{"bird", 300, 10}, true},
		{"bird that is slower", 100 * ms, 8, theirs{"bird", 300, 10}, false},
		{"bird that is faster", 300 * ms, 10, theirs{"bird", 50, 8}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c.theirs)
			m := p.monitor("us", p.ours(c.interval, c.multiplier)...)
			slower := max(c.interval, time.Duration(c.theirs.Milliseconds)*ms)
			detection := time.Duration(c.theirs.Multiplier) * slower
			until(t, m, "sessions to be up, with the agreed timers", func(s State) bool {
				return up(s) && s.TxInterval == slower && s.DetectionTime == detection
			})
			p.weAreDeaf(m, detection)
			p.theyAreDeaf(m, time.Duration(c.multiplier)*slower)
			if c.story {
				p.theyAreKilled(m)
				p.timersChange(m)
				p.theyAreHeld(m)
				p.weAreHeld(m)
			}
			require.Empty(t, m.Refused())
		})
	}
}

// lost returns the losses of all sessions.
func (p pair) lost(m *Monitor) (losses []Loss) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	want := len(m.Sessions())
	require.NoError(p.t, containerlab.Until(ctx, "losses", func(context.Context) error {
		losses = append(losses, m.Lost()...)
		if len(losses) < want {
			return fmt.Errorf("%d of %d", len(losses), want)
		}
		return nil
	}))
	require.Len(p.t, losses, want, "each is told once")
	return losses
}

func (p pair) weAreDeaf(m *Monitor, detection time.Duration) {
	m.Delay()
	m.Lost() // of sessions whose other end was kept from running
	p.deaf("us")
	losses := p.lost(m)
	p.hears("us")
	var worst time.Duration
	for _, l := range losses {
		require.Equal(p.t, DetectionTimeExpired, l.Diag)
		require.Equal(p.t, 1, l.Times)
		require.GreaterOrEqual(p.t, l.Silence, detection)
		worst = max(worst, l.Silence)
	}
	p.t.Logf("we miss packets: agreed %s, told after %s at worst", detection, worst)
	inTime(p.t, m, worst, detection)
	until(p.t, m, "sessions to be up again", up)
}

// theyAreDeaf waits for the other program to find out and to tell. One that is kept from running meanwhile has its silence
// found out about instead, and is asked again.
func (p pair) theyAreDeaf(m *Monitor, detection time.Duration) {
	for tries := 1; ; tries++ {
		m.Lost()
		before := time.Now()
		p.deaf("them")
		losses := p.lost(m)
		p.hears("them")
		until(p.t, m, "sessions to be up again", up)
		if tries < 5 && slices.ContainsFunc(losses, func(l Loss) bool { return l.Diag == DetectionTimeExpired }) {
			continue
		}
		var worst time.Duration
		for _, l := range losses {
			require.Equal(p.t, NeighborSignaledDown, l.Diag)
			require.Equal(p.t, DetectionTimeExpired, l.RemoteDiag)
			worst = max(worst, l.At.Sub(before))
		}
		p.t.Logf("they miss packets: agreed %s, told after %s at worst, with the making of the fault", detection, worst)
		return
	}
}

// daemon is what is running at the other end.
func (p pair) daemon() *containerlab.Process {
	for _, name := range []string{"bfdd", "bird"} {
		if d := p.Node("them").Process(name); d != nil {
			return d
		}
	}
	require.Fail(p.t, "there is no daemon")
	return nil
}

func (p pair) theyAreKilled(m *Monitor) {
	require.NoError(p.t, p.daemon().Kill())
	for _, l := range p.lost(m) {
		require.Equal(p.t, DetectionTimeExpired, l.Diag)
		require.False(p.t, l.RemoteIndependent)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	require.NoError(p.t, p.Node("them").Launch(ctx))
	until(p.t, m, "sessions to be up with a restarted daemon", up)
	require.Empty(p.t, m.Lost())
}

func (p pair) timersChange(m *Monitor) {
	before := m.Sessions()
	for _, c := range []struct {
		interval   time.Duration
		multiplier int
	}{{600 * ms, 5}, {50 * ms, 60}, {300 * ms, 10}} {
		require.NoError(p.t, m.SetSessions(p.ours(c.interval, c.multiplier)))
		slower := max(c.interval, 300*ms)
		until(p.t, m, "new timers", func(s State) bool { return s.TxInterval == slower && s.DetectionTime == 10*slower })
	}
	require.Empty(p.t, m.Lost())
	for i, s := range m.Sessions() {
		require.Equal(p.t, before[i].Since, s.Since, "the session stays up")
	}
}

// theyAreHeld is for FRR alone: BIRD does not tell that it is administratively down.
func (p pair) theyAreHeld(m *Monitor) {
	if p.daemon().Name() != "bfdd" {
		return
	}
	p.in("them", "vtysh", "-c", "configure", "-c", "bfd", "-c", "profile test", "-c", "shutdown")
	until(p.t, m, "sessions to be held by the peer", func(s State) bool {
		return s.Status == Down && s.Diag == NeighborSignaledDown && s.RemoteStatus == AdminDown
	})
	require.Empty(p.t, m.Lost(), "this is no failure")
	p.in("them", "vtysh", "-c", "configure", "-c", "bfd", "-c", "profile test", "-c", "no shutdown")
	until(p.t, m, "sessions to be up again", up)
	require.Empty(p.t, m.Lost())
}

func (p pair) weAreHeld(m *Monitor) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	require.NoError(p.t, m.AdminDown(ctx))
	for _, s := range m.Sessions() {
		require.Equal(p.t, AdminDown, s.Status)
	}
	if p.daemon().Name() == "bfdd" {
		out := p.in("them", "vtysh", "-c", "show bfd peers json")
		require.Equal(p.t, 5, strings.Count(out, `"diagnostic":"neighbor signaled session down"`), out)
		require.Equal(p.t, 5, strings.Count(out, `"remote-diagnostic":"administratively down"`), out)
	} else {
		require.NotContains(p.t, p.in("them", "birdc", "show", "bfd", "sessions"), "Up")
	}
	require.Empty(p.t, m.Lost())
	require.NoError(p.t, m.SetSessions(p.ours(300*ms, 10)))
	until(p.t, m, "sessions to be up again", up)
	require.Empty(p.t, m.Lost())
}

// ours are the sessions of a lab. BIRD does not send with the largest TTL over several hops: 255 hops accept any.
func (p pair) ours(interval time.Duration, multiplier int) []Session {
	list := ours(interval, multiplier)
	if p.Node("them").Process("bird") != nil {
		for i := range list {
			if list[i].Hops > 1 {
				list[i].Hops = MaxHops
			}
		}
	}
	return list
}

func TestAFailedLinkIsTold(t *testing.T) {
	for _, end := range []string{"us", "them"} {
		t.Run("at the end of "+end, func(t *testing.T) {
			p := newPair(t, theirs{"none", 0, 0})
			sessions := ours(100*ms, 10)[:3]
			m := p.monitor("us", sessions...)
			p.monitor("them", back(sessions)...)
			until(t, m, "sessions to be up", up)
			m.Delay()
			m.Lost()
			before := time.Now()
			require.NoError(t, p.Node(end).LinkDown("eth1"))
			var worst time.Duration
			for _, l := range p.lost(m) {
				require.Equal(t, DetectionTimeExpired, l.Diag)
				t.Logf("agreed 1s, told after %s, %s after the link", l.Silence, l.At.Sub(before))
				worst = max(worst, l.Silence)
			}
			inTime(t, m, worst, time.Second)
			if end == "us" {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				require.NoError(t, containerlab.Until(ctx, "a reason", func(context.Context) error {
					if slices.ContainsFunc(m.Sessions(), func(s State) bool { return s.Problem == "" }) {
						return errors.New("no problem")
					}
					return nil
				}))
			}
			require.NoError(t, p.Node(end).LinkUp("eth1"))
			for _, a := range []string{"fd00:1::", "fe80::"} { // the kernel drops them with the link
				host := map[string]string{"us": "1", "them": "2"}[end]
				p.in(end, "ip", "addr", "replace", a+host+"/64", "dev", "eth1", "nodad")
			}
			until(t, m, "sessions to be up again", up)
		})
	}
}
