package containerlab

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadMergesDefaultsKindsAndNodes(t *testing.T) {
	topology, err := Load("testdata/trio.clab.yml")
	require.NoError(t, err)
	require.Equal(t, "trio", topology.Name)
	names := make([]string, 0, len(topology.Nodes))
	for _, n := range topology.Nodes {
		names = append(names, n.Name)
	}
	require.Equal(t, []string{"bird", "frr-a", "frr-b", "host-a", "host-c", "switch"}, names)

	hostA := topology.Nodes[3]
	require.Equal(t, KindLinux, hostA.Kind)
	require.Equal(t, "wbitt/network-multitool:alpine-minimal", hostA.Image)
	require.Equal(t, map[string]string{"LAB": "trio"}, hostA.Env)
	require.Len(t, hostA.Exec, 5, "the kind's exec lines come before the node's own")
	require.Equal(t, "sysctl", hostA.Exec[0][0])
	require.Equal(t, []string{"ip", "addr", "add", "198.51.100.10/25", "dev", "eth1"}, hostA.Exec[1])

	frrA := topology.Nodes[1]
	require.Len(t, frrA.Binds, 2)
	require.Equal(t, "/etc/frr/daemons", frrA.Binds[0].Target)
	require.True(t, frrA.Binds[0].ReadOnly)
	require.Equal(t, "trio/frr-a.conf", frrA.Binds[1].Written)
	require.FileExists(t, frrA.Binds[1].Source, "relative to the file, not to the working folder")

	require.Equal(t, Link{A: Endpoint{"frr-a", "eth1"}, B: Endpoint{"switch", "port1"}, MTU: DefaultMTU}, topology.Links[0])
	require.Equal(t, 1500, topology.Links[3].MTU)
}

func TestLoadTheProductsLab(t *testing.T) {
	topology, err := Load("two-clusters.clab.yml")
	require.NoError(t, err)
	require.Len(t, topology.Nodes, 9)
	require.Len(t, topology.Links, 8)
}

func TestParseTakesTheMostSpecificText(t *testing.T) {
	topology, err := parse([]byte(`
name: x
topology:
  defaults: {kind: linux, image: a, cmd: one, env: {A: "1", B: "1"}, binds: ["a:/x", "b:/y"], exec: [first, same]}
  kinds: {linux: {image: b, env: {B: "2"}, sysctls: {net.ipv4.ip_forward: 1}, exec: [second]}}
  nodes:
    n: {cmd: "sh -c 'echo $$HOME'", binds: ["/c:/y:ro"], exec: [same, third]}
    empty:
`), "/lab/x.clab.yml")
	require.NoError(t, err)
	require.Equal(t, NodeSpec{
		Name:    "n",
		Kind:    KindLinux,
		Image:   "b",
		Cmd:     []string{"sh", "-c", "echo $HOME"},
		Exec:    [][]string{{"first"}, {"same"}, {"second"}, {"third"}},
		Env:     map[string]string{"A": "1", "B": "2"},
		Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
		Binds: []Bind{
			{Source: "/lab/a", Written: "a", Target: "/x"},
			{Source: "/c", Written: "/c", Target: "/y", ReadOnly: true},
		},
	}, topology.Nodes[1])
	require.Equal(t, []string{"one"}, topology.Nodes[0].Cmd)
}

func TestParseRefuses(t *testing.T) {
	nodes := func(text string) string {
		return "name: x\ntopology:\n  defaults: {kind: linux}\n  nodes:\n" + text
	}
	links := func(text string) string {
		return nodes("    a: {}\n    b: {}\n    br: {kind: bridge}\n  links:\n" + text)
	}
	rows := map[string]struct{ text, want string }{
		"a top-level key it does not know":   {"name: x\nmgmt: {}\n", `line 2: key "mgmt" is not supported here`},
		"a key of a node that has an effect": {nodes("    a: {startup-config: x}\n"), `line 5: key "startup-config" is not supported here`},
		"a key that is written twice":        {"name: x\nname: y\n", "already defined"},
		"a lab without a name":               {"topology: {nodes: {a: {kind: linux}}}\n", `name "": must be letters`},
		"a name that could leave its folder": {"name: ../x\ntopology: {nodes: {a: {kind: linux}}}\n", `name "../x": must be letters`},
		"a lab without nodes":                {"name: x\n", "topology.nodes: is empty"},
		"an empty file":                      {"", "topology.nodes: is empty"},
		"a node without a kind":              {"name: x\ntopology: {nodes: {a: {}}}\n", "node a: has no kind"},
		"a kind it can't make":               {nodes("    a: {kind: nokia_srlinux}\n"), `node a: kind "nokia_srlinux" is not supported here`},
		"a kind it can't make among kinds":   {"name: x\ntopology: {kinds: {srl: {}}, nodes: {a: {kind: linux}}}\n", `kind "srl" is not supported here`},
		"a node name that is no host name":   {nodes("    a_b: {}\n"), "node a_b: the name must be"},
		"a bridge whose name is too long":    {nodes("    a234567890123456: {kind: bridge}\n"), "at most 15 characters"},
		"a bridge that runs something":       {nodes("    a: {kind: bridge, exec: [true]}\n"), "node a: cmd, exec, binds"},
		"a network mode but none":            {nodes("    a: {network-mode: host}\n"), `network-mode "host": only none`},
		"a quote that is not closed":         {nodes("    a: {exec: [\"sh -c 'x\"]}\n"), "a quote or backslash is not closed"},
		"an exec line without words":         {nodes("    a: {exec: [' ']}\n"), `exec " ": is empty`},
		"a bind without a target":            {nodes("    a: {binds: [/x]}\n"), "must be source:target"},
		"a bind with a relative target":      {nodes("    a: {binds: ['x:y']}\n"), "the target must be an absolute path"},
		"a bind mode it does not know":       {nodes("    a: {binds: ['x:/y:z']}\n"), `mode "z": only ro and rw`},
		"a bind below the home folder":       {nodes("    a: {binds: ['~/x:/y']}\n"), "the source must be a path"},
		"a variable":                         {nodes("    a: {image: $IMAGE}\n"), "line 5: variables and templates are not expanded here"},
		"a template":                         {nodes("    a: {image: '{{ .x }}'}\n"), "line 5: variables and templates are not expanded here"},
		"a link with one end":                {links("  - endpoints: ['a:eth1']\n"), "link 1: has 1 endpoints"},
		"a link without an interface":        {links("  - endpoints: [a, 'b:eth1']\n"), `link 1: endpoint "a": must be node:interface`},
		"a link to a node that is not there": {links("  - endpoints: ['a:eth1', 'c:eth1']\n"), "endpoint c:eth1: there is no such node"},
		"a link to the machine":              {links("  - endpoints: ['a:eth1', 'host:x']\n"), "links to host are not supported here"},
		"an interface name that is too long": {links("  - endpoints: ['a:eth1', 'b:e234567890123456']\n"), "at most 15"},
		"an interface that is used twice":    {links("  - endpoints: ['a:eth1', 'b:eth1']\n  - endpoints: ['a:eth1', 'b:eth2']\n"), "endpoint a:eth1: is used twice"},
		"the management interface":           {links("  - endpoints: ['a:eth0', 'b:eth1']\n"), "endpoint a:eth0: eth0 is the management interface"},
		"a port named like its bridge":       {links("  - endpoints: ['a:eth1', 'br:br']\n"), "endpoint br:br: the interface name is taken"},
		"an MTU that no link has":            {links("  - endpoints: ['a:eth1', 'b:eth1']\n    mtu: 10\n"), "mtu 10: must be 68 to 65535"},
		"a link of another type":             {links("  - type: veth\n    endpoints: []\n"), `key "type" is not supported here`},
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		t.Run(name, func(t *testing.T) {
			_, err := parse([]byte(rows[name].text), "/lab/x.clab.yml")
			require.ErrorContains(t, err, rows[name].want)
		})
	}
}

func TestParseReportsAllErrorsTogether(t *testing.T) {
	_, err := parse([]byte("topology: {nodes: {a: {kind: no}, b: {kind: linux, cmd: \"'\"}}, links: [{endpoints: []}]}\n"), "/x")
	require.ErrorContains(t, err, "name")
	require.ErrorContains(t, err, `kind "no"`)
	require.ErrorContains(t, err, "node b: cmd")
	require.ErrorContains(t, err, "link 1")
}

func TestParseAllowsEth0WithoutManagement(t *testing.T) {
	_, err := parse([]byte(`
name: x
topology:
  defaults: {kind: linux, network-mode: none}
  nodes: {a: , b: }
  links: [{endpoints: ["a:eth0", "b:eth0"]}]
`), "/x")
	require.NoError(t, err)
}

func TestWords(t *testing.T) {
	rows := map[string][]string{
		"":                         nil,
		"  ip  addr\tshow ":        {"ip", "addr", "show"},
		`sh -c 'echo "a  b" \n'`:   {"sh", "-c", `echo "a  b" \n`},
		`echo "a 'b' \"c\" \\ \d"`: {"echo", `a 'b' "c" \ d`},
		`ip link # not this`:       {"ip", "link"},
		`a#b`:                      {"a#b"},
		`a\ b ''`:                  {"a b", ""},
		`--x="y z"w`:               {"--x=y zw"},
	}
	for line, want := range rows {
		got, err := words(line)
		require.NoError(t, err, line)
		require.Equal(t, want, got, line)
	}
}
