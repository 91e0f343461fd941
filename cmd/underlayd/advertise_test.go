package main

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

func TestWhatIsBelievedOfTheNode(t *testing.T) {
	odd := errors.New(`node east-1: spec.podCIDRs: "x" is not a CIDR`)
	unknown := fmt.Errorf("node east-1: no such Node: %w", k8s.ErrNotSynced)
	first, second := netip.MustParsePrefix("10.10.1.0/24"), netip.MustParsePrefix("fd00:10:0:1::/64")
	both, one := []netip.Prefix{first, second}, []netip.Prefix{first}
	for name, row := range map[string]struct {
		before bool // the pod CIDRs were known
		cidrs  []netip.Prefix
		err    error

		want       []netip.Prefix // nil: it stays as it is
		known      bool
		remembered []netip.Prefix // second: as before
		problem    string
	}{
		"all is well":                        {false, both, nil, both, true, both, ""},
		"there are none any more":            {true, nil, nil, nil, true, nil, ""},
		"an odd entry does not silence one":  {false, one, odd, one, true, one, odd.Error()},
		"nor two when it comes later":        {true, both, odd, both, true, both, odd.Error()},
		"odd entries only are not none":      {false, nil, odd, nil, false, both[1:], odd.Error()},
		"nor are they later":                 {true, nil, odd, nil, false, both[1:], odd.Error()},
		"nothing is known":                   {false, nil, unknown, nil, false, both[1:], ""},
		"nothing but what the last run had":  {false, one, unknown, one, true, both[1:], ""},
		"what is known stays, whatever else": {true, one, unknown, nil, false, both[1:], ""},
	} {
		t.Run(name, func(t *testing.T) {
			log, hook := test.NewNullLogger()
			a := deciding(1)
			a.log, a.keeper, a.podsKnown = log, newKeeper(t.TempDir()), row.before
			a.memo.PodCIDRs = both[1:]
			for range 3 {
				cidrs, known := a.believe(row.cidrs, row.err)
				require.Equal(t, row.known, known)
				require.Equal(t, row.want, cidrs)
			}
			require.Equal(t, row.remembered, a.memo.PodCIDRs)
			problems := a.podProblems()
			if row.problem == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			require.Equal(t, row.problem, problems[0].Message)
			errors := 0
			for _, e := range hook.AllEntries() {
				if e.Level == logrus.ErrorLevel {
					errors++
				}
			}
			require.Equal(t, 1, errors, "it is logged once")
			_, known := a.believe(both, nil)
			require.True(t, known)
			require.Empty(t, a.podProblems(), "it was corrected")
		})
	}
}

func TestWhereWhatIsAdvertisedWasRead(t *testing.T) {
	first, second := netip.MustParsePrefix("10.10.1.0/24"), netip.MustParsePrefix("fd00:10:0:1::/64")
	require.Equal(t, []status.Origin{{Prefix: first, Source: "calico"}, {Prefix: second, Source: "static"}},
		originsOf([]netip.Prefix{first, second}, map[netip.Prefix]k8s.Source{first: k8s.SourceCalico, netip.MustParsePrefix("10.9.0.0/24"): k8s.SourceNode}))
	require.Empty(t, originsOf(nil, nil))
}

func TestTheSourceOfPodCIDRs(t *testing.T) {
	c := &config.Config{}
	for _, source := range []config.PodCIDRSource{
		config.SourceAuto, config.SourceNode, config.SourceCalico, config.SourceCilium, config.SourceOVN, config.SourceKubeRouter,
	} {
		c.Kubernetes.PodCIDRSource = source
		require.Equal(t, string(source), string(podCIDRSource(c)))
		require.True(t, podCIDRSource(c).Valid(), "k8s knows it too")
	}
	c.Node.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.10.1.0/24")}
	require.Equal(t, k8s.SourceStatic, podCIDRSource(c), "what the configuration says comes before all")
}
