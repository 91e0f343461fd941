package lint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNetworksThatDoNotFit(t *testing.T) {
	// Two gateways, one of each cluster, which fit together but for there being just one of each.
	onEast := edit{"id: 1, podCIDRs", "id: 1, network: dc1, podCIDRs", "name: east-1\n", "name: east-1\n  gateway: true\n",
		"asn: 64513\n", "asn: 64513\n    network: dc2\n", "  id: 2\n", "  id: 2\n  network: dc2\n"}
	onWest := edit{"id: 2, podCIDRs", "id: 2, network: dc2, podCIDRs", "name: west-1\n", "name: west-1\n  gateway: true\n",
		"asn: 64512\nclusters", "asn: 64512\n    network: dc1\nclusters", "  id: 1\n", "  id: 1\n  network: dc1\n"}
	const alone = "warning GatewayAlone, warning GatewayAlone"
	for _, row := range []struct {
		name       string
		east, west edit // what comes on top
		want       string
	}{
		{"one gateway each", nil, nil, alone},
		{"a contract has the cluster elsewhere", nil, edit{"  id: 1\n  network: dc1\n", "  id: 1\n  network: dc3\n", "    network: dc1\nclusters", "    network: dc3\nclusters"},
			"error NetworkDiffers, error PeerNetwork, " + alone},
		{"the peer is in another network than is said", edit{"    network: dc2", "    clusters: [west]\n    network: dc3"}, nil, "error PeerNetwork, " + alone},
		{"one side alone takes the other for a gateway", nil, edit{"    network: dc1\nclusters", "clusters"}, "error BorderOneSided, error NoPath, warning GatewayAlone"},
		{"neither side does", edit{"    network: dc2\n", ""}, edit{"    network: dc1\nclusters", "clusters"}, "error NetworksDoNotMeet, error NoPath, error NoPath"},
		{"a step of a move", nil, edit{"id: 2, network: dc2", "id: 2, network: [dc1, dc2]"}, "warning GatewayAlone, warning GatewayAlone, warning NetworkDiffers"},
		{"a node that is no gateway has no peer there", edit{"  gateway: true\n", ""}, nil, "error NoPath, error PeerOneSided, warning GatewayAlone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := check(t, here(), row.east.apply(t, onEast.apply(t, east)), row.west.apply(t, onWest.apply(t, west)))
			require.Equal(t, row.want, strings.Join(codes(r), ", "))
		})
	}
}
