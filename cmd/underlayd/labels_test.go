package main

import (
	"strings"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// TestWhoThePeersAreDependsOnLabels: unknown labels are not none, and what depends on no label does not wait for them.
func TestWhoThePeersAreDependsOnLabels(t *testing.T) {
	const (
		byRack = tor + ", {name: rack-a, address: 192.168.0.1, asn: 1, nodeSelector: rack=a}, {name: rack-b, address: 192.168.0.1, asn: 1, nodeSelector: rack=b}," +
			" {name: no-rack, address: 192.168.0.2, asn: 1, nodeSelector: '!rack'}, {name: any, address: 192.168.0.1, asn: 1, nodeSelector: any}"
		zone = config.ZoneLabel
	)
	var labels map[string]string
	known := false
	log, hook := logtest.NewNullLogger()
	p := newPeering(meshConfig(t, `""`, byRack), log)
	p.labels = func() (map[string]string, bool) { return labels, known }
	for _, row := range []struct {
		what     string
		labels   map[string]string
		known    bool
		want     string
		problems []status.Problem
	}{
		{"nothing is known", nil, false, "tor", []status.Problem{{Severity: status.Warning, Subject: "kubernetes",
			Message: "the labels of this Node are not known yet: what is for nodes with certain labels waits for them"}}},
		{"there are none", nil, true, "tor no-rack", nil},
		{"a rack", map[string]string{"rack": "a"}, true, "tor rack-a", nil},
		{"another one", map[string]string{"rack": "b"}, true, "tor rack-b", nil},
		{"two peers of one address", map[string]string{"rack": "b", "any": ""}, true, "tor rack-b", []status.Problem{{Severity: status.Error, Subject: "peer any",
			Message: "is left out: peer any.address: 192.168.0.1: is already used by peer rack-b.address"}}},
		{"a zone that is none", map[string]string{"rack": "b", zone: "Z"}, true, "tor rack-b", []status.Problem{{Severity: status.Error, Subject: "node",
			Message: "is ignored: node.labels: topology.kubernetes.io/zone=Z: says nothing of where the node is: its value must be a DNS-1123 label, 1 to 63 of a-z, 0-9 and -"}}},
	} {
		labels, known = row.labels, row.known
		for range 2 {
			require.Equal(t, row.want, names(p.assemble(nobody)), row.what)
		}
		require.Equal(t, row.known, p.known, row.what)
		require.Equal(t, row.problems, p.problems(), row.what)
	}
	require.Len(t, hook.AllEntries(), 2, "what is wrong is said once")

	known = false
	p.base = meshConfig(t, `""`, tor)
	p.assemble(nobody)
	require.True(t, p.known, "where no label matters nobody waits for any")
}

func TestStatusSaysRolesAndPlace(t *testing.T) {
	c := meshConfig(t, `""`, tor)
	here, errs := c.ForNode(map[string]string{config.GatewayLabel: "true", config.ReflectorLabel: "true", config.ZoneLabel: "a"})
	require.Empty(t, errs)
	require.Equal(t, []string{"gateway", "reflector"}, roles(here))
	require.Equal(t, &status.Place{Zone: "a", ZoneFrom: "label topology.kubernetes.io/zone"}, placeStatus(here))
	here, _ = c.ForNode(nil)
	require.Empty(t, roles(here))
	require.Nil(t, placeStatus(here))

	var out strings.Builder
	s := &status.Snapshot{Roles: []string{"reflector"}, Place: &status.Place{Region: "eu", RegionFrom: "cluster.region", Zone: "a", ZoneFrom: "node.zone"}}
	require.NoError(t, status.WriteStatus(&out, s, status.Options{Format: status.Table}))
	require.Regexp(t, `(?m)^Place +region eu \(cluster.region\), zone a \(node.zone\)$`, out.String())
	require.Regexp(t, `(?m)^Roles +reflector$`, out.String())
	out.Reset()
	s = &status.Snapshot{ASN: 65001, ASNFrom: "annotation underlayd.io/asn", RouterIDFrom: "bgp.routerID"}
	require.NoError(t, status.WriteStatus(&out, s, status.Options{Format: status.Table}))
	require.Regexp(t, `AS 65001 \(annotation underlayd.io/asn\), router id .*\(bgp.routerID\), cluster id`, out.String())
}
