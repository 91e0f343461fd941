package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// fitsItsSchemas asks a running daemon and holds each answer against the schema that its own program prints.
func fitsItsSchemas(t *testing.T, n *containerlab.Node) {
	read := func(text string) any {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err, text)
		return doc
	}
	for _, question := range []struct{ kind, command string }{
		{"Status", "underlayd status -o json"},
		{"PeerList", "underlayd peers -o json"},
		{"PeerList", "underlayd peers fabric -o json"},
		{"RouteList", "underlayd routes -o json"},
		{"HistoryList", "underlayd history -o json"},
		{"Explanation", "underlayd explain 10.20.2.77 -o json"},
		{"Explanation", "underlayd explain 203.0.113.1 -o json"},
		{"AdvertisedList", "underlayd routes --advertised -o json"},
		{"CheckList", "underlayd check -o json"},
		{"Event", "timeout 10 underlayd watch -o json | head -n 1"},
	} {
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		require.NoError(t, compiler.AddResource("schema", read(output(t, n, "underlayd", "schema", question.kind))))
		schema, err := compiler.Compile("schema")
		require.NoError(t, err)
		answer := output(t, n, "bash", "-c", question.command)
		require.NoError(t, schema.Validate(read(answer)), "%s: %s", question.command, answer)
	}
}

// bundles has an archive written of a running daemon: complete, for its owner alone, and the programs' own words in it.
func bundles(t *testing.T, n *containerlab.Node) {
	file := filepath.Join(emptyFolder(t), "bundle.tar.gz")
	require.Contains(t, output(t, n, "underlayd", "bundle", "-f", file), "0 parts are missing")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	read := func(name string) string { return output(t, n, "tar", "-xzOf", file, "underlayd/"+name) }
	for name, says := range map[string]string{
		"version.txt": "Linux", "status.json": `"kind":"Status"`, "peers.json": `"fabric"`, "routes.json": `"10.20.2.0/24"`, "history.json": "SessionUp",
		"metrics.txt": "underlayd_session_up", "config.yaml": "podCIDRs:", "kernel/links.json": `"eth1"`, "kernel/nexthops.json": `"192.168.11.254"`,
		"kernel/routes-ipv4-table-254.json": `"dst":"10.20.2.0/24"`, "kernel/routes-ipv6-table-254.json": `"fd00:20:0:2::/64"`,
		"kernel/rules-ipv4.json": `"main"`, "kernel/nftables.json": `"underlayd-200"`, "kernel/sysctls.txt": "net/ipv4/ip_forward = 1",
	} {
		require.Contains(t, read(name), says, name)
	}
	require.Empty(t, read("errors.txt"))
	require.Contains(t, refused(t, n, 1, "underlayd", "bundle", "-f", file), "file exists")
}

// tellsWhatItAdvertises compares with the stock gobgp command: the same prefixes with the same attributes.
func tellsWhatItAdvertises(t *testing.T, n *containerlab.Node) {
	type advertisement struct {
		Prefix, NextHop  string
		ASPath           []uint32
		LargeCommunities []string
	}
	var told struct{ Items []advertisement }
	require.NoError(t, ask(t.Context(), n, &told, "routes", "--advertised", "--peer", "fabric"))
	var stock []advertisement
	for _, family := range []string{"ipv4", "ipv6"} {
		out := output(t, n, built(t).gobgp, "--target", "unix:///run/underlayd/gobgp.sock", "-j", "neighbor", "192.168.11.254", "adj-out", "-a", family)
		var rib map[string][]struct {
			Attrs []struct {
				Type    int
				Nexthop string
				AsPaths []struct{ Asns []uint32 } `json:"as_paths"`
				Value   json.RawMessage
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out), &rib), out)
		for prefix, paths := range rib {
			for _, p := range paths {
				x := advertisement{Prefix: prefix}
				for _, a := range p.Attrs {
					switch a.Type {
					case 2:
						for _, segment := range a.AsPaths {
							x.ASPath = append(x.ASPath, segment.Asns...)
						}
					case 3, 14:
						x.NextHop = a.Nexthop
					case 32:
						var all []struct{ ASN, LocalData1, LocalData2 uint32 }
						require.NoError(t, json.Unmarshal(a.Value, &all))
						for _, c := range all {
							x.LargeCommunities = append(x.LargeCommunities, fmt.Sprintf("%d:%d:%d", c.ASN, c.LocalData1, c.LocalData2))
						}
					}
				}
				stock = append(stock, x)
			}
		}
	}
	require.Len(t, told.Items, 2)
	require.ElementsMatch(t, stock, told.Items)

	require.NoError(t, ask(t.Context(), n, &told, "routes", "--advertised", "10.10.1.7"))
	require.Len(t, told.Items, 1)
	require.NoError(t, ask(t.Context(), n, &told, "routes", "--advertised", "--peer", "fabric", "--after", "10.10.1.0/24"))
	require.Len(t, told.Items, 1)
	require.Equal(t, "fd00:10:0:1::/64", told.Items[0].Prefix)
	require.Contains(t, output(t, n, "underlayd", "routes", "--advertised", "--family", "ipv4", "-o", "wide"), "10.10.1.0/24")
	require.Contains(t, refused(t, n, 1, "underlayd", "routes", "--advertised", "--peer", "nobody"), "the peers are: fabric")
	for flag, count := range map[string]int{"--learned": 4, "--installed": 4, "--refused": 0, "--stale": 0} {
		var l routeList
		require.NoError(t, ask(t.Context(), n, &l, "routes", flag))
		require.Len(t, l.Items, count, flag)
	}
}
