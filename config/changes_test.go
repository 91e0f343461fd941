package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

const before = `
cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, 10.11.0.0/16]}
bgp:
  asn: 64512
  peers:
  - {name: tor-a, address: 192.0.2.1, asn: 65000}
  - {name: tor-b, address: 192.0.2.2, asn: 65000, holdTime: 9s}
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16]}
- {name: north, id: 3, podCIDRs: [10.30.0.0/16]}
`

func TestChanges(t *testing.T) {
	with := func(more string) []string { return []string{"clusters:\n", more + "\nclusters:\n"} }
	for _, row := range []struct {
		name    string
		replace []string // pairs
		want    []string
	}{
		{"the same text changes nothing", nil, nil},
		{"a default written out changes nothing", with("kernel: {table: 254}"), nil},
		{"another order of ranges changes nothing", []string{"10.10.0.0/16, 10.11.0.0/16", "10.11.0.0/16, 10.10.0.0/16"}, nil},
		{"another order of peers changes nothing", []string{"tor-a, address: 192.0.2.1, asn: 65000", "tor-b, address: 192.0.2.2, asn: 65000, holdTime: 9s", "tor-b, address: 192.0.2.2, asn: 65000, holdTime: 9s", "tor-a, address: 192.0.2.1, asn: 65000"}, nil},
		{"a range of ours is live", []string{", 10.11.0.0/16", ""}, []string{"cluster.podCIDRs: 10.10.0.0/16, 10.11.0.0/16 to 10.10.0.0/16 (Live)"}},
		{"a contract's range is live", []string{"10.20.0.0/16", "10.21.0.0/16"}, []string{"clusters[west].podCIDRs: 10.20.0.0/16 to 10.21.0.0/16 (Live)"}},
		{"that a contract requires its id is live", []string{"podCIDRs: [10.20.0.0/16]", "podCIDRs: [10.20.0.0/16], requireID: true"}, []string{"clusters[west].requireID: false to true (Live)"}},
		{"a new contract is live and one change", []string{"clusters:\n", "clusters:\n- {name: south, id: 4, podCIDRs: [10.40.0.0/16]}\n"}, []string{"clusters[south]: nothing to south (Live)"}},
		{"a contract that is gone is live and one change", []string{"- {name: west, id: 2, podCIDRs: [10.20.0.0/16]}\n", ""}, []string{"clusters[west]: west to nothing (Live)"}},
		{"a log level is live", with("log: {level: debug}"), []string{"log.level: info to debug (Live)"}},
		{"what may be learned of a peer is live", []string{"asn: 65000}", "asn: 65000, clusters: [west]}"}, []string{"bgp.peers[tor-a].clusters: nothing to west (Live)"}},
		{"a connect retry is live", []string{"asn: 64512", "asn: 64512\n  connectRetry: 1s"}, []string{"bgp.connectRetry: 5s to 1s (Live)"}},
		{"a peer's AS number resets it alone", []string{"asn: 65000}", "asn: 65001}"}, []string{"bgp.peers[tor-a].asn: 65000 to 65001 (ResetsPeer tor-a)"}},
		{"a peer's local address resets it", []string{"asn: 65000}", "asn: 65000, localAddress: 192.0.2.9}"}, []string{"bgp.peers[tor-a].localAddress: nothing to 192.0.2.9 (ResetsPeer tor-a)"}},
		{"a peer's Secret resets it", []string{"asn: 65000}", "asn: 65000, passwordSecret: {name: s}}"},
			[]string{"bgp.peers[tor-a].passwordSecret.name: nothing to s (ResetsPeer tor-a)", "bgp.peers[tor-a].passwordSecret.key: nothing to password (ResetsPeer tor-a)"}},
		{"which annotations are heeded is live", with("kubernetes: {nodeAnnotations: [zone, asn]}"), []string{"kubernetes.nodeAnnotations: nothing to asn, zone (Live)"}},
		{"a peer's password resets it", []string{"asn: 65000}", "asn: 65000, passwordFile: /k}"}, []string{"bgp.peers[tor-a].passwordFile: nothing to /k (ResetsPeer tor-a)"}},
		{"a link in place of an address resets a peer", []string{"address: 192.0.2.1, asn: 65000}", "interface: eth1, asn: 65000}"},
			[]string{"bgp.peers[tor-a].interface: nothing to eth1 (ResetsPeer tor-a)", "bgp.peers[tor-a].address: 192.0.2.1 to nothing (ResetsPeer tor-a)"}},
		{"which next hops IPv4 prefixes have is live", []string{"asn: 65000}", "asn: 65000, extendedNextHop: false}"}, []string{"bgp.peers[tor-a].extendedNextHop: auto to false (Live)"}},
		{"our own AS in a path is live", []string{"asn: 65000}", "asn: 65000, allowOwnAS: 1}"}, []string{"bgp.peers[tor-a].allowOwnAS: 0 to 1 (Live)"}},
		{"another AS in a path resets a peer", []string{"asn: 65000}", "asn: 65000, asOverride: true}"}, []string{"bgp.peers[tor-a].asOverride: false to true (ResetsPeer tor-a)"}},
		{"how much a peer may send is live", []string{"asn: 65000}", "asn: 65000, maxPrefixes: 0}"}, []string{"bgp.peers[tor-a].maxPrefixes: auto to 0 (Live)"}},
		{"multihop resets a peer, and says that GTSM goes", []string{"asn: 65000}", "asn: 65000, multihop: 2}"}, []string{"bgp.peers[tor-a].hops: 1 to 0 (ResetsPeer tor-a)", "bgp.peers[tor-a].multihop: 0 to 2 (ResetsPeer tor-a)"}},
		{"a new peer disturbs nobody", []string{"  peers:\n", "  peers:\n  - {name: tor-c, address: 192.0.2.3, asn: 65000}\n"}, []string{"bgp.peers[tor-c]: nothing to tor-c (Live)"}},
		{"a peer that is gone disturbs nobody else", []string{"  - {name: tor-a, address: 192.0.2.1, asn: 65000}\n", ""}, []string{"bgp.peers[tor-a]: tor-a to nothing (Live)"}},
		{"a new name is a new peer", []string{"tor-a", "leaf-a"}, []string{"bgp.peers[leaf-a]: nothing to leaf-a (Live)", "bgp.peers[tor-a]: tor-a to nothing (Live)"}},
		{"the hold time resets the peers that have none of their own", []string{"asn: 64512", "asn: 64512\n  holdTime: 30s"}, []string{"bgp.holdTime: 90s to 30s (ResetsPeer tor-a)"}},
		{"the restart time resets every peer", []string{"asn: 64512", "asn: 64512\n  gracefulRestart: {restartTime: 60s}"}, []string{"bgp.gracefulRestart.restartTime: 120s to 60s (ResetsPeer tor-a tor-b)"}},
		{"a deferral is live: it matters at the next start", []string{"asn: 64512", "asn: 64512\n  gracefulRestart: {deferral: 20s}"}, []string{"bgp.gracefulRestart.deferral: 10s to 20s (Live)"}},
		{"another file of peers is live", []string{"asn: 64512", "asn: 64512\n  peersFile: /p"}, []string{"bgp.peersFile: nothing to /p (Live)"}},
		{"to find peers among the Nodes needs a restart", []string{"asn: 64512", "asn: 64512\n  nodePeers: {enabled: true}"}, []string{"bgp.nodePeers.enabled: false to true (NeedsRestart)"}},
		{"what peers found so have in common is live", []string{"asn: 64512", "asn: 64512\n  nodePeers: {defaults: {holdTime: 9s}}"}, []string{"bgp.nodePeers.defaults.holdTime: nothing to 9s (Live)"}},
		{"our AS number needs a restart", []string{"64512", "64513"}, []string{"bgp.asn: 64512 to 64513 (NeedsRestart)"}},
		{"who we are needs a restart", []string{"name: east, id: 1", "name: east2, id: 5"}, []string{"cluster.name: east to east2 (NeedsRestart)", "cluster.id: 1 to 5 (NeedsRestart)"}},
		{"how next hops are resolved works at once", with("kernel: {resolve: always}"), []string{"kernel.resolve: never to always (Live)"}},
		{"what routes look like needs a restart", with("kernel: {mtu: 1400, source: {ipv4: 192.0.2.7}}"), []string{
			"kernel.mtu: 0 to 1400 (NeedsRestart)", "kernel.source.ipv4: auto to 192.0.2.7 (NeedsRestart)",
		}},
		{"the NAT exemption works at once", with("natExemption: false"), []string{"natExemption: true to false (Live)"}},
		{"a table needs a restart", with("kernel: {table: 100}"), []string{"kernel.table: 254 to 100 (NeedsRestart)"}},
		{"a kubeconfig needs a restart", with("kubernetes: {kubeconfig: /k}"), []string{"kubernetes.kubeconfig: nothing to /k (NeedsRestart)"}},
		{"another source of pod CIDRs is live", with("kubernetes: {podCIDRSource: calico}"), []string{"kubernetes.podCIDRSource: auto to calico (Live)"}},
		{"a listen address needs a restart", []string{"asn: 64512", "asn: 64512\n  listenAddresses: [\"::\"]"}, []string{"bgp.listenAddresses: nothing to :: (NeedsRestart)"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			after := strings.NewReplacer(row.replace...).Replace(before)
			require.Equal(t, len(row.replace) == 0, after == before, "the row changes the text")
			var got []string
			for _, c := range config.Changes(mustParse(t, before), mustParse(t, after)) {
				got = append(got, c.String())
			}
			require.Equal(t, row.want, got)
		})
	}
	t.Run("the hold time is live when every peer has its own", func(t *testing.T) {
		own := strings.Replace(before, "asn: 65000}", "asn: 65000, holdTime: 9s}", 1)
		changes := config.Changes(mustParse(t, own), mustParse(t, strings.Replace(own, "asn: 64512", "asn: 64512\n  holdTime: 30s", 1)))
		require.Len(t, changes, 1)
		require.Equal(t, config.Live, changes[0].Effect)
	})
}
