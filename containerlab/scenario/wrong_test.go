package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/underlayd/underlayd/containerlab"
)

// wrong is what the careless neighbour announces beside what is right, with the verdict that each deserves.
func wrong() map[string]string {
	return map[string]string{
		"0.0.0.0/0": "DefaultRoute", "128.0.0.0/1": "DefaultRoute", "::/0": "DefaultRoute", "8000::/1": "DefaultRoute",
		"10.10.0.0/16": "OwnPrefix", "10.10.7.0/24": "OwnPrefix", "10.0.0.0/8": "OwnPrefix",
		"fd00:10:0:7::/64": "OwnPrefix", "fd00::/16": "OwnPrefix",
		"10.96.1.0/24":    "Reserved",
		"192.168.50.0/24": "NodeAddress", "192.168.50.128/25": "NodeAddress", "fd00:fab:50::/64": "NodeAddress",
		"192.168.50.1/32": "NodeAddress", "192.168.50.12/32": "NodeAddress",
		"203.0.113.0/24": "Special", "198.18.0.0/15": "Special", "2001:db8::/32": "Special",
		"10.99.1.0/24": "NoContract", "10.20.0.0/15": "CoversContract",
		"10.20.2.8/29": "PrefixLength", "fd00:20::/126": "PrefixLength",
		"10.40.1.0/24": "PeerNotAllowed", "10.30.1.0/24": "NoClusterID",
		"10.20.3.0/24": "Blackhole", "10.20.4.0/24": "ClusterMismatch",
		"10.20.5.0/24": "OwnClusterID", "10.99.2.0/24": "OwnClusterID",
		"10.20.6.0/24": "ASLoop",
		"10.20.7.0/24": "NextHopOurs", "10.20.8.0/24": "NextHopInPodRange",
	}
}

// refuses waits until the node refuses exactly these prefixes, each with its reason.
func refuses(t *testing.T, n *containerlab.Node, want map[string]string) {
	t.Helper()
	until(t, patience, "refusals", func(ctx context.Context) error {
		var list routeList
		if err := ask(ctx, n, &list, "routes", "--state", "refused"); err != nil {
			return err
		}
		got := map[string]string{}
		for _, r := range list.Items {
			got[r.Prefix] = r.Verdict
			if r.Detail == "" || r.Kernel.Status != "" && r.Kernel.Status != "Absent" {
				return fmt.Errorf("%+v", r)
			}
		}
		return differ(want, got)
	})
}

func differ[V comparable](want, got map[string]V) error {
	var errs []error
	for key := range want {
		if got[key] != want[key] {
			errs = append(errs, fmt.Errorf("%s: want %v, got %v", key, want[key], got[key]))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			errs = append(errs, fmt.Errorf("%s: %v is too much", key, got[key]))
		}
	}
	return errors.Join(errs...)
}

// counts waits until the node has counted these refusals of a peer that never went down.
func counts(t *testing.T, n *containerlab.Node, peer string, want map[string]uint64) {
	t.Helper()
	is(t, n, "counting the refusals of "+peer, func(s state) error {
		at := slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == peer })
		if p := s.Sessions[at]; p.State != "established" || p.Flaps != 0 {
			return fmt.Errorf("%s is %s after %d losses", peer, p.State, p.Flaps)
		}
		return differ(want, s.Sessions[at].RefusedTotal)
	})
}

// wrongFaults are what explain says of a prefix of each kind; check where it answers for the
// range alone: of our own pods, and of what reaches beyond a contract.
func wrongFaults() []struct{ name, prefix, fault string } {
	return []struct{ name, prefix, fault string }{
		{"a peer announces a default route", "0.0.0.0/0", "DefaultRoute"},
		{"a peer announces our own pods", "", "OwnPrefix"},
		{"a peer announces a reserved range", "10.96.1.0/24", "Reserved"},
		{"a peer announces the addresses of nodes", "192.168.50.0/24", "NodeAddress"},
		{"a peer announces a special range", "203.0.113.0/24", "Special"},
		{"a peer announces what no contract covers", "10.99.1.0/24", "NoContract"},
		{"a peer announces more than the contract", "", "CoversContract"},
		{"a prefix is longer than the contract allows", "10.20.2.8/29", "PrefixLength"},
		{"a peer announces a cluster that it may not", "10.40.1.0/24", "PeerNotAllowed"},
		{"the cluster's id is required and missing", "10.30.1.0/24", "NoClusterID"},
		{"a peer asks for packets to be discarded", "10.20.3.0/24", "Blackhole"},
		{"a prefix carries the id of another cluster", "10.20.4.0/24", "ClusterMismatch"},
		{"another cluster has our id", "10.20.5.0/24", "OwnClusterID"},
		{"a loop: our own AS is in the path", "10.20.6.0/24", "ASLoop"},
		{"the next hop is this node", "10.20.7.0/24", "NextHopOurs"},
		{"the next hop is among pods", "10.20.8.0/24", "NextHopInPodRange"},
		{"the next hop can't be reached", "10.20.9.0/24", "NextHopNotOnLink"},
	}
}

func TestWrongRoutes(t *testing.T) {
	t.Parallel()
	page := faultsOf(t)
	containerlab.Require(t, "bird", "birdc", "ip", "go")
	lab := containerlab.UpForTest(t, filepath.Join("testdata", "wrong", "lan.clab.yml"), containerlab.Options{
		Sources: map[string]string{"underlayd": built(t).underlayd}, Manual: []string{"other"},
	})
	n := lab.Node("node")
	right := []string{
		"10.20.1.0/24 via 192.168.50.11", "10.20.50.0/24 via 192.168.50.11", "10.20.51.0/24 via 192.168.50.11",
		"fd00:20:0:1::/64 via fd00:fab:50::11",
	}
	total := map[string]uint64{}
	for _, reason := range wrong() {
		total[reason]++
	}
	total["NextHopNotOnLink"] = 1 // 10.20.9.0/24, which the plan accepts
	step(t, "only what is right is in the kernel", func(t *testing.T) { becomes(t, n, patience, right) })
	step(t, "each wrong route is refused with its reason", func(t *testing.T) { refuses(t, n, wrong()) })
	step(t, "each is counted once", func(t *testing.T) { counts(t, n, "careless", total) })
	step(t, "a next hop that is not on-link is the kernel's to refuse", func(t *testing.T) {
		is(t, n, "blaming it", says("kernel", "10.20.9.0/24", "198.51.100.9", "not on-link"))
		is(t, n, "blaming its peer", says("refused path, NextHopNotOnLink", "10.20.9.0/24 from peer careless has the next hop 198.51.100.9"))
	})
	step(t, "explain says what is to be done about each", func(t *testing.T) {
		for _, row := range wrongFaults() {
			ask := byExplain(n, row.prefix, row.fault)
			if row.prefix == "" {
				ask = byCheck(n, row.fault, "refused, "+row.fault)
			}
			t.Run(row.name, func(t *testing.T) { page.tells(t, row.name, ask) })
		}
	})
	step(t, "two clusters of one id are named", func(t *testing.T) {
		is(t, n, "naming them", says("refused, OwnClusterID", "cluster id 1 is that of our own cluster east", "AS 65001 (peer careless) uses it too"))
	})

	step(t, "another neighbour's routes get in, whatever the first one says of the same prefixes", func(t *testing.T) {
		if err := lab.Node("other").Launch(t.Context()); err != nil {
			t.Fatal(err)
		}
		becomes(t, n, patience, []string{
			"10.20.1.0/24 via 192.168.50.11", "10.20.3.0/24 via 192.168.50.12", "10.20.50.0/24 via 192.168.50.11",
			"10.20.51.0/24 via 192.168.50.12", "10.30.2.0/24 via 192.168.50.12", "10.30.3.0/24 via 192.168.50.12",
			"10.40.2.0/24 via 192.168.50.12", "fd00:20:0:1::/64 via fd00:fab:50::11",
		})
	})
	step(t, "the disputes are named and counted, and so is one prefix too many", func(t *testing.T) {
		output(t, lab.Node("other"), "birdc", "enable", "late")
		disputed := maps.Clone(total)
		disputed["Overlap"] = 1
		counts(t, n, "careless", disputed)
		counts(t, n, "other", map[string]uint64{"Overlap": 1, "TooManyPrefixes": 1})
		is(t, n, "naming them", says("refused path, Overlap", "10.20.50.0/24 comes from two origins",
			"AS 65002 (peer other) is refused, AS 65001 (peer careless) has it already and keeps it", "likewise 10.20.51.0/24"))
		page.tells(t, "two clusters announce the same pods", byCheck(n, "Overlap", "10.20.50.0/24 comes from two origins", "two origins announce this prefix"))
		page.tells(t, "a cluster has more prefixes than it may", byCheck(n, "TooManyPrefixes", "clusters[south].maxPrefixes"))
		is(t, n, "naming what is to be discarded", says("refused path, Blackhole", "10.20.3.0/24 from peer careless"))
	})
	step(t, "a dispute that ends releases the prefix", func(t *testing.T) {
		output(t, lab.Node("careless"), "birdc", "disable", "disputed")
		becomes(t, n, patience, []string{
			"10.20.1.0/24 via 192.168.50.11", "10.20.3.0/24 via 192.168.50.12", "10.20.50.0/24 via 192.168.50.12",
			"10.20.51.0/24 via 192.168.50.12", "10.30.2.0/24 via 192.168.50.12", "10.30.3.0/24 via 192.168.50.12",
			"10.40.2.0/24 via 192.168.50.12", "fd00:20:0:1::/64 via fd00:fab:50::11",
		})
	})
	page.compare(t)
}
