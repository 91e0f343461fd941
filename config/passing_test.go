package config_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

// reflecting is a reflector with one peer, and two remote clusters.
func reflecting(peer string) string {
	return peers("name: a, address: 192.0.2.1, "+peer) +
		"clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}, {name: north, id: 3, podCIDRs: [10.30.0.0/16]}]\n"
}

func TestPassingOn(t *testing.T) {
	for _, row := range []rule{
		{"a client of the same AS is fine", reflecting("asn: 64512, client: true"), nil},
		{"a client of another AS is refused", reflecting("asn: 65000, client: true"),
			one("bgp.peers[0].client: true: is for iBGP (RFC 4456): the peer's asn is 65000, ours is 64512")},
		{"a declared cluster may be passed on", reflecting("asn: 65000, passOn: [west]"), nil},
		{"a misspelt one is refused", reflecting("asn: 65000, passOn: [wets]"),
			one("bgp.peers[0].passOn[0]: wets: is not declared in clusters (did you mean west?)")},
		{"this cluster itself goes to others", reflecting("asn: 65000, passOn: [east]"), nil},
		{"this cluster itself goes to another reflector that is a client", reflecting("asn: 64512, client: true, passOn: [east, west]"), nil},
		{"this cluster itself does not go to a plain iBGP peer", reflecting("asn: 64512, passOn: [east]"),
			one("bgp.peers[0].passOn[0]: east: is this cluster itself, whose routes go to eBGP peers and to clients: " +
				"another reflector of this cluster is a client too, and has its own bgp.reflector.clusterID")},
		{"the next hop may be ours", reflecting("asn: 65000, passOn: [west], nextHop: self"), nil},
		{"another next hop is refused", reflecting("asn: 65000, nextHop: peer"),
			one("bgp.peers[0].nextHop: peer: must be one of auto, self, unchanged")},
		{"an unchanged next hop to a link-local peer is refused", peers("name: a, address: fe80::1%eth0, asn: 65000, nextHop: unchanged"),
			one("bgp.peers[0].nextHop: unchanged: can't be: the peer is addressed by its link, and shares none with the next hops of others; write self")},
		{"a cluster id is 32 bits", inBGP("reflector: {clusterID: 0.0.0.7}"), nil},
		{"a cluster id of zero is refused", inBGP("reflector: {clusterID: 0.0.0.0}"), one("bgp.reflector.clusterID: 0.0.0.0: must not be zero (RFC 6286)")},
	} {
		t.Run(row.name, row.run)
	}
}

func TestWhatIsPassedOnUnlessSaid(t *testing.T) {
	for _, row := range []struct {
		name, peer string
		want       []string
	}{
		{"nothing to an eBGP peer", "asn: 65000", nil},
		{"nothing to a plain iBGP peer", "asn: 64512", nil},
		{"every declared cluster to a client", "asn: 64512, client: true", []string{"north", "west"}},
		{"what is said to a client", "asn: 64512, client: true, passOn: [north]", []string{"north"}},
		{"nothing to a client if so said", "asn: 64512, client: true, passOn: []", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := mustParse(t, reflecting(row.peer))
			require.Equal(t, row.want, c.BGP.Peers[0].PassOn)
			var out bytes.Buffer
			require.NoError(t, c.Print(&out))
			require.Equal(t, c, mustParse(t, out.String()), "what is printed says the same")
		})
	}
}

func TestChangesOfPassingOn(t *testing.T) {
	with := func(clusterID, peer string) string {
		return inBGP("reflector: {clusterID: "+clusterID+"}, peers: [{name: a, address: 192.0.2.1, "+peer+"}]") +
			"clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}]\n"
	}
	for _, row := range []struct {
		name, before, after string
		want                []string
	}{
		{"what is passed on is live", with("auto", "asn: 65000"), with("auto", "asn: 65000, passOn: [west]"),
			one("bgp.peers[a].passOn: nothing to west (Live)")},
		{"its next hop is live", with("auto", "asn: 65000"), with("auto", "asn: 65000, nextHop: self"),
			one("bgp.peers[a].nextHop: auto to self (Live)")},
		{"to become a client resets the session", with("auto", "asn: 64512"), with("auto", "asn: 64512, client: true, passOn: []"),
			one("bgp.peers[a].client: false to true (ResetsPeer a)")},
		{"a cluster id resets clients", with("0.0.0.1", "asn: 64512, client: true"), with("0.0.0.2", "asn: 64512, client: true"),
			one("bgp.reflector.clusterID: 0.0.0.1 to 0.0.0.2 (ResetsPeer a)")},
		{"and nobody else", with("0.0.0.1", "asn: 65000"), with("0.0.0.2", "asn: 65000"),
			one("bgp.reflector.clusterID: 0.0.0.1 to 0.0.0.2 (Live)")},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []string
			for _, c := range config.Changes(mustParse(t, row.before), mustParse(t, row.after)) {
				got = append(got, c.String())
			}
			require.Equal(t, row.want, got)
		})
	}
}
