package k8s

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/k8s/annotation"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func TestRenderWritesTheContract(t *testing.T) {
	r := Report{
		Cluster:     "east",
		LocalCIDRs:  prefixes("fd00:10:0:1::/64", "10.10.1.0/24"),
		RemoteCIDRs: prefixes("fd00:20::/49", "10.20.1.0/24", "10.20.0.0/24", "fd00:20:0:8000::/49", "10.20.0.0/25"),
		Clusters: []ClusterReport{
			{Name: "west", CIDRs: prefixes("10.20.1.0/24", "10.20.0.0/24"), PeersUp: 2, State: "Ready", Probe: "NAT"},
			{Name: "north", State: "Down", Reason: "NoSession", Probe: "no word"},
		},
		Ready: True, Reason: ReasonRoutesInstalled, Message: "3 routes\n installed",
	}
	c := render(&r)
	require.Equal(t, map[string]string{
		"underlayd.io/schema":          "1",
		"underlayd.io/cluster":         "east",
		"underlayd.io/local-cidrs":     "10.10.1.0/24,fd00:10:0:1::/64",
		"underlayd.io/remote-cidrs":    `["10.20.0.0/23","fd00:20::/48"]`,
		"underlayd.io/remote-clusters": `{"north":{"cidrs":[],"peers":0,"state":"Down","reason":"NoSession"},"west":{"cidrs":["10.20.0.0/23"],"peers":2,"state":"Ready","probe":"NAT"}}`,
		"underlayd.io/routes-hash":     annotation.Hash(prefixes("10.20.0.0/23", "fd00:20::/48")),
	}, c.annotations)
	require.Equal(t, "3 routes installed", c.message)
}

func TestRenderOfTheSameStateIsTheSameBytes(t *testing.T) {
	r := bigReport(3, 300)
	want := render(&r)
	for range 20 {
		shuffle := func(list []netip.Prefix) {
			rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		shuffle(r.LocalCIDRs)
		shuffle(r.RemoteCIDRs)
		rand.Shuffle(len(r.Clusters), func(i, j int) { r.Clusters[i], r.Clusters[j] = r.Clusters[j], r.Clusters[i] })
		for _, cluster := range r.Clusters {
			shuffle(cluster.CIDRs)
		}
		require.True(t, want.equal(render(&r)))
	}
}

// bigReport has clusters clusters with routes /24s and as many /64s each, of
// which no two can be aggregated.
func bigReport(clusters, routes int) Report {
	r := Report{Cluster: "east", LocalCIDRs: prefixes("10.10.1.0/24", "fd00:10:0:1::/64"), Ready: True, Reason: ReasonRoutesInstalled}
	for i := range clusters {
		c := ClusterReport{Name: fmt.Sprintf("cluster-%03d", i), PeersUp: 2, State: "Ready"}
		for j := range routes {
			n := i*routes + j
			c.CIDRs = append(c.CIDRs,
				netip.PrefixFrom(netip.AddrFrom4([4]byte{11 + byte(n>>15), byte(n >> 7), byte(n << 1), 0}), 24),
				netip.MustParsePrefix(fmt.Sprintf("fd00:%x:%x:%x::/64", i, j, 2*j)))
		}
		r.RemoteCIDRs = append(r.RemoteCIDRs, c.CIDRs...)
		r.Clusters = append(r.Clusters, c)
	}
	return r
}

// requireSchema holds annotations against the JSON Schema that consumers get.
func requireSchema(t *testing.T, annotations map[string]string) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(annotation.JSONSchema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertContent()
	require.NoError(t, compiler.AddResource("annotations.json", doc))
	schema, err := compiler.Compile("annotations.json")
	require.NoError(t, err)
	object := map[string]any{}
	for key, value := range annotations {
		object[key] = value
	}
	require.NoError(t, schema.Validate(object))
}

func TestRenderKeepsTheBudget(t *testing.T) {
	local := func(n int) []netip.Prefix {
		var list []netip.Prefix
		for i := range n {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, byte(i >> 2), byte(i << 6)}), 26))
		}
		return list
	}
	for _, row := range []struct {
		name                  string
		report                Report
		cut, omitted, partial bool
	}{
		{"a small state is written whole", bigReport(2, 10), false, false, false},
		{"first the clusters' own lists go", bigReport(3, 80), true, true, false},
		{"then remote CIDRs", bigReport(3, 500), true, true, true},
		{"a hundred thousand routes", bigReport(5, 10000), true, true, true},
		{"more clusters than fit", bigReport(400, 1), true, true, true},
		{"more local CIDRs than fit", func() Report { r := bigReport(3, 300); r.LocalCIDRs = local(1000); return r }(), true, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := render(&row.report)
			size := 0
			for key, value := range c.annotations {
				size += len(key) + len(value)
			}
			require.LessOrEqual(t, size, budget)
			s, err := annotation.Parse(c.annotations)
			require.NoError(t, err)
			requireSchema(t, c.annotations)
			require.Equal(t, row.cut, s.Truncated > 0)
			require.Equal(t, row.omitted, s.Clusters[0].Omitted)
			require.Equal(t, !row.partial, s.Complete)
			for _, prefix := range s.RemoteCIDRs {
				require.True(t, c.remote.ContainsPrefix(prefix), "what is listed is routed")
			}
			families := [2]int{}
			for _, prefix := range s.RemoteCIDRs {
				if prefix.Addr().Is4() {
					families[0]++
				} else {
					families[1]++
				}
			}
			if row.partial {
				require.Greater(t, size, budget-64, "what fits is kept")
				require.InDelta(t, families[0], families[1], 1, "neither family silences the other")
			}
		})
	}
}

func TestACutLeavesEveryClusterItsShare(t *testing.T) {
	// One cluster floods; the others have little, one of them in one family alone.
	r := bigReport(3, 2000)
	r.Clusters = r.Clusters[:1]
	r.Clusters[0].Name = "flood"
	r.RemoteCIDRs = slices.Clone(r.Clusters[0].CIDRs)
	small := map[string][]netip.Prefix{
		"west":  prefixes("10.20.0.0/28", "10.20.1.0/28", "fd00:1:20::/80"),
		"north": prefixes("fd00:1:30::/80", "fd00:1:31::/80"),
		// Adjacent to a prefix of the flood, and one with it in the flat list.
		"joined": prefixes("11.0.1.0/24"),
	}
	for name, cidrs := range small {
		r.Clusters = append(r.Clusters, ClusterReport{Name: name, CIDRs: cidrs, State: "Ready"})
		r.RemoteCIDRs = append(r.RemoteCIDRs, cidrs...)
	}
	c := render(&r)
	s, err := annotation.Parse(c.annotations)
	require.NoError(t, err)
	require.False(t, s.Complete)
	for _, cidrs := range small {
		for _, prefix := range cidrs {
			answer, _ := s.Routable(prefix.Addr())
			require.Equal(t, annotation.Yes, answer, "%s, though a greedy cluster has wider prefixes", prefix)
		}
	}
	for _, prefix := range s.RemoteCIDRs {
		require.True(t, c.remote.ContainsPrefix(prefix), "what is listed is routed")
	}
	require.True(t, c.equal(render(&r)), "the same ones each time")
}

func TestRenderCountsExactlyWhatIsMissing(t *testing.T) {
	r := bigReport(3, 500)
	c := render(&r)
	s, err := annotation.Parse(c.annotations)
	require.NoError(t, err)
	// 3000 in the clusters' lists, and of the flat list what was not kept.
	require.Equal(t, 3000+3000-len(s.RemoteCIDRs), s.Truncated)
	require.Equal(t, annotation.Hash(aggregated(r.RemoteCIDRs)), s.Hash, "the hash is of the complete set")
}

func aggregated(list []netip.Prefix) []netip.Prefix {
	out, _ := aggregate(list)
	return out
}

func TestRenderWritesNothingTheContractForbids(t *testing.T) {
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprint("word", i))
	}
	for name, r := range map[string]Report{
		"nothing at all":       {Cluster: "east"},
		"a whole family":       {Cluster: "east", RemoteCIDRs: prefixes("0.0.0.0/1", "128.0.0.0/1", "::/0")},
		"host bits":            {Cluster: "east", LocalCIDRs: prefixes("10.10.1.7/24"), RemoteCIDRs: prefixes("10.20.1.7/24")},
		"no prefix":            {Cluster: "east", LocalCIDRs: []netip.Prefix{{}}, RemoteCIDRs: []netip.Prefix{{}}},
		"IPv4-mapped prefixes": {Cluster: "east", LocalCIDRs: prefixes("::ffff:10.0.0.0/104"), RemoteCIDRs: prefixes("::ffff:10.0.0.0/104")},
		"odd clusters": {Cluster: "east", Clusters: []ClusterReport{
			{Name: "Not A Label", State: "Ready"}, {Name: "", State: "Ready"}, {Name: "west", State: "two words", Reason: "1st", PeersUp: -3},
			{Name: "west", State: "Ready"},
		}},
		"a message that is a book": {Cluster: "east", Message: strings.Join(many, "\n") + "\xff"},
		"a condition of its own":   {Cluster: "east", Ready: "Maybe"},
	} {
		t.Run(name, func(t *testing.T) {
			c := render(&r)
			_, err := annotation.Parse(c.annotations)
			require.NoError(t, err)
			requireSchema(t, c.annotations)
			require.LessOrEqual(t, len(c.message), maxMessage)
			require.NotContains(t, c.message, "\n")
			require.Contains(t, []ConditionStatus{True, False, Unknown}, c.status)
		})
	}
}

func TestApplyBodyIsStableAndHoldsOurFieldsOnly(t *testing.T) {
	r := Report{Cluster: "east", Ready: True, Reason: "RoutesInstalled", Message: "all <good> & well"}
	at := mustTime("2026-02-03T04:05:06.789Z")
	body, err := applyBody("one", render(&r), at)
	require.NoError(t, err)
	require.Equal(t, `{"apiVersion":"v1","kind":"Node","metadata":{"name":"one","annotations":{`+
		`"underlayd.io/cluster":"east","underlayd.io/local-cidrs":"","underlayd.io/remote-cidrs":"[]",`+
		`"underlayd.io/remote-clusters":"{}","underlayd.io/routes-hash":"sha256:4f53cda18c2baa0c","underlayd.io/schema":"1"}},`+
		`"status":{"conditions":[{"type":"UnderlayRoutesReady","status":"True","reason":"RoutesInstalled","message":"all <good> & well",`+
		`"lastTransitionTime":"2026-02-03T04:05:06Z","lastHeartbeatTime":"2026-02-03T04:05:06Z"}]}}`+"\n", string(body))
	body, err = applyBody("one", nil, at)
	require.NoError(t, err)
	require.Equal(t, `{"apiVersion":"v1","kind":"Node","metadata":{"name":"one"}}`+"\n", string(body))
}

func BenchmarkRender(b *testing.B) {
	for _, n := range []int{100, 10000, 100000} {
		b.Run(fmt.Sprint(n, " routes"), func(b *testing.B) {
			r := bigReport(5, n/10)
			for b.Loop() {
				render(&r)
			}
		})
	}
}
