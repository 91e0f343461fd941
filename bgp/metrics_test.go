package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// TestTheCollectorSaysWhatGoBGPsSays: the same families, labels and values, and not asked each time.
func TestTheCollectorSaysWhatGoBGPsSays(t *testing.T) {
	s := start(t, nil)
	r := startRemote(t, "192.168.0.2", 65001, s)
	r.announce(west)
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{r.peer("west")}))
	w := newWorld(t, s)
	w.becomes(west.String() + " from [192.168.0.2]")
	require.Eventually(t, func() bool { return len(r.received()) == 1 }, patience, 10*time.Millisecond)

	ours := s.Collector()
	theirs := metrics.NewBgpCollector(s.server)
	first := gather(t, ours)
	require.Len(t, first, 31)
	require.Contains(t, first["bgp_routes_received"], "value:1")
	now := gather(t, theirs)
	for name := range first {
		if name != "bgp_peer_uptime" { // of seconds
			require.Equal(t, now[name], first[name], name)
		}
	}

	r.announce(west6)
	w.becomes(west.String()+" from [192.168.0.2]", west6.String()+" from [192.168.0.2]")
	require.Equal(t, first["bgp_received_update_total"], gather(t, ours)["bgp_received_update_total"], "it rests")
	require.NotEqual(t, first["bgp_received_update_total"], gather(t, theirs)["bgp_received_update_total"])
}

// gather returns what a scrape says, by the names of the families.
func gather(t *testing.T, c prometheus.Collector) map[string]string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	all := map[string]string{}
	for _, f := range families {
		all[f.GetName()] = f.String()
	}
	return all
}
