package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

const patience = 20 * time.Second

// world is two nodes and the router between them, of testdata/ways.clab.yml.
type world struct {
	*containerlab.Lab
	t *testing.T
}

func newWorld(t *testing.T) world {
	containerlab.Require(t, "ip", "sysctl", "nft")
	return world{containerlab.UpForTest(t, "testdata/ways.clab.yml", containerlab.Options{}), t}
}

// sh runs a script in a node; it must succeed.
func (w world) sh(node, script string) {
	w.t.Helper()
	_, err := w.Node(node).Output(w.t.Context(), "sh", "-ec", script)
	require.NoError(w.t, err)
}

const testInterval = 100 * time.Millisecond

// settings are those of a cluster that probes the other one, in both families.
func settings(t *testing.T, us, it string) Settings {
	name := map[string]string{"1": "east", "2": "west"}
	id := map[string]uint32{"1": 1, "2": 2}
	return Settings{
		Key: testKey(t, "0123456789abcdef"), Port: 9178, Interval: testInterval, Sample: 3, Rate: 1000,
		Cluster: name[us], ClusterID: id[us], Node: name[us] + "-1",
		IPv4: Local{netip.MustParseAddr("10." + us + "0.1.1"), netip.MustParseAddr("192.168." + us + ".1")},
		IPv6: Local{netip.MustParseAddr("fd00:" + us + "0::1"), netip.MustParseAddr("fd00:" + us + "::1")},
		Targets: []Target{
			{Cluster: name[it], Address: netip.MustParseAddr("10." + it + "0.1.1")},
			{Cluster: name[it], Address: netip.MustParseAddr("fd00:" + it + "0::1")},
		},
	}
}

// run runs a monitor in a node until the test ends.
func (w world) run(node string, s Settings, back func(Asker) Back) *Monitor {
	m := New(back)
	m.Set(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Node(node).Do(func() error { return m.Run(ctx) }) }()
	w.t.Cleanup(func() {
		cancel()
		require.NoError(w.t, <-done)
	})
	return m
}

// until waits for something to become true of both families.
func (w world) until(m *Monitor, what string, is func(Sum) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	require.NoError(w.t, containerlab.Until(ctx, what, func(context.Context) error {
		r := m.Results()
		if len(r.Sums) != 2 {
			return errors.New("there are not two")
		}
		for _, s := range r.Sums {
			if len(s.Nodes) != 1 || !is(s) {
				return fmt.Errorf("%+v; %v", s, r.Problems)
			}
		}
		return nil
	}))
}

func backOK(Asker) Back { return BackOK }
