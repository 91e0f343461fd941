package lint_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config/lint"
	"github.com/underlayd/underlayd/config/mesh"
)

// Two nodes of two clusters with one session between them, which fit together.
const (
	east = `cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
node:
  name: east-1
  podCIDRs: [10.10.1.0/24, "fd00:10:0:1::/64"]
bgp:
  asn: 64512
  peers:
  - name: west
    address: 192.168.1.2
    asn: 64513
clusters:
- name: west
  id: 2
  podCIDRs: [10.20.0.0/16, "fd00:20::/48"]
`
	west = `cluster: {name: west, id: 2, podCIDRs: [10.20.0.0/16, "fd00:20::/48"]}
node:
  name: west-1
  podCIDRs: [10.20.1.0/24, "fd00:20:0:1::/64"]
bgp:
  asn: 64513
  peers:
  - name: east
    address: 192.168.1.1
    asn: 64512
clusters:
- name: east
  id: 1
  podCIDRs: [10.10.0.0/16, "fd00:10::/48"]
`
)

// edit is an old text and a new one, or nil.
type edit []string

func (e edit) apply(t *testing.T, text string) string {
	t.Helper()
	for i := 0; i+1 < len(e); i += 2 {
		require.Contains(t, text, e[i])
		text = strings.Replace(text, e[i], e[i+1], 1)
	}
	return text
}

// here are the addresses of the two nodes.
func here() map[string][]netip.Prefix {
	return map[string][]netip.Prefix{
		"east-1": {netip.MustParsePrefix("192.168.1.1/24"), netip.MustParsePrefix("fd00:1::1/64")},
		"west-1": {netip.MustParsePrefix("192.168.1.2/24"), netip.MustParsePrefix("fd00:1::2/64")},
	}
}

func check(t *testing.T, addresses map[string][]netip.Prefix, texts ...string) *lint.Report {
	t.Helper()
	folder := t.TempDir()
	var files []string
	for i, text := range texts {
		file := filepath.Join(folder, string(rune('a'+i))+".yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		files = append(files, file)
	}
	m, err := mesh.Load(files, addresses)
	require.NoError(t, err)
	return lint.Check(m)
}

func codes(r *lint.Report) []string {
	found := []string{}
	for _, f := range r.Findings {
		found = append(found, string(f.Severity)+" "+f.Code)
	}
	slices.Sort(found)
	return found
}

// session is what both sides say of it.
func session(text string) (edit, edit) {
	return edit{"asn: 64513", "asn: 64513\n    " + text}, edit{"asn: 64512\nclusters", "asn: 64512\n    " + text + "\nclusters"}
}

func TestWhatDoesNotFit(t *testing.T) {
	onEast, onWest := func(text string) edit { e, _ := session(text); return e }, func(text string) edit { _, w := session(text); return w }
	for _, row := range []struct {
		name       string
		east, west edit
		want       string // the one finding; empty: none
	}{
		{"two files that fit have no finding", nil, nil, ""},
		{"a cluster with another id than its contract says", nil, edit{"west, id: 2", "west, id: 3"}, "error ClusterID"},
		{"one id for two clusters", edit{"clusters:", "clusters:\n- {name: south, id: 9, podCIDRs: [10.30.0.0/16]}"},
			edit{"clusters:", "clusters:\n- {name: north, id: 9, podCIDRs: [10.40.0.0/16]}"}, "error ClusterIDTwice, error NoPath, error NoPath"},
		{"two nodes of one router id in two ASes", edit{"asn: 64512", "asn: 64512\n  routerID: 1.1.1.1"}, edit{"asn: 64513", "asn: 64513\n  routerID: 1.1.1.1"}, "warning RouterIDTwice"},
		{"two nodes of one router id in one AS", edit{"asn: 64512", "asn: 64512\n  routerID: 1.1.1.1", "asn: 64513", "asn: 64512"},
			edit{"asn: 64513", "asn: 64512\n  routerID: 1.1.1.1"}, "error RouterIDTwice"},
		{"pods in the same addresses", edit{"fd00:10::/48\"]}", "fd00:10::/48\", 10.30.0.0/16]}"}, edit{"fd00:20::/48\"]}", "fd00:20::/48\", 10.30.128.0/17]}"},
			"error ContractRanges, error ContractRanges, error PodCIDRsOverlap"},
		{"pods where the other cluster has something reserved", edit{"fd00:10::/48\"]}", "fd00:10::/48\"], reserved: [10.40.0.0/16]}"}, edit{"fd00:20::/48\"]}", "fd00:20::/48\", 10.40.1.0/24]}"},
			"error ContractRanges, error PodCIDRsReserved"},
		{"the same from the other side", edit{"fd00:10::/48\"]}", "fd00:10::/48\", 10.40.1.0/24]}"}, edit{"fd00:20::/48\"]}", "fd00:20::/48\"], reserved: [10.40.0.0/16]}"},
			"error ContractRanges, error PodCIDRsReserved"},
		{"a contract that only one side has", nil, edit{"clusters:\n- name: east\n  id: 1\n  podCIDRs: [10.10.0.0/16, \"fd00:10::/48\"]\n", ""}, "warning ContractOneSided"},
		{"a contract about ranges that are not the cluster's", edit{"podCIDRs: [10.20.0.0/16,", "podCIDRs: [10.21.0.0/16,"}, nil, "error ContractRanges"},
		{"a contract about a part of a range", edit{"podCIDRs: [10.20.0.0/16,", "podCIDRs: [10.20.0.0/17,"}, nil, "warning ContractRanges"},
		{"a contract without a family", edit{`podCIDRs: [10.20.0.0/16, "fd00:20::/48"]`, `podCIDRs: [10.20.0.0/16]`}, nil, "warning ContractRanges"},
		{"a contract that is too wide", edit{"podCIDRs: [10.20.0.0/16,", "podCIDRs: [10.20.0.0/15,"}, nil, "warning ContractWide"},
		{"lengths that the nodes' pod CIDRs do not have", nil, edit{"10.20.1.0/24", "10.20.1.0/30"}, "error ContractLengths"},
		{"more pod CIDRs than are let in", edit{"fd00:20::/48\"]\n", "fd00:20::/48\"]\n  maxPrefixes: 1\n"}, nil, "error ContractMaxPrefixes"},
		{"an AS number that is not the peer's", edit{"asn: 64513", "asn: 64514"}, nil, "error PeerASN"},
		{"a peer that does not know of it", nil, edit{"192.168.1.1", "192.168.1.3"}, "error PeerOneSided"},
		{"a node that is its own peer", edit{"    asn: 64513\n", "    asn: 64513\n  - {name: me, address: \"fd00:1::1\", asn: 64513}\n"}, nil, "error PeerSelf"},
		{"both wait for the other", onEast("passive: true"), onWest("passive: true"), "error PeerNeverConnects"},
		{"both listen not at all", edit{"asn: 64512", "asn: 64512\n  port: -1"}, edit{"asn: 64513", "asn: 64513\n  port: -1"}, "error PeerNeverConnects"},
		{"the one that connects finds nobody listening", onEast("passive: true"), edit{"asn: 64513", "asn: 64513\n  port: 1790", "asn: 64512", "asn: 64512\n    port: 1791"}, "error PeerNeverConnects"},
		{"a port that nobody listens on", onEast("port: 1790"), nil, "warning PeerPort"},
		{"one side that only connects is fine", edit{"asn: 64512", "asn: 64512\n  port: -1"}, nil, ""},
		{"a peer that the node does not have", edit{"  podCIDRs: [10.10.1.0/24", "  labels: [rack=a]\n  podCIDRs: [10.10.1.0/24", "  - name: west\n",
			"  - {name: other, address: 192.168.1.2, asn: 9, nodeSelector: rack=b}\n  - nodeSelector: rack=a\n    name: west\n"}, nil, ""},
		{"a peer that it does not have, though the other side has it", edit{"  - name: west\n", "  - nodeSelector: rack\n    name: west\n"}, nil, "error NoPath, error PeerOneSided"},
		{"GTSM on one side", nil, onWest("hops: 0"), "error GTSMOneSided"},
		{"GTSM on one side, multihop on the other", nil, onWest("multihop: 4"), "error GTSMOneSided"},
		{"GTSM with two distances", onEast("hops: 2"), nil, "warning GTSMHops"},
		{"multihop on one side", onEast("hops: 0"), onWest("multihop: 2"), "error MultihopOneSided"},
		{"a peer on no link without multihop", edit{"address: 192.168.1.2", "address: 192.168.2.2"}, edit{"192.168.1.1", "192.168.1.3"}, "error PeerNotOnLink"},
		{"a password on one side", onEast("passwordFile: /key"), nil, "error PasswordOneSided"},
		{"a password on both sides is fine", onEast("passwordFile: /key"), onWest("passwordFile: /other"), ""},
		{"families that do not meet", onEast("families: [ipv4]"), onWest("families: [ipv6]"), "error FamiliesDoNotMeet, warning FamilyNotCarried, warning FamilyNotCarried"},
		{"a family that only one side has", onEast("families: [ipv4]"), nil, "warning FamilyNotCarried, warning FamilyOneSided"},
		{"two hold times", onEast("holdTime: 9s"), nil, "warning HoldTimesDiffer"},
		{"BFD on one side", onEast("bfd: {interval: 300ms}"), nil, "warning BFDOneSided"},
		{"BFD that is slower than the hold time", onEast("bfd: {interval: 30s, multiplier: 3}"), onWest("bfd: {interval: 300ms}"), "warning BFDSlow"},
		{"graceful restart on one side", nil, edit{"asn: 64513", "asn: 64513\n  gracefulRestart: {enabled: false}"}, "warning GracefulRestartOneSided"},
		{"routes that are kept for less than a restart", nil, edit{"asn: 64513", "asn: 64513\n  gracefulRestart: {staleTime: 60s}"}, "warning GracefulRestartStale"},
		{"the same from the other side", edit{"asn: 64512", "asn: 64512\n  gracefulRestart: {staleTime: 60s}"}, nil, "warning GracefulRestartStale"},
		{"a retry that comes after the restart time", edit{"asn: 64512", "asn: 64512\n  connectRetry: 120s"}, nil, "warning GracefulRestartRetry"},
		{"a local address that is not the node's", onEast("localAddress: 192.168.1.9"), nil, "error AddressNotHere, error PeerOneSided"},
		{"clusters without a way between them", onEast("clusters: []"), edit{"asn: 64512\nclusters", "asn: 64512\n    clusters: [north]\nclusters:\n- {name: north, id: 9, podCIDRs: [10.90.0.0/16]}\n#"},
			"error NoPath, error NoPath"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := check(t, here(), row.east.apply(t, east), row.west.apply(t, west))
			var text bytes.Buffer
			require.NoError(t, r.WriteText(&text))
			require.Equal(t, row.want, strings.Join(codes(r), ", "), text.String())
			for _, f := range r.Findings {
				require.NotEmpty(t, f.Fix, f.Code)
				require.NotEmpty(t, f.Places, f.Code)
				for _, p := range f.Places {
					require.NotEmpty(t, p.File, f.Code)
				}
			}
		})
	}
}

func TestNodesOfOneCluster(t *testing.T) {
	second := edit{"east-1", "east-2", "10.10.1.0", "10.10.2.0", "0:1::/64", "0:2::/64"}
	for _, row := range []struct {
		name   string
		second edit
		want   string
	}{
		{"two nodes of their own fit", second, ""},
		{"of one name", edit{"10.10.1.0", "10.10.2.0", "0:1::/64", "0:2::/64"}, "error NodeNameTwice"},
		{"of one pod CIDR", edit{"east-1", "east-2", "10.10.1.0", "10.10.2.0"}, "error NodeCIDRsOverlap"},
		{"with two ids of their cluster", append(edit{"id: 1,", "id: 11,"}, second...), "error ClusterID"},
		{"with other pod CIDRs of their cluster", append(edit{"/48\"]}", "/48\", 10.11.0.0/16]}"}, second...), "warning ClusterDiffers"},
	} {
		t.Run(row.name, func(t *testing.T) {
			alone := edit{"192.168.1.2", "192.168.9.9"} // a router that nothing is known of
			text := alone.apply(t, east)
			r := check(t, nil, text, row.second.apply(t, text), edit{"192.168.1.1", "192.168.9.8"}.apply(t, west))
			require.Equal(t, row.want, strings.Join(codes(r), ", "))
			require.NotEmpty(t, r.NotChecked)
		})
	}
}

func TestASNumbersThroughAFabric(t *testing.T) {
	router := edit{"192.168.1.2", "192.168.9.9", "asn: 64513", "asn: 65000"}
	far := edit{"192.168.1.1", "192.168.9.9", "asn: 64512", "asn: 65000"}
	require.Empty(t, codes(check(t, nil, router.apply(t, east), far.apply(t, west))))
	same := append(edit{"asn: 64513", "asn: 64512"}, far[:2]...)
	r := check(t, nil, router.apply(t, east), append(same, "asn: 64512\nclusters", "asn: 65000\nclusters").apply(t, west))
	require.Equal(t, []string{"warning ASNTwice"}, codes(r))

	allowed := edit{"asn: 65000", "asn: 65000\n    allowOwnAS: 1"}
	both := append(slices.Clone(same), "asn: 64512\nclusters", "asn: 65000\n    allowOwnAS: 1\nclusters")
	require.Empty(t, codes(check(t, nil, allowed.apply(t, router.apply(t, east)), both.apply(t, west))))
}

// What depends on an address that is in no file is no finding, and is said.
func TestWhatIsNotKnownIsNotGuessed(t *testing.T) {
	for _, row := range []struct {
		name       string
		east, west edit
		addresses  map[string][]netip.Prefix
		found      string
		notChecked []string
	}{
		{"nothing is known of addresses", edit{"asn: 64513", "asn: 1"}, nil, nil, "",
			[]string{"the session of east-1 with west: nothing is known of 192.168.1.2", "the session of west-1 with east: nothing is known of 192.168.1.1"}},
		{"a peer is called like its node", edit{"name: west", "name: west-1", "asn: 64513", "asn: 1"}, edit{"name: east\n    address", "name: east-1\n    address"}, nil, "error PeerASN", nil},
		{"a peer may be this node", nil, nil, map[string][]netip.Prefix{"west-1": here()["west-1"]}, "",
			[]string{"the session of east-1 with west-1: which peer of west-1 it is depends on the address of east-1",
				"the session of west-1 with east: nothing is known of 192.168.1.1"}},
		{"no peer can be this node", nil, edit{"asn: 64512", "asn: 64999"}, map[string][]netip.Prefix{"west-1": here()["west-1"]}, "error PeerOneSided",
			[]string{"the session of west-1 with east: nothing is known of 192.168.1.1"}},
		{"localAddress says it", edit{"asn: 64513", "asn: 64513\n    localAddress: 192.168.1.1"}, edit{"asn: 64512\nclusters", "asn: 64515\nclusters"},
			map[string][]netip.Prefix{"west-1": here()["west-1"]}, "error PeerASN", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := check(t, row.addresses, row.east.apply(t, east), row.west.apply(t, west))
			require.Equal(t, row.found, strings.Join(codes(r), ", "))
			require.Equal(t, row.notChecked, r.NotChecked)
		})
	}
}

func TestAFindingNamesItsPlaces(t *testing.T) {
	r := check(t, here(), east, edit{"west, id: 2", "west, id: 3"}.apply(t, west))
	require.Len(t, r.Findings, 1)
	f := r.Findings[0]
	require.Equal(t, "cluster west has id 3 here and 2 there", f.Message)
	require.Equal(t, []string{"b.yaml:1:27: cluster.id: 3", "a.yaml:13:7: clusters[0].id: 2"},
		[]string{filepath.Base(f.Places[0].String()), filepath.Base(f.Places[1].String())})
	require.Equal(t, "write 3 in both, or two names if these are two clusters", f.Fix)
	require.Equal(t, "1 error, 0 warnings in 2 configurations of 2 clusters", r.Summary())

	var out bytes.Buffer
	require.NoError(t, r.WriteJSON(&out))
	var back struct {
		Kind     string
		Findings []lint.Finding
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, "LintReport", back.Kind)
	require.Equal(t, r.Findings, back.Findings)
}

// What several files share is found once.
func TestAFindingOfManyFilesIsOne(t *testing.T) {
	texts := []string{edit{"192.168.1.1", "192.168.9.9"}.apply(t, west)}
	for _, n := range []string{"1", "2", "3"} {
		texts = append(texts, edit{"east-1", "east-" + n, "10.10.1.0", "10.10." + n + ".0", "0:1::/64", "0:" + n + "::/64",
			"192.168.1.2", "192.168.9.8", "10.20.0.0/16", "10.21.0.0/16"}.apply(t, east))
	}
	r := check(t, nil, texts...)
	require.Equal(t, []string{"error ContractRanges"}, codes(r))
	require.Equal(t, 2, r.Findings[0].More)
}

// The labs that users copy have nothing that lint finds, and know every address.
func TestTheLabsAreClean(t *testing.T) {
	files, err := filepath.Glob("../../containerlab/*.clab.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range append(files, "../../containerlab/faults/faults.clab.yml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			m, err := mesh.Load([]string{file}, nil)
			require.NoError(t, err)
			r := lint.Check(m)
			var text bytes.Buffer
			require.NoError(t, r.WriteText(&text))
			require.Empty(t, r.Findings, text.String())
			if filepath.Base(file) != "faults.clab.yml" {
				require.Empty(t, r.NotChecked)
			}
		})
	}
}

// Every code is documented with its severity, and nothing is that does not exist.
func TestCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/topologies.md")
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\w+) \| (?:error|warning|the same)`).FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	used := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`Code: "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
			used[m[1]] = true
		}
	}
	require.Equal(t, used, documented)
}
