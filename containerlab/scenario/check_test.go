package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// checkList is what `underlayd check -o json` says, as far as the scenarios look at it.
type checkList struct {
	APIVersion       string `json:"apiVersion"`
	Kind             string `json:"kind"`
	Daemon           bool   `json:"daemon"`
	Failed, Warnings int
	Items            []struct {
		Group, Name, Result, Reason, Sentence string
		Remedy                                *struct{ Action, Key, Value, Command, Doc string }
	}
}

func check(ctx context.Context, n *containerlab.Node) (l checkList, err error) {
	text, err := n.Ask(ctx, "/run/underlayd/underlayd.sock", "/v1/check")
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal([]byte(text), &l)
}

// wrong are the findings of a list in words, with what to do.
func (l checkList) wrong() (all []string) {
	for i := range l.Items {
		if text := l.words(i); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// words are a finding in words, with what to do; none where nothing is wrong.
func (l checkList) words(at int) string {
	c := l.Items[at]
	if c.Result != "failed" && c.Result != "warning" {
		return ""
	}
	text := fmt.Sprintf("%s %s (%s) %s: %s", c.Result, c.Group, c.Reason, c.Name, c.Sentence)
	if r := c.Remedy; r != nil && r.Action != "" && r.Key+r.Command != "" && r.Doc != "" {
		text += fmt.Sprintf("; to do: %s, %s: %s, %s, %s", r.Action, r.Key, r.Value, r.Command, r.Doc)
	}
	return text
}

// find returns the finding that has a reason or a name, and these words, with a remedy.
func (l checkList) find(fault string, words ...string) (at int, err error) {
	for i := range l.Items {
		text := l.words(i)
		if !strings.Contains(text, "("+fault+")") && !strings.Contains(text, ") "+fault+":") || !strings.Contains(text, "; to do: ") {
			continue
		}
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return i, nil
		}
	}
	return -1, fmt.Errorf("no %s with %q and what to do in\n%s", fault, words, strings.Join(l.wrong(), "\n"))
}

// checks waits until check names a fault with these words.
func checks(t *testing.T, n *containerlab.Node, fault string, words ...string) {
	t.Helper()
	until(t, patience, "checking", func(ctx context.Context) error {
		l, err := check(ctx, n)
		if err != nil {
			return err
		}
		_, err = l.find(fault, words...)
		return err
	})
}

func notChecked(ctx context.Context, n *containerlab.Node, fault string) error {
	l, err := check(ctx, n)
	if err != nil {
		return err
	}
	if _, missing := l.find(fault); missing == nil {
		return errors.New(fault + " is still there")
	}
	return nil
}

// nothingWrong: but for the clock, which is this machine's.
func nothingWrong(t *testing.T, n *containerlab.Node) {
	l, err := check(t.Context(), n)
	require.NoError(t, err)
	require.Equal(t, []string{"underlayd.io/v1", "CheckList"}, []string{l.APIVersion, l.Kind})
	require.True(t, l.Daemon)
	require.Empty(t, slices.DeleteFunc(l.wrong(), func(s string) bool { return strings.HasPrefix(s, "warning clock") }))
	out := output(t, n, "underlayd", "check") // exit code 0
	for _, words := range []string{
		"east-1: nothing stands in the way", "✓ cluster west is reachable: 4 of 4 accepted prefixes are in the kernel", "✓ 1 of 1 sessions are established",
		"✓ /etc/underlayd/config.yaml is valid", "✓ underlayd listens on port 179", "✓ pods of this node keep their address (nftables table inet underlayd-200)",
		"✓ this kernel has next-hop objects", "eth1 (MTU ",
	} {
		require.Contains(t, out, words)
	}
	t.Log(out)
}

// unreachedFaults are those that explain of one address does not show, or that come with a session.
func unreachedFaults() []planted {
	more := func(name, address string) (old, new string) {
		return "asn: 65000\n", fmt.Sprintf("asn: 65000\n  - {name: %s, address: %s, asn: 65009}\n", name, address)
	}
	row := func(name, fault string, plant, mend func(*testing.T, *clusters, *containerlab.Node), words ...string) planted {
		return planted{name: name, plant: plant, mend: mend, fault: fault, words: words}
	}
	silent, way := planted{name: "a peer that is not there", fault: "PeerSilent"}, planted{name: "a peer to which there is no way", fault: "NoWay"}
	silent.words = []string{"failed sessions", "peer lost", "192.168.11.77 does not answer on link eth1", "ip neigh show 192.168.11.77 dev eth1"}
	way.words = []string{"failed sessions", "there is no way to 203.0.113.9: no route leads there", "ip route get 203.0.113.9"}
	oldSilent, newSilent := more("lost", "192.168.11.77")
	oldWay, newWay := more("far", "203.0.113.9")
	strict := planted{name: "rp_filter is strict while peers are on several links", fault: "rp_filter", words: []string{"net.ipv4.conf.eth2.rp_filter is 1", "sysctl -w net.ipv4.conf.eth2.rp_filter=2", "operations.md#what-the-host-needs"}}
	oldStrict, newStrict := more("other", "172.30.0.9")
	strict.plant = func(t *testing.T, c *clusters, n *containerlab.Node) {
		shell("sysctl -qw net.ipv4.conf.eth2.rp_filter=1; ip addr add 172.30.0.1/24 dev eth2")(t, c, n)
		edit("east-1", oldStrict, newStrict)(t, c, n)
	}
	strict.mend = func(t *testing.T, c *clusters, n *containerlab.Node) {
		shell("sysctl -qw net.ipv4.conf.eth2.rp_filter=0; ip addr del 172.30.0.1/24 dev eth2")(t, c, n)
		edit("east-1", newStrict, oldStrict)(t, c, n)
	}
	masquerade := row("NAT is on", "Off",
		func(t *testing.T, c *clusters, n *containerlab.Node) {
			shell("nft 'table ip plugin { chain post { type nat hook postrouting priority srcnat; ip saddr 10.10.0.0/16 ip daddr != 10.10.0.0/16 masquerade; }; }'")(t, c, n)
			edit("east-1", "cluster:\n", "natExemption: false\ncluster:\n")(t, c, n)
		},
		func(t *testing.T, c *clusters, n *containerlab.Node) {
			shell("nft delete table ip plugin")(t, c, n)
			edit("east-1", "natExemption: false\ncluster:\n", "cluster:\n")(t, c, n)
		}, "warning nat", "natExemption is false", "ip plugin post may", "natExemption: true", "docs/cni.md")
	return []planted{
		swap(silent, "east-1", oldSilent, newSilent),
		swap(way, "east-1", oldWay, newWay),
		strict, masquerade,
		row("a link that takes less than pods send", "MTU", shell("ip link set eth1 mtu 1400"), shell("ip link set eth1 mtu 9500"),
			"pods on link eth2 send packets of up to 9500 bytes and link eth1, which leads to fabric, takes 1400", "ip link set eth1 mtu 9500"),
		row("a firewall that drops by default", "ForwardDrops", shell("nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }'"),
			shell("nft delete table ip filter"), "dropped by ip filter FORWARD", "iptables -I FORWARD -s 10.10.0.0/16 -d 10.20.0.0/16 -j ACCEPT", "docs/cni.md#gateways"),
		row("a longer route that no route of ours begins with", "ForeignRoute", shell("ip route add 10.20.1.128/25 via 192.168.11.7 proto bird"), shell("ip route del 10.20.1.128/25"),
			"somebody else has routes to other hosts inside 10.20.0.0/16 of cluster west", "ip route show root 10.20.0.0/16"),
		row("nobody announces a part of the contract", "NotAnnounced", edit("east-1", "podCIDRs: [10.20.0.0/16,", "podCIDRs: [10.20.0.0/16, 10.25.0.0/16,"), edit("east-1", "podCIDRs: [10.20.0.0/16, 10.25.0.0/16,", "podCIDRs: [10.20.0.0/16,"),
			"nobody announces anything of 10.25.0.0/16, which the contract of cluster west covers"),
		row("the peer has another password", "WrongPassword", differentPasswords, samePasswords,
			"failed sessions", "most likely have different passwords", "TcpExtTCPMD5Failure", "bgp.peers[fabric].passwordFile"),
	}
}

const keyOf = "asn: 65000\n    passwordFile: /etc/underlayd/fabric.key\n"

func differentPasswords(t *testing.T, c *clusters, _ *containerlab.Node) {
	require.NoError(t, os.WriteFile(filepath.Join(c.configs, "east-1", "fabric.key"), []byte("ours"), 0o600))
	output(t, c.Node("fabric"), "vtysh", "-c", "configure terminal", "-c", "router bgp 65000", "-c", "neighbor 192.168.11.1 password theirs")
	edit("east-1", "asn: 65000\n", keyOf)(t, c, nil)
}

func samePasswords(t *testing.T, c *clusters, _ *containerlab.Node) {
	output(t, c.Node("fabric"), "vtysh", "-c", "configure terminal", "-c", "router bgp 65000", "-c", "no neighbor 192.168.11.1 password theirs")
	edit("east-1", keyOf, "asn: 65000\n")(t, c, nil)
}

// checksAlone: what can be known without the daemon, and that this is said.
func checksAlone(t *testing.T, n *containerlab.Node, page *faultPage) {
	daemon := n.Process("underlayd")
	require.NoError(t, daemon.Signal(syscall.SIGTERM))
	<-daemon.Done()
	var l net.Listener
	require.NoError(t, n.Do(func() (err error) {
		l, err = net.Listen("tcp", "0.0.0.0:179")
		return err
	}))
	defer l.Close()
	var out strings.Builder
	c := n.Command(t.Context(), "underlayd", "check", "-o", "json")
	c.Stdout = &out
	require.Error(t, c.Run())
	require.Equal(t, 1, c.ProcessState.ExitCode(), out.String())
	var list checkList
	require.NoError(t, json.Unmarshal([]byte(out.String()), &list))
	require.False(t, list.Daemon)
	page.tells(t, "another program has the port, and the daemon does not run", func(context.Context) (faultRow, error) {
		return list.row("Port", "port 179 of 0.0.0.0 is taken: another program listens there", "bgp.port: -1", "docs/neighbours.md")
	})
	require.Equal(t, 1, list.Failed, list.wrong())
}
