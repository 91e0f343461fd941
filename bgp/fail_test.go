package bgp

import (
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ip runs the command of that name in the tests' namespace.
func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// addLink makes a link with the speaker's link-local address on it.
func addLink(t *testing.T) {
	t.Helper()
	ip(t, "link", "add", "far0", "type", "veth", "peer", "name", "far1")
	ip(t, "address", "add", "fe80::1/64", "dev", "far0", "nodad")
}

// TestAPeerThatCantBeBuiltAnewIsAddedByTheNextSetPeers: GoBGP wants our address on the link of a link-local peer when it
// adds it, and the link is gone.
func TestAPeerThatCantBeBuiltAnewIsAddedByTheNextSetPeers(t *testing.T) {
	for name, rebuild := range map[string]func(*subject, netip.Addr) error{
		"its graceful restart is over": func(s *subject, peer netip.Addr) error { return s.Renew(t.Context(), peer, Restarting) },
		"our own restart is over":      func(s *subject, _ netip.Addr) error { return s.Restarted(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(c *Config) { c.Restarting = true })
			a := startRemote(t, "192.168.0.2", 65000, s)
			far := a.peer("far")
			far.Address, far.LocalAddress, far.Port = netip.MustParseAddr("fe80::2%far0"), netip.Addr{}, 1
			both := []Peer{a.peer("a"), far}
			addLink(t)
			t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", "far0").Run() })
			require.NoError(t, s.SetPeers(t.Context(), both))
			established(t, s, "a")
			before := s.Sessions()[0]

			ip(t, "link", "delete", "far0")
			require.ErrorContains(t, rebuild(s, far.Address), "far")
			require.Contains(t, s.Sessions()[1].LastError, "interface", "it says why it is away")
			require.Error(t, s.SetPeers(t.Context(), both))
			require.Contains(t, s.Sessions()[1].LastError, "interface")

			addLink(t)
			require.NoError(t, s.SetPeers(t.Context(), both))
			require.Empty(t, s.Sessions()[1].LastError)
			_, timers, err := s.inspect(t.Context(), far.Address)
			require.NoError(t, err)
			require.NotNil(t, timers, "GoBGP has it")
			require.Equal(t, before.Since, s.Sessions()[0].Since, "the others are not touched")
		})
	}
}

// TestWhoIsBuiltAnewHasTimeIfItIsUp: only such a peer sends all of its routes again in a moment.
func TestWhoIsBuiltAnewHasTimeIfItIsUp(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	away := a.peer("b-away")
	away.Address, away.Port = netip.MustParseAddr("192.168.0.3"), 1
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), away}))
	established(t, s, "a")
	grace := map[netip.Addr]time.Duration{}
	for _, peer := range []netip.Addr{a.addr, away.Address} {
		require.NoError(t, s.Renew(t.Context(), peer, Unreachable))
		for _, loss := range s.Lost() {
			if loss.Peer == peer {
				require.Equal(t, Unreachable, loss.Cause)
				grace[peer] = loss.Grace
			}
		}
	}
	require.Equal(t, map[netip.Addr]time.Duration{a.addr: rebuildGrace, away.Address: 0}, grace)
	established(t, s, "a")
}
