package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// What the node has of the remote node's prefixes: the first one can be had from leaf, too, and the third one is IPv6.
const (
	both, third, six      = "10.20.1.0/24", "10.20.2.0/24", "fd00:20:0:1::/64"
	leaf, spare           = " via 192.168.60.254", " via 192.168.60.253"
	leaf6, spare6         = " via fd00:fab:60::fe", " via fd00:fab:60::fd"
	remoteNode, remote6   = "192.168.61.10", "fd00:fab:61::10"
	remoteLAN, remoteLAN6 = "192.168.61.0/24", "fd00:fab:61::/64"
)

// resolving is the lab with a configuration that can be changed.
type resolving struct {
	*containerlab.Lab
	n      *containerlab.Node
	config string
}

func newResolving(t *testing.T) *resolving {
	t.Helper()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "ip", "ping", "go")
	folder := emptyFolder(t)
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "resolve"))))
	lab := containerlab.UpForTest(t, filepath.Join(folder, "lan.clab.yml"), containerlab.Options{
		Sources: map[string]string{"underlayd": built(t).underlayd},
	})
	return &resolving{lab, lab.Node("node"), filepath.Join(folder, "node", "config.yaml")}
}

func (r *resolving) rewrite(t *testing.T, old, new string) {
	t.Helper()
	text, err := os.ReadFile(r.config)
	require.NoError(t, err)
	require.Contains(t, string(text), old)
	require.NoError(t, os.WriteFile(r.config+".new", []byte(strings.Replace(string(text), old, new, 1)), 0o600))
	require.NoError(t, os.Rename(r.config+".new", r.config))
}

func (r *resolving) ip(t *testing.T, command string) {
	t.Helper()
	output(t, r.n, append([]string{"ip"}, strings.Fields(command)...)...)
}

// carries fails the test unless packets from a pod address of the node's reach one of the remote node's, and back.
func (r *resolving) carries(t *testing.T, addresses ...string) {
	t.Helper()
	for _, to := range addresses {
		from := "10.10.1.1"
		if strings.Contains(to, ":") {
			from = "fd00:10:0:1::1"
		}
		until(t, patience, "a packet to "+to, func(ctx context.Context) error {
			_, err := r.n.Output(ctx, "ping", "-c", "1", "-W", "1", "-I", from, to)
			return err
		})
	}
}

// tells waits until the daemon says of a prefix where its packets go and what became of the remote node's path.
func (r *resolving) tells(t *testing.T, prefix string, nextHops, gateways []string, verdict string) {
	t.Helper()
	until(t, patience, "what is said of "+prefix, func(ctx context.Context) error {
		var list routeList
		if err := ask(ctx, r.n, &list, "routes"); err != nil {
			return err
		}
		at := slices.IndexFunc(list.Items, func(x route) bool { return x.Prefix == prefix })
		if at < 0 {
			return errors.New("nothing")
		}
		got := list.Items[at]
		said := ""
		for _, p := range got.Paths {
			if !p.Accepted {
				said = p.Verdict
			}
		}
		if !slices.Equal(got.Kernel.NextHops, nextHops) || !slices.Equal(got.Kernel.Gateways, gateways) || said != verdict {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

func TestNextHopsBehindGateways(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	step(t, "never: what leaf offers with its own address is used, though the remote node's path is better", func(t *testing.T) {
		becomes(t, r.n, patience, []string{both + leaf})
		r.tells(t, both, []string{"192.168.60.254"}, nil, "NextHopNotOnLink")
		is(t, r.n, "naming what has no other path", says("kernel", third, remoteNode, "not on-link"))
		r.carries(t, "10.20.1.1")
	})
	step(t, "routes: a default route is not enough", func(t *testing.T) {
		r.rewrite(t, "resolve: never", "resolve: routes")
		is(t, r.n, "saying so", says("kernel", third, remoteNode, "next hop unresolved", "only the default route"))
		r.tells(t, both, []string{"192.168.60.254"}, nil, "NextHopUnresolved")
		has(t, r.n, []string{both + leaf})
	})
	step(t, "a route to the next hops leads there, and the better path is taken", func(t *testing.T) {
		r.ip(t, "route add "+remoteLAN+" via 192.168.60.253")
		r.ip(t, "-6 route add "+remoteLAN6+" via fd00:fab:60::fd")
		becomes(t, r.n, patience, []string{both + spare, third + spare, six + spare6})
		r.tells(t, both, []string{remoteNode}, []string{"192.168.60.253"}, "")
		r.tells(t, six, []string{remote6}, []string{"fd00:fab:60::fd"}, "")
		r.carries(t, "10.20.1.1", "10.20.2.1", "fd00:20:0:1::1")
	})
	step(t, "the route changes: another gateway, the same next hops", func(t *testing.T) {
		r.ip(t, "route replace "+remoteLAN+" via 192.168.60.254")
		becomes(t, r.n, 10*time.Second, []string{both + leaf, third + leaf, six + spare6})
		r.tells(t, both, []string{remoteNode}, []string{"192.168.60.254"}, "")
		r.carries(t, "10.20.1.1", "10.20.2.1")
	})
	step(t, "the route gets two gateways, of which one goes", func(t *testing.T) {
		r.ip(t, "route replace "+remoteLAN+" nexthop via 192.168.60.254 nexthop via 192.168.60.253")
		becomes(t, r.n, 10*time.Second, []string{both + spare + " 192.168.60.254", third + spare + " 192.168.60.254", six + spare6})
		r.ip(t, "route replace "+remoteLAN+" via 192.168.60.254")
		becomes(t, r.n, 10*time.Second, []string{both + leaf, third + leaf, six + spare6})
	})
	step(t, "the route becomes a blackhole, goes and comes back: the worse path is used meanwhile", func(t *testing.T) {
		r.ip(t, "route replace blackhole "+remoteLAN)
		becomes(t, r.n, patience, []string{both + leaf, six + spare6})
		is(t, r.n, "saying so", says("kernel", third, remoteNode, "a blackhole route leads to it"))
		r.tells(t, both, []string{"192.168.60.254"}, nil, "NextHopUnresolved")
		r.ip(t, "route del blackhole "+remoteLAN)
		r.ip(t, "route add "+remoteLAN+" via 192.168.60.253")
		becomes(t, r.n, patience, []string{both + spare, third + spare, six + spare6})
		r.tells(t, both, []string{remoteNode}, []string{"192.168.60.253"}, "")
	})
	step(t, "always: the default route is good enough", func(t *testing.T) {
		r.ip(t, "route del "+remoteLAN)
		becomes(t, r.n, patience, []string{both + leaf, six + spare6})
		r.rewrite(t, "resolve: routes", "resolve: always")
		becomes(t, r.n, patience, []string{both + leaf, third + leaf, six + spare6})
		r.ip(t, "-6 route del "+remoteLAN6)
		becomes(t, r.n, patience, []string{both + leaf, third + leaf, six + leaf6})
		r.tells(t, both, []string{remoteNode}, []string{"192.168.60.254"}, "")
		r.carries(t, "10.20.1.1", "10.20.2.1", "fd00:20:0:1::1")
		is(t, r.n, "well", func(s state) error {
			if s.Clusters[0].State != "Reachable" {
				return errors.New("not yet")
			}
			return nil
		})
	})
	step(t, "the way of a daemon that starts again is the same, without a gap", func(t *testing.T) {
		want := []string{both + leaf, third + leaf, six + leaf6}
		require.NoError(t, r.n.Process("underlayd").Kill())
		has(t, r.n, want)
		require.NoError(t, r.n.Launch(t.Context()))
		r.tells(t, third, []string{remoteNode}, []string{"192.168.60.254"}, "")
		has(t, r.n, want)
	})
}

func TestATableOfItsOwnWithItsRule(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	becomes(t, r.n, patience, []string{both + leaf})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, r.n.Process("underlayd").Stop(ctx))
	output(t, r.n, "underlayd", "cleanup")
	r.ip(t, "addr add 192.168.60.77/32 dev lo")
	r.rewrite(t, "  resolve: never\n", "  resolve: always\n  table: 200\n  rule: 1000\n  mtu: 1400\n  source: {ipv4: 192.168.60.77}\n")
	require.NoError(t, r.n.Launch(t.Context()))
	rules := func(family string) string {
		ours := ""
		for line := range strings.Lines(output(t, r.n, "ip", "-N", family, "rule", "show")) {
			if strings.Contains(line, "proto 200") {
				ours += line
			}
		}
		return ours
	}
	there := func(ctx context.Context) error {
		found := ""
		for _, family := range []string{"-4", "-6"} {
			out, err := r.n.Output(ctx, "ip", family, "route", "show", "table", "200")
			if err != nil {
				return err
			}
			found += out
		}
		for _, prefix := range []string{both, third, six} {
			if !strings.Contains(found, prefix) {
				return errors.New(found)
			}
		}
		return nil
	}
	step(t, "the table is filled, and the kernel looks at it", func(t *testing.T) {
		until(t, patience, "the routes", there)
		for _, family := range []string{"-4", "-6"} {
			require.Regexp(t, `^1000:\s+from all lookup 200 `, rules(family), family)
		}
		way := output(t, r.n, "ip", "route", "get", "10.20.2.1")
		require.Contains(t, way, "via 192.168.60.254")
		require.Contains(t, way, "src 192.168.60.77")
		require.Contains(t, output(t, r.n, "ip", "route", "show", "table", "200", third), "mtu 1400")
		require.Contains(t, output(t, r.n, "ip", "-6", "route", "show", "table", "200"), "mtu 1400")
		has(t, r.n, nil)
		r.carries(t, "10.20.1.1", "10.20.2.1", "fd00:20:0:1::1")
		is(t, r.n, "without a complaint about rules", func(s state) error {
			for _, p := range s.Problems {
				if strings.Contains(p.Message, "rule") {
					return errors.New(p.Message)
				}
			}
			return nil
		})
	})
	step(t, "a rule that somebody removes is back", func(t *testing.T) {
		for _, family := range []string{"-4", "-6"} {
			r.ip(t, family+" rule del pref 1000")
			until(t, patience, "the rule", func(context.Context) error {
				if rules(family) == "" {
					return errors.New("not yet")
				}
				return nil
			})
		}
	})
	step(t, "cleanup leaves nothing", func(t *testing.T) {
		require.NoError(t, r.n.Process("underlayd").Stop(ctx))
		require.NotEmpty(t, rules("-4"), "stopping is how a restart begins")
		output(t, r.n, "underlayd", "cleanup")
		require.Empty(t, rules("-4")+rules("-6"))
		require.Empty(t, strings.TrimSpace(output(t, r.n, "ip", "-4", "route", "show", "proto", "200", "table", "all")))
		require.Empty(t, strings.TrimSpace(output(t, r.n, "ip", "-6", "route", "show", "proto", "200", "table", "all")))
		require.Empty(t, nextHops(t, r.n, true))
	})
}
