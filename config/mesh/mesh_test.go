package mesh_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/mesh"
)

func TestATopology(t *testing.T) {
	m, err := mesh.Load([]string{"testdata/lab.clab.yml"}, nil)
	require.NoError(t, err)
	require.Equal(t, "lab", m.Name)

	var nodes, routers, links, sessions []string
	for _, n := range m.Nodes {
		nodes = append(nodes, fmt.Sprint(n.Name, " AS ", n.Config.BGP.ASN, " ", n.Addresses, " ", n.Complete, " ", n.Shared))
	}
	require.Equal(t, []string{"n1 AS 64512 [192.168.1.1/24 fd00:1::1/64] true false", "n2 AS 64513 [192.168.1.2/24] true false"}, nodes,
		"one file for two nodes, with the variables and flags of each")
	require.Equal(t, []bool{false, true}, []bool{m.Nodes[0].Reaches, m.Nodes[1].Reaches}, "a route without a gateway makes more on-link")
	for _, r := range m.Routers {
		routers = append(routers, fmt.Sprint(r.Name, " ", r.Kind, " AS ", r.ASN, " ", r.Addresses))
	}
	require.Equal(t, []string{"bird speaker AS 65002 []", "br0 bridge AS 0 []", "frr speaker AS 65001 [192.168.2.2/24]", "pod host AS 0 []", "srl speaker AS 0 []"}, routers)
	for _, l := range m.Links {
		links = append(links, endOf(l.A)+" - "+endOf(l.B))
	}
	require.Equal(t, []string{"n1:eth1 - n2:eth1", "n1:eth2 - frr:eth1"}, links)
	for _, s := range m.Sessions() {
		sessions = append(sessions, sessionOf(s))
	}
	require.Equal(t, []string{
		"n1 n1: n1 itself", "n1 n2: n2, where it is n1", "n1 frr: frr", "n1 cable: n2, where it is cable", "n1 nobody: unknown",
		"n2 n1: n1, where it is n2", "n2 n2: n2 itself", "n2 frr: frr", "n2 cable: n1, where it is cable", "n2 nobody: unknown",
	}, sessions)
}

func endOf(e mesh.End) string {
	if e.Node != nil {
		return e.Node.Name + ":" + e.Interface
	}
	return e.Router.Name + ":" + e.Interface
}

func sessionOf(s mesh.Session) string {
	text := s.From.Name + " " + s.Peer().Name + ": "
	switch {
	case s.Router != nil:
		return text + s.Router.Name
	case s.To == nil:
		return text + "unknown"
	case s.To == s.From:
		return text + s.To.Name + " itself"
	case s.Back < 0:
		return text + s.To.Name + " has no such peer"
	}
	return text + s.To.Name + ", where it is " + s.BackPeer().Name
}

const plain = "cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}\nbgp: {asn: 64512}\n"

func TestFilesAndFolders(t *testing.T) {
	folder := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(folder, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("mesh/East_A.yaml", plain)
	write("mesh/n2/config.yaml", plain+"node: {name: node-2}\n")
	write("mesh/n3/config.yaml", plain)
	write("mesh/n3/other.yaml", "no configuration")
	m, err := mesh.Load([]string{filepath.Join(folder, "mesh")}, map[string][]netip.Prefix{"node-2": {netip.MustParsePrefix("192.168.1.1/24")}})
	require.NoError(t, err)
	var found []string
	for _, n := range m.Nodes {
		found = append(found, fmt.Sprint(n.Name, " ", n.Shared, " ", n.Complete))
	}
	require.Equal(t, []string{"east-a true false", "node-2 false true", "n3 true false"}, found)

	for _, row := range []struct {
		name, path, want string
		addresses        map[string][]netip.Prefix
	}{
		{"a folder without configurations", write("empty/readme.txt", "")[:len(folder)+6], "has no *.yaml and no config.yaml below it", nil},
		{"a file that is not there", filepath.Join(folder, "none.yaml"), "none.yaml: no such file", nil},
		{"an address of a node that no file is of", filepath.Join(folder, "mesh"), `node "n9": no file is of a node of that name, or several are; there are east-a, n3, node-2`,
			map[string][]netip.Prefix{"n9": nil}},
		{"a topology that is no YAML", write("bad.clab.yml", "a: b: c"), "bad.clab.yml: yaml: ", nil},
		{"a node without its configuration", write("lost.clab.yml", "topology: {nodes: {a: {cmd: underlayd run}}}"), "node a: binds: none has /etc/underlayd/config.yaml in it", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := mesh.Load([]string{row.path}, row.addresses)
			require.ErrorContains(t, err, row.want)
		})
	}
	_, err = mesh.Load([]string{write("wrong.yaml", "cluster: {}"), filepath.Join(folder, "none.yaml")}, nil)
	var wrong config.Errors
	require.ErrorAs(t, err, &wrong)
	require.ErrorContains(t, err, "none.yaml", "all that is wrong is said at once")
}
