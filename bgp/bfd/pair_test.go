package bfd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

const patience = time.Minute

// theirs is what the other end is told.
type theirs struct {
	Program      string // frr, bird, or none
	Milliseconds int
	Multiplier   int
}

// pair is a lab of testdata/pair.clab.yml.
type pair struct {
	*containerlab.Lab
	t *testing.T
}

// newPair makes the lab in a folder of its own, where the files are filled in.
func newPair(t *testing.T, other theirs) pair {
	containerlab.Require(t, map[string][]string{"frr": {"bfdd", "vtysh", "nft"}, "bird": {"bird", "birdc", "nft"}}[other.Program]...)
	folder := t.TempDir()
	for _, name := range []string{"pair.clab.yml", "daemons", "frr.conf", "bird.conf"} {
		text, err := template.ParseFiles(filepath.Join("testdata", name))
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, text.Execute(&out, other))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), out.Bytes(), 0o644))
	}
	return pair{containerlab.UpForTest(t, filepath.Join(folder, "pair.clab.yml"), containerlab.Options{}), t}
}

// monitor runs a monitor in a node until the test ends.
func (p pair) monitor(node string, sessions ...Session) *Monitor {
	p.t.Helper()
	m, _ := p.stoppable(node, sessions...)
	return m
}

// stoppable is a monitor that may be stopped earlier.
func (p pair) stoppable(node string, sessions ...Session) (m *Monitor, stop func()) {
	p.t.Helper()
	m = New()
	require.NoError(p.t, m.SetSessions(sessions))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Node(node).Do(func() error { return m.Run(ctx) }) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(p.t, <-done)
		}
	}
	p.t.Cleanup(stop)
	return m, stop
}

// ours are the five sessions from us to them: one hop, two hops, both families, and link-local.
func ours(interval time.Duration, multiplier int) []Session {
	var list []Session
	for _, s := range []struct {
		peer string
		hops int
	}{{"10.1.0.2", 1}, {"fd00:1::2", 1}, {"fe80::2%eth1", 1}, {"10.3.0.2", 2}, {"fd00:3::2", 2}} {
		list = append(list, Session{Peer: netip.MustParseAddr(s.peer), Hops: s.hops, Interval: interval, Multiplier: multiplier})
	}
	return list
}

// until waits for something to become true of all sessions.
func until(t *testing.T, m *Monitor, what string, is func(State) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, containerlab.Until(ctx, what, func(context.Context) error {
		states := m.Sessions()
		i := slices.IndexFunc(states, func(s State) bool { return !is(s) })
		if i < 0 && len(states) > 0 {
			return nil
		}
		if i < 0 {
			return errors.New("there are no sessions")
		}
		return fmt.Errorf("%+v", states[i])
	}))
}

func up(s State) bool   { return s.Status == Up && s.RemoteStatus == Up && s.Problem == "" }
func down(s State) bool { return s.Status == Down }

// in runs a program in a node.
func (p pair) in(node string, argv ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := p.Node(node).Output(ctx, argv...)
	require.NoError(p.t, err)
	return out
}

// deaf drops all BFD packets that come to a node.
func (p pair) deaf(node string) {
	p.t.Helper()
	p.in(node, "nft", "table inet bfd { chain in { type filter hook input priority 0; udp dport { 3784, 4784 } drop; }; }")
}

func (p pair) hears(node string) {
	p.t.Helper()
	p.in(node, "nft", "delete table inet bfd")
}

// back are the sessions from them to us that go with ours.
func back(sessions []Session) []Session {
	ends := map[string]string{
		"10.1.0.2": "10.1.0.1", "fd00:1::2": "fd00:1::1", "fe80::2%eth1": "fe80::1%eth1",
		"10.3.0.2": "10.2.0.1", "fd00:3::2": "fd00:2::1",
	}
	list := slices.Clone(sessions)
	for i := range list {
		list[i].Peer = netip.MustParseAddr(ends[list[i].Peer.String()])
	}
	return list
}
