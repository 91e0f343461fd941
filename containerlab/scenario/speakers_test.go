package scenario

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

const (
	nodeASN = 64512
	node4   = "192.168.50.1"
	node6   = "fd00:fab:50::1"
)

// speaker is a neighbour of the node: a BGP daemon that announces what it may and a lot that it may not.
type speaker struct {
	Name        string
	Daemon      string // frr, bird or gobgp
	Number      int
	ASN         int
	Internal    bool
	IPv4        string // its addresses
	IPv6        string
	Address     string // of these, the one it speaks BGP from
	Peer        string // the node's address that it speaks BGP with
	GTSM        bool   // it sends with a TTL of 255, as the node expects of external neighbours
	Password    string // of its session
	Dials       bool   // only it connects
	Silent      bool   // only the node connects
	MaxPrefixes int    // the node's limit for it
	Far         bool   // external without GTSM: it must not come up
}

// PeerASN is the node's AS number.
func (s speaker) PeerASN() int { return nodeASN }

// speakers returns every daemon × external or internal × a session over IPv4 or IPv6, and two that are not near enough.
func speakers() []speaker {
	var all []speaker
	add := func(name string, s speaker, v6 bool) {
		s.Number = len(all) + 1
		s.Name = name + "-ipv4"
		s.IPv4, s.IPv6 = fmt.Sprintf("192.168.50.%d", 10+s.Number), fmt.Sprintf("fd00:fab:50::%d", 10+s.Number)
		s.Address, s.Peer = s.IPv4, node4
		if v6 {
			s.Name, s.Address, s.Peer = name+"-ipv6", s.IPv6, node6
		}
		s.ASN = 65000 + s.Number
		if s.Internal {
			s.ASN = nodeASN
		}
		all = append(all, s)
	}
	for _, v6 := range []bool{false, true} {
		for _, daemon := range []string{"frr", "bird", "gobgp"} {
			add(daemon+"-ebgp", speaker{Daemon: daemon, GTSM: true}, v6)
			add(daemon+"-ibgp", speaker{Daemon: daemon, Internal: true}, v6)
		}
		add("bird-far", speaker{Daemon: "bird", Far: true}, v6)
	}
	return all
}

// claim is a prefix that a speaker announces, with the verdict it deserves.
type claim struct{ prefix, verdict string }

// Prefixes that several speakers announce.
const (
	shared4, shared6 = "10.20.250.0/24", "fd00:20:0:fa::/64" // all of them
	wide4, wide6     = "10.20.251.0/24", "fd00:20:0:fb::/64" // the external ones, each an origin of its own that declares the cluster
)

func (s speaker) own4() string { return fmt.Sprintf("10.20.%d.0/24", s.Number) }
func (s speaker) own6() string { return fmt.Sprintf("fd00:20:0:%d::/64", s.Number) }

// Stranger4 is announced with the id of a cluster that it does not belong to.
func (s speaker) Stranger4() string { return fmt.Sprintf("10.20.%d.0/24", 200+s.Number) }

// Stranger6 is announced with the id of a cluster that it does not belong to.
func (s speaker) Stranger6() string { return fmt.Sprintf("fd00:20:0:2%02d::/64", s.Number) }

func (s speaker) refusals4() []claim {
	return []claim{
		{"0.0.0.0/0", "DefaultRoute"},
		{"128.0.0.0/1", "DefaultRoute"},
		{fmt.Sprintf("10.30.%d.0/24", s.Number), "NoContract"},
		{"10.16.0.0/12", "CoversContract"},
		{fmt.Sprintf("10.20.240.%d/30", 4*s.Number), "PrefixLength"},
		{fmt.Sprintf("10.10.%d.0/24", 100+s.Number), "OwnPrefix"},
		{"10.8.0.0/13", "OwnPrefix"},
		{fmt.Sprintf("10.96.%d.0/24", s.Number), "Reserved"},
		{"192.168.50.128/25", "NodeAddress"},
		{s.Stranger4(), "ClusterMismatch"},
	}
}

func (s speaker) refusals6() []claim {
	return []claim{
		{"::/0", "DefaultRoute"},
		{"8000::/1", "DefaultRoute"},
		{fmt.Sprintf("fd00:30:0:%d::/64", s.Number), "NoContract"},
		{"fd00:20::/32", "CoversContract"},
		{fmt.Sprintf("fd00:20:0:f000:%d::/96", s.Number), "PrefixLength"},
		{fmt.Sprintf("fd00:10:0:1%02d::/64", s.Number), "OwnPrefix"},
		{"fd00:10::/32", "OwnPrefix"},
		{fmt.Sprintf("fd00:96:0:%d::/64", s.Number), "Reserved"},
		{"fd00:fab:50:0:8000::/65", "NodeAddress"},
		{s.Stranger6(), "ClusterMismatch"},
	}
}

// Wide4 is announced with the id of the cluster that it belongs to, by those that are not internal.
func (s speaker) Wide4() string { return wide4 }

// Wide6 is announced with the id of the cluster that it belongs to, by those that are not internal.
func (s speaker) Wide6() string { return wide6 }

// Announced4 is all that it announces of IPv4 without any id.
func (s speaker) Announced4() []string { return s.announced(s.refusals4(), s.own4(), shared4) }

// Announced6 is all that it announces of IPv6 without any id.
func (s speaker) Announced6() []string { return s.announced(s.refusals6(), s.own6(), shared6) }

func (s speaker) announced(refusals []claim, own, shared string) []string {
	list := []string{own, shared}
	for _, c := range refusals[:len(refusals)-1] {
		list = append(list, c.prefix)
	}
	return list
}

// lan writes the topology with the configurations of all its nodes and brings it up. It returns the path of the
// daemon's configuration too. Speakers that are to be manual are not started.
func lan(t *testing.T, all []speaker, manual ...string) (lab *containerlab.Lab, config string) {
	t.Helper()
	folder := emptyFolder(t)
	fill := func(name, target string, data any) {
		var text bytes.Buffer
		tmpl, err := template.ParseFiles(filepath.Join("testdata", "interop", name))
		require.NoError(t, err)
		require.NoError(t, tmpl.Execute(&text, data))
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, target)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, target), text.Bytes(), 0o644))
	}
	whole := map[string]any{"Node4": node4, "Node6": node6, "Neighbors": all}
	fill("lan.clab.yml", "lan.clab.yml", whole)
	fill("config.yaml", "node/config.yaml", whole)
	files := map[string][]string{"frr": {"daemons", "frr.conf"}, "bird": {"bird.conf"}, "gobgp": {"gobgpd.toml"}}
	for _, s := range all {
		if s.Password != "" {
			require.NoError(t, os.WriteFile(filepath.Join(folder, "node", s.Name+".key"), []byte(strings.TrimPrefix(s.Password, "not-")+"\n"), 0o600))
		}
		for _, file := range files[s.Daemon] {
			fill(file, filepath.Join(s.Name, file), s)
		}
	}
	lab = containerlab.UpForTest(t, filepath.Join(folder, "lan.clab.yml"), containerlab.Options{
		Sources: map[string]string{"underlayd": built(t).underlayd}, Manual: manual,
	})
	for _, s := range all {
		if s.Daemon == "gobgp" {
			s.feedGobgp(t, lab.Node(s.Name))
		}
	}
	return lab, filepath.Join(folder, "node", "config.yaml")
}

// feedGobgp has a gobgpd announce what the others read from their configurations.
func (s speaker) feedGobgp(t *testing.T, n *containerlab.Node) {
	t.Helper()
	var script strings.Builder
	script.WriteString("until gobgp global >/dev/null 2>&1; do :; done\n")
	add := func(family, nextHop string, prefixes []string, stranger, wide string) {
		for _, prefix := range prefixes {
			fmt.Fprintf(&script, "gobgp global rib add %s origin igp nexthop %s -a %s || exit\n", prefix, nextHop, family)
		}
		fmt.Fprintf(&script, "gobgp global rib add %s origin igp nexthop %s large-community %d:1:99 -a %s || exit\n", stranger, nextHop, s.ASN, family)
		if !s.Internal {
			fmt.Fprintf(&script, "gobgp global rib add %s origin igp nexthop %s large-community %d:1:2 -a %s || exit\n", wide, nextHop, s.ASN, family)
		}
	}
	add("ipv4", s.IPv4, s.Announced4(), s.Stranger4(), wide4)
	add("ipv6", s.IPv6, s.Announced6(), s.Stranger6(), wide6)
	output(t, n, "sh", "-c", script.String())
}
