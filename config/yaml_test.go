package config_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

func TestYAML(t *testing.T) {
	for _, row := range []rule{
		{"sections without values are empty", minimal + "node:\nkernel: ~\nclusters: null\n", nil},
		{"an empty file lacks what is required", "# nothing yet\n", []string{
			"cluster.name: is required: this cluster's name, a DNS-1123 label",
			"cluster.id: is required: this cluster's number, unique in the mesh; carried in a large community",
			"cluster.podCIDRs: is required: what this cluster may advertise; [] for nothing",
			"bgp.asn: is required: this node's AS number"}},
		{"a required list without a value is refused", "cluster: {name: a, id: 1, podCIDRs: }\nbgp: {asn: 1}\n",
			one("cluster.podCIDRs: has no value: write [] for none")},
		{"a key without a value is refused", inBGP("holdTime: "),
			one("bgp.holdTime: has no value: wants a duration with its unit, such as 90s or 2m; leave the key out for its default")},
		{"a list for a file is refused", "[1, 2]\n", one("[…]: wants a mapping (keys with values, indented below it), not a list")},
		{"a mapping for a list is refused", inBGP("peers: {}"), one("bgp.peers: {…}: wants a list, such as [a, b], not a mapping")},
		{"a list for a section is refused", minimal + "log: [debug]\n", one("log: […]: wants a mapping (keys with values, indented below it), not a list")},
		{"a list for a value is refused", minimal + "log: {level: [debug]}\n", one("log.level: […]: wants one of debug, info, warn, error, not a list")},
		{"a value for a peer is refused", inBGP("peers: [tor-a]"), one("bgp.peers[0]: tor-a: wants a mapping (keys with values, indented below it), not a string")},
		{"a word for a boolean is refused", peer("passive: yes"), one("bgp.peers[0].passive: yes: wants true or false, not a string")},
		{"a date for a name is refused", strings.Replace(minimal, "east", "2026-01-01", 1),
			one(`cluster.name: 2026-01-01: wants a string, not a date: write it in quotes, "2026-01-01"`)},
		{"an unknown key is refused with what is near", inBGP("holdtime: 9s"), one("bgp.holdtime: unknown key (did you mean holdTime?)")},
		{"a key that is near nothing is told what there is", inBGP("neighbors: 1"), one("bgp.neighbors: unknown key (known here: asn, routerID, port, listenAddresses, holdTime, connectRetry, startLimit, gracefulRestart, brake, reflector, preference, peers, peersFile, nodePeers)")},
		{"a key in the wrong section is told where it belongs", minimal + "log: {table: 1}\n", one("log.table: unknown key (table belongs at kernel.table)")},
		{"a key of another product is told what there is", minimal + "log: {verbosity: 1}\n", one("log.verbosity: unknown key (known here: level, format)")},
		{"a key given twice is refused", inBGP("asn: 2"), one("bgp.asn: 2: given twice: first in line 2")},
		{"a key that is no word is refused", minimal + "? [a]\n: 1\n", one("a list: a key must be a plain word")},
		{"a key that is a number is unknown", minimal + "1: 1\n", one("1: unknown key (known here: cluster, node, bgp, clusters, kernel, natExemption, kubernetes, probe, http, log, runtime)")},
		{"a tag is refused", inBGP("port: !!int 179"), one("bgp.port: !!int: tags are not supported: wants a whole number")},
		{"a tag on a list is refused", inBGP("peers: !!seq []"), one("bgp.peers: !!seq: tags are not supported: wants a list, such as [a, b]")},
		{"an alias stands for its anchor", strings.Replace(minimal, "{asn: 64512}", "{asn: 64512, port: &p 1179, peers: [{name: a, address: 192.0.2.1, asn: 1, port: *p}]}", 1), nil},
		{"a merged key that is unknown is refused in both places", inBGP("peers: [&a {name: a, address: 192.0.2.1, asn: 1, x: 1}, {<<: *a, name: b, address: 192.0.2.2}]"), []string{
			"bgp.peers[0].x: unknown key (known here: name, address, interface, asn, port, localAddress, passive, nodeSelector, clusters, network, client, region, zone, passOn, nextHop, advertise, communities, require, refuse, hops, multihop, holdTime, families, extendedNextHop, allowOwnAS, asOverride, removePrivateAS, addPaths, passwordFile, passwordSecret, maxPrefixes, bfd)",
			"bgp.peers[1].x: unknown key (known here: name, address, interface, asn, port, localAddress, passive, nodeSelector, clusters, network, client, region, zone, passOn, nextHop, advertise, communities, require, refuse, hops, multihop, holdTime, families, extendedNextHop, allowOwnAS, asOverride, removePrivateAS, addPaths, passwordFile, passwordSecret, maxPrefixes, bfd)"}},
		{"an own key beats a merged one", inBGP("peers: [&a {name: a, address: 192.0.2.1, asn: 1}, &b {<<: *a, name: b, address: 192.0.2.2}, {<<: [*b, *a], name: c, address: 192.0.2.3}]"), nil},
		{"merging what is no mapping is refused", inBGP("peers: [{<<: 1, name: a, address: 192.0.2.1, asn: 1}]"),
			one("bgp.peers[0]: 1: wants a mapping (keys with values, indented below it), not a whole number")},
		{"a mapping merged into itself ends", inBGP("peers: [&a {<<: *a, name: a, address: 192.0.2.1, asn: 1}]"),
			one("bgp.peers[0]: <<: merges more than 8 mappings into each other")},
		{"a list within itself is refused", inBGP("peers: &a [*a]"), one("bgp.peers[0]: […]: wants a mapping (keys with values, indented below it), not a list")},
		{"an unknown alias is refused", inBGP("port: *p"), one("is not YAML: unknown anchor 'p' referenced")},
		{"bad indentation is refused with its line", "bgp:\n  asn: 1\n cluster: 2\n", one("is not YAML: did not find expected key")},
		{"control characters are refused", "bgp: \x01\n", one("is not YAML: control characters are not allowed")},
		{"a second document is refused", minimal + "---\n" + minimal, one("a second document begins here: a configuration is one document")},
		{"a broken second document is refused", minimal + "---\n{", one("is not YAML: did not find expected node content")},
		{"a document in its markers is fine", "%YAML 1.1\n---\n" + minimal + "...\n", nil},
		{"a byte order mark is fine", "\ufeff" + minimal, nil},
	} {
		t.Run(row.name, row.run)
	}
}

func TestPlaces(t *testing.T) {
	_, err := parse("cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}\nbgp:\n  asn: 1\n  peers:\n  - name: a\n    address: nowhere\n  extra: 1\nlog:\n- 1\n")
	var errs config.Errors
	require.ErrorAs(t, err, &errs)
	var got []string
	for _, e := range errs {
		got = append(got, fmt.Sprintf("%s:%d:%d %s", e.Source, e.Line, e.Column, e.Path))
	}
	require.Equal(t, []string{
		"f.yaml:5:5 bgp.peers[0].asn", // what is missing is missing in the peer
		"f.yaml:6:14 bgp.peers[0].address",
		"f.yaml:7:3 bgp.extra",
		"f.yaml:9:1 log",
	}, got)
	var first config.Error
	require.ErrorAs(t, err, &first)
	require.Equal(t, "bgp.peers[0].asn", first.Path)
}

func TestHostileFiles(t *testing.T) {
	t.Run("a file that is too large is refused", func(t *testing.T) {
		_, err := parse(minimal + strings.Repeat("#", 1<<20))
		require.EqualError(t, err, "f.yaml: is larger than 1048576 bytes")
	})
	t.Run("the largest file is read", func(t *testing.T) {
		mustParse(t, minimal+strings.Repeat("#", 1<<20-len(minimal)))
	})
	t.Run("aliases can't multiply a file", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("cluster: {name: east, id: 1, podCIDRs: []}\nbgp:\n  asn: 1\n  peers:\n  - &p {name: a, address: 192.0.2.1, asn: 1, clusters: [")
		b.WriteString(strings.Repeat("x,", 50000) + "]}\n" + strings.Repeat("  - *p\n", 50000))
		_, err := parse(b.String())
		require.EqualError(t, err, "f.yaml: its aliases make more than 1048576 values of it")
	})
	t.Run("aliases of aliases are no list of ours", func(t *testing.T) {
		text := "a: &a [1,1,1,1,1,1,1,1,1]\n"
		for c := 'b'; c < 'k'; c++ {
			text += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
		}
		_, err := parse(minimal + text + "clusters: *j\n")
		require.ErrorContains(t, err, "clusters[0]: […]: wants a mapping")
	})
	t.Run("so many errors are summed up", func(t *testing.T) {
		_, err := parse(minimal + strings.Repeat("x: 1\n", 5000))
		var errs config.Errors
		require.ErrorAs(t, err, &errs)
		require.Len(t, errs, 1001)
		require.EqualError(t, errs[1000], "f.yaml: and 4000 errors more")
	})
	t.Run("so many clusters with one range are told apart in time", func(t *testing.T) {
		_, err := parse(minimal + "clusters:\n" + strings.Repeat("- {name: a, id: 2, podCIDRs: [10.20.0.0/16]}\n", 20000))
		require.ErrorContains(t, err, "errors more")
	})
}

func TestLoad(t *testing.T) {
	t.Run("reads a file and names it in errors", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "underlayd.yaml")
		require.NoError(t, os.WriteFile(path, []byte(minimal+"x: 1\n"), 0o600))
		_, err := config.Load(path, onNode())
		require.ErrorContains(t, err, path+":3:1: x: unknown key")
	})
	t.Run("a file that is not there is not a broken rule", func(t *testing.T) {
		_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), onNode())
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NotErrorAs(t, err, new(config.Errors))
	})
	t.Run("a file that can't be read to its end is not a broken rule", func(t *testing.T) {
		_, err := config.Parse(iotest.ErrReader(os.ErrDeadlineExceeded), "f.yaml", onNode())
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NotErrorAs(t, err, new(config.Errors))
	})
}
