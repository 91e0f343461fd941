package mesh_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config/mesh"
)

// TestEachNodeAsItIs: of one file for all nodes, a node has the peers that its labels select, and they are found in the
// file.
func TestEachNodeAsItIs(t *testing.T) {
	const racks = `cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}
bgp:
  asn: 64512
  peersFile: /etc/underlayd/peers.yaml
  peers:
  - {name: tor-a, address: 192.0.2.1, asn: 65001, nodeSelector: rack=a}
  - {name: tor-b, address: 192.0.2.1, asn: 65002, nodeSelector: rack=b}
  - {name: core, address: 192.0.2.9, asn: 65000}
`
	const more = "groups: [{peers: [{name: x, address: 192.0.2.7, asn: 1, nodeSelector: rack=c},\n  {name: y, address: 192.0.2.8, asn: 1, nodeSelector: rack=b}]}]\n"
	for _, row := range []struct {
		name, node string
		want       []string // peers, with the lines of their AS numbers
		err        string
	}{
		{"a node of a rack", "node: {name: n, labels: [rack=b]}\n", []string{"tor-b config.yaml:7", "core config.yaml:8", "y peers.yaml:2"}, ""},
		{"a node of no rack", "node: {name: n}\n", []string{"core config.yaml:8"}, ""},
		{"a file that is for all nodes", "", []string{"tor-a config.yaml:6", "tor-b config.yaml:7", "core config.yaml:8", "x peers.yaml:1", "y peers.yaml:2"}, ""},
		{"a label that says nothing", "node: {name: n, labels: [topology.kubernetes.io/zone=A]}\n", nil,
			"config.yaml: node.labels: topology.kubernetes.io/zone=A: says nothing of where the node is"},
	} {
		t.Run(row.name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(folder, "config.yaml"), []byte(racks+row.node), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(folder, "peers.yaml"), []byte(more), 0o600))
			m, err := mesh.Load([]string{filepath.Join(folder, "config.yaml")}, nil)
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			n := m.Nodes[0]
			var got []string
			for i, p := range n.Config.BGP.Peers {
				at := n.Places.Of(fmt.Sprintf("bgp.peers[%d].asn", i))
				got = append(got, fmt.Sprintf("%s %s:%d", p.Name, filepath.Base(at.Source), at.Line))
			}
			require.Equal(t, row.want, got)
		})
	}
}
