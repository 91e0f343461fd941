package annotation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// node returns the annotations of a healthy Node with some replaced; "-" removes.
func node(changes ...string) map[string]string {
	remote := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00:20::/48")}
	annotations := map[string]string{
		"example.org/other":       "x",
		annotation.Schema:         "1",
		annotation.Cluster:        "east",
		annotation.LocalCIDRs:     "10.10.1.0/24,fd00:10:0:1::/64",
		annotation.RemoteCIDRs:    annotation.EncodeCIDRs(remote),
		annotation.RemoteClusters: `{"west":{"cidrs":["10.20.0.0/16","fd00:20::/48"],"peers":2,"state":"Ready","probe":"NAT"},"north":{"cidrs":[],"peers":0,"state":"Down","reason":"HoldTimerExpired"}}`,
		annotation.RoutesHash:     annotation.Hash(remote),
	}
	for i := 0; i < len(changes); i += 2 {
		annotations[changes[i]] = changes[i+1]
		if changes[i+1] == "-" {
			delete(annotations, changes[i])
		}
	}
	return annotations
}

func TestParseReadsWhatTheAgentWrites(t *testing.T) {
	s, err := annotation.Parse(node())
	require.NoError(t, err)
	require.Equal(t, "east", s.Cluster)
	require.True(t, s.Complete)
	require.Zero(t, s.Truncated)
	require.Equal(t, "[10.10.1.0/24 fd00:10:0:1::/64]", fmt.Sprint(s.LocalCIDRs))
	require.Equal(t, "[10.20.0.0/16 fd00:20::/48]", fmt.Sprint(s.RemoteCIDRs))
	require.Len(t, s.Clusters, 2)
	require.Equal(t, annotation.RemoteCluster{Name: "north", CIDRs: []netip.Prefix{}, State: "Down", Reason: "HoldTimerExpired"}, s.Clusters[0])
	require.Equal(t, 2, s.Clusters[1].Peers)
	require.Equal(t, "NAT", s.Clusters[1].Probe)
	require.Empty(t, s.Clusters[0].Probe)
}

func TestTheHashCanBeCheckedWithAShell(t *testing.T) {
	// printf '["10.20.0.0/16"]' | sha256sum | cut -c1-16
	require.Equal(t, "sha256:f8a286cb6d092018", annotation.Hash([]netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}))
}

func TestRoutableAnswers(t *testing.T) {
	whole := node()
	cut := node(annotation.Truncated, "3", annotation.RoutesHash, "sha256:0123456789abcdef")
	listsOmitted := node(annotation.Truncated, "2", annotation.RemoteClusters, `{"west":{"peers":2,"state":"Ready"}}`)
	for _, row := range []struct {
		name        string
		annotations map[string]string
		addr        string
		answer      annotation.Answer
		cluster     string
	}{
		{"an address of a remote cluster", whole, "10.20.7.9", annotation.Yes, "west"},
		{"the first address of the range", whole, "10.20.0.0", annotation.Yes, "west"},
		{"the last address of the range", whole, "10.20.255.255", annotation.Yes, "west"},
		{"the address after the range", whole, "10.21.0.0", annotation.No, ""},
		{"an address before every range", whole, "1.1.1.1", annotation.No, ""},
		{"an IPv6 address of a remote cluster", whole, "fd00:20::1", annotation.Yes, "west"},
		{"an IPv4 address written as IPv6", whole, "::ffff:10.20.7.9", annotation.Yes, "west"},
		{"a pod of the node itself is not remote", whole, "10.10.1.4", annotation.No, ""},
		{"a zone", whole, "fe80::1%eth0", annotation.No, ""},
		{"no address at all", whole, "", annotation.No, ""},
		{"a listed address though the lists were cut", cut, "10.20.7.9", annotation.Yes, "west"},
		{"an address that may have been cut", cut, "10.30.0.1", annotation.Unknown, ""},
		{"only the clusters' lists were cut: routable, cluster not said", listsOmitted, "10.20.7.9", annotation.Yes, ""},
		{"only the clusters' lists were cut: no is still no", listsOmitted, "10.30.0.1", annotation.No, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := annotation.Parse(row.annotations)
			require.NoError(t, err)
			addr, _ := netip.ParseAddr(row.addr)
			answer, cluster := s.Routable(addr)
			require.Equal(t, row.answer.String(), answer.String())
			require.Equal(t, row.cluster, cluster)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	_, err := annotation.Parse(nil)
	require.ErrorIs(t, err, annotation.ErrAbsent)
	_, err = annotation.Parse(map[string]string{"example.org/other": "x", "underlayd.io/asn": "64512"})
	require.ErrorIs(t, err, annotation.ErrAbsent, "keys that people set are not the agent's")
	_, err = annotation.Parse(node(annotation.Schema, "2"))
	require.ErrorIs(t, err, annotation.ErrSchema)

	clusters := func(text string) []string { return []string{annotation.RemoteClusters, text} }
	for name, changes := range map[string][]string{
		"no schema":                                {annotation.Schema, "-"},
		"a missing key":                            {annotation.RemoteCIDRs, "-"},
		"a missing cluster":                        {annotation.Cluster, "-"},
		"a cluster name that is no label":          {annotation.Cluster, "East"},
		"more than the size limit":                 {annotation.RemoteClusters, strings.Repeat(" ", annotation.MaxSize)},
		"host bits set":                            {annotation.LocalCIDRs, "10.10.1.1/24"},
		"an IPv4-mapped prefix":                    {annotation.LocalCIDRs, "::ffff:10.10.1.0/120"},
		"an empty element":                         {annotation.LocalCIDRs, "10.10.1.0/24,"},
		"a space":                                  {annotation.LocalCIDRs, "10.10.1.0/24, fd00::/64"},
		"an unsorted list":                         {annotation.LocalCIDRs, "fd00::/64,10.10.1.0/24"},
		"a repeated prefix":                        {annotation.LocalCIDRs, "10.10.1.0/24,10.10.1.0/24"},
		"another spelling of a prefix":             {annotation.LocalCIDRs, "FD00::/64"},
		"a default route":                          {annotation.RemoteCIDRs, `["0.0.0.0/0"]`},
		"remote CIDRs that overlap":                {annotation.RemoteCIDRs, `["10.20.0.0/16","10.20.1.0/24"]`},
		"remote CIDRs that are null":               {annotation.RemoteCIDRs, `null`},
		"remote CIDRs that are an object":          {annotation.RemoteCIDRs, `{}`},
		"text after the remote CIDRs":              {annotation.RemoteCIDRs, `["10.20.0.0/16","fd00:20::/48"] x`},
		"a hash that does not match":               {annotation.RoutesHash, "sha256:0123456789abcdef"},
		"a hash that is none":                      {annotation.RoutesHash, "md5:0123456789abcdef"},
		"a truncated count of zero":                {annotation.Truncated, "0"},
		"a negative truncated count":               {annotation.Truncated, "-1"},
		"a truncated count with a plus":            {annotation.Truncated, "+1"},
		"a truncated count beyond every integer":   {annotation.Truncated, "99999999999999999999"},
		"clusters that are a list":                 clusters(`[]`),
		"clusters that are null":                   clusters(`null`),
		"an unfinished object":                     clusters(`{"west":{"peers":1,"state":"Ready"}`),
		"text after the clusters":                  clusters(`{} {}`),
		"one cluster twice":                        clusters(`{"west":{"peers":1,"state":"Ready"},"west":{"peers":1,"state":"Ready"}}`),
		"one member twice":                         clusters(`{"west":{"peers":1,"peers":2,"state":"Ready"}}`),
		"a member in another case does not count":  clusters(`{"west":{"Peers":1,"state":"Ready"}}`),
		"a remote cluster name that is no label":   clusters(`{"we/st":{"peers":1,"state":"Ready"}}`),
		"a negative number of peers":               clusters(`{"west":{"peers":-1,"state":"Ready"}}`),
		"peers that are null":                      clusters(`{"west":{"peers":null,"state":"Ready"}}`),
		"no state":                                 clusters(`{"west":{"peers":1}}`),
		"a word of the probe that is none":         clusters(`{"west":{"peers":1,"state":"Ready","probe":"not so"}}`),
		"a state with a line break":                clusters(`{"west":{"peers":1,"state":"Re\nady"}}`),
		"a cluster's CIDR that is not canonical":   clusters(`{"west":{"cidrs":["10.20.0.1/16"],"peers":1,"state":"Ready"}}`),
		"a cluster's CIDRs that are null":          clusters(`{"west":{"cidrs":null,"peers":1,"state":"Ready"}}`),
		"a cluster that is a number":               clusters(`{"west":1}`),
		"brackets nested deeper than any contract": clusters(strings.Repeat(`{"a":`, 10001)),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := annotation.Parse(node(changes...))
			require.Error(t, err)
			require.Nil(t, s)
			answer, _ := s.Routable(netip.MustParseAddr("10.20.0.1"))
			require.Equal(t, annotation.Unknown, answer, "what can't be read is not \"nothing routable\"")
			require.Less(t, len(err.Error()), 300, "hostile text must not flood a log")
		})
	}
}

func TestParseIgnoresMembersItDoesNotKnow(t *testing.T) {
	s, err := annotation.Parse(node(annotation.RemoteClusters, `{"west":{"cidrs":[],"peers":1,"state":"Ready","later":{"x":[1]}}}`))
	require.NoError(t, err)
	require.Len(t, s.Clusters, 1)
}

// schemaOf compiles a part of the JSON Schema.
func schemaOf(t testing.TB, fragment string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(annotation.JSONSchema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertContent()
	require.NoError(t, compiler.AddResource("annotations.json", doc))
	schema, err := compiler.Compile("annotations.json" + fragment)
	require.NoError(t, err)
	return schema
}

// validate holds annotations against the schema, and what is in them too.
func validate(whole *jsonschema.Schema, annotations map[string]string) error {
	object := map[string]any{}
	for key, value := range annotations {
		object[key] = value
	}
	return whole.Validate(object)
}

func TestTheSchemaTellsWhatIsWrong(t *testing.T) {
	whole := schemaOf(t, "")
	require.NoError(t, validate(whole, node()))
	require.NoError(t, validate(whole, node(annotation.Truncated, "3")))
	for name, changes := range map[string][]string{
		"another schema":         {annotation.Schema, "2"},
		"a missing key":          {annotation.RoutesHash, "-"},
		"no label":               {annotation.Cluster, "East"},
		"a space":                {annotation.LocalCIDRs, "10.10.1.0/24, fd00::/64"},
		"a default route":        {annotation.RemoteCIDRs, `["0.0.0.0/0"]`},
		"an object, not a list":  {annotation.RemoteCIDRs, `{}`},
		"no JSON":                {annotation.RemoteClusters, `{`},
		"a number below zero":    {annotation.RemoteClusters, `{"west":{"peers":-1,"state":"Ready"}}`},
		"no state":               {annotation.RemoteClusters, `{"west":{"peers":1}}`},
		"a cluster with a slash": {annotation.RemoteClusters, `{"we/st":{"peers":1,"state":"Ready"}}`},
		"nothing missing":        {annotation.Truncated, "0"},
	} {
		t.Run(name, func(t *testing.T) { require.Error(t, validate(whole, node(changes...))) })
	}
}

func FuzzParse(f *testing.F) {
	whole := schemaOf(f, "")
	for _, seed := range []map[string]string{node(), node(annotation.Truncated, "3", annotation.RoutesHash, "sha256:0123456789abcdef")} {
		text, err := json.Marshal(seed)
		require.NoError(f, err)
		f.Add(text, []byte{10, 20, 0, 1})
	}
	f.Fuzz(func(t *testing.T, text, address []byte) {
		annotations := map[string]string{}
		if json.Unmarshal(text, &annotations) != nil {
			return
		}
		before := maps.Clone(annotations)
		s, err := annotation.Parse(annotations)
		require.Equal(t, before, annotations)
		if err != nil {
			require.Nil(t, s)
			return
		}
		require.NoError(t, validate(whole, annotations), "what Parse accepts is valid")
		for _, prefix := range s.RemoteCIDRs {
			answer, _ := s.Routable(prefix.Addr())
			require.Equal(t, annotation.Yes, answer, "what is listed is routable")
		}
		require.True(t, slices.IsSortedFunc(s.Clusters, func(a, b annotation.RemoteCluster) int { return strings.Compare(a.Name, b.Name) }))
		if addr, ok := netip.AddrFromSlice(address); ok {
			answer, cluster := s.Routable(addr)
			require.True(t, answer == annotation.Yes || cluster == "")
			require.True(t, answer != annotation.Unknown || !s.Complete)
		}
	})
}
