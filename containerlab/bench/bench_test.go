package main

import (
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/kernel"
)

func TestPrefixesAreWatchedAndFoundAgain(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, i := range []int{0, 1, 65_536, mostNets - 1, mostNets} {
			k := kernel.KeyOf(prefixOf(i, v6))
			require.True(t, watched(k))
			require.Equal(t, i, indexOf(k))
		}
	}
	require.False(t, watched(kernel.KeyOf(netip.MustParsePrefix("172.31.0.0/16"))))
	require.False(t, watched(kernel.KeyOf(netip.MustParsePrefix("fd00:be::/64"))))
}

func TestATargetIsReachedOnlyWhenAllOfItIs(t *testing.T) {
	failover := than(0.1, "BIRD", "FRR")
	failover.Limit, failover.Under = 0.1, true
	for name, c := range map[string]struct {
		target     *target
		figures    map[string]float64
		met, known bool
	}{
		"faster than both":              {than(0.8, "BIRD", "FRR"), map[string]float64{ours: 1.6, "BIRD": 4, "FRR": 2}, true, true},
		"faster than the slower only":   {than(0.8, "BIRD", "FRR"), map[string]float64{ours: 1.7, "BIRD": 4, "FRR": 2}, false, true},
		"nobody to compare with":        {than(1, "FRR"), map[string]float64{ours: 1}, false, false},
		"a limit of none, and none":     {limit(0), map[string]float64{ours: 0}, true, true},
		"a limit of none, and one":      {limit(0), map[string]float64{ours: 1}, false, true},
		"the ratio but not the limit":   {failover, map[string]float64{ours: 0.2, "BIRD": 3, "FRR": 4}, false, true},
		"the limit but not the ratio":   {failover, map[string]float64{ours: 0.09, "BIRD": 0.5, "FRR": 4}, false, true},
		"both the limit and the ratio":  {failover, map[string]float64{ours: 0.04, "BIRD": 0.5, "FRR": 4}, true, true},
		"ours was not measured":         {limit(1), map[string]float64{"BIRD": 0.5}, false, false},
		"as fast as what it must equal": {than(1, "FRR"), map[string]float64{ours: 2, "FRR": 2}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			met, known := c.target.met(c.figures)
			require.Equal(t, c.met, met)
			require.Equal(t, c.known, known)
		})
	}
	require.Equal(t, "≤ 0.1 × the faster, ≤ 0.1", failover.String())
	require.Equal(t, "≤ 0.8 × FRR", than(0.8, "FRR").String())
}

func TestMediansAndPercentiles(t *testing.T) {
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 3, 2}))
	var values []time.Duration
	for i := range 100 {
		values = append(values, time.Duration(100-i)*time.Millisecond)
	}
	require.Equal(t, 99.0, percentile(values, 0.99))
	require.Equal(t, 50.0, percentile(values, 0.5))
	require.True(t, math.IsNaN(percentile(nil, 0.5)))
	require.Equal(t, "1,000,000", thousands(1_000_000))
}

// The harness has to work before it may judge anybody: a small contest between the two speakers that are not ours.
func TestASmallContest(t *testing.T) {
	containerlab.Require(t, "bird", "zebra", "bgpd", "ip", "install")
	o, err := parseOptions([]string{"-quick", "-routes", "500", "-million", "1000", "-probes", "8", "-out", filepath.Join(t.TempDir(), "bench.json")})
	require.NoError(t, err)
	o.topology, err = containerlab.Load("bench.clab.yml")
	require.NoError(t, err)
	list, err := chosen(workloads(), "spread,packed6,backup,single", func(w workload) string { return w.name })
	require.NoError(t, err)
	c := &contest{options: o, workloads: list, speakers: speakers(options{underlayd: "underlayd"})[1:], results: newResults(), out: t.Output()}
	require.NoError(t, c.run(t.Context()))
	require.Empty(t, c.results.failed)
	text, err := os.ReadFile(o.out)
	require.NoError(t, err)
	require.Contains(t, string(text), `"failover"`)
}
