package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// unnumberedPrefixes are what the neighbours announce, by link of the node.
func unnumberedPrefixes() map[string][]string {
	return map[string][]string{
		"eth1": {"10.20.1.0/24", "fd00:20:0:1::/64"}, "eth2": {"10.20.2.0/24", "fd00:20:0:2::/64"},
		"eth3": {"10.20.3.0/24", "fd00:20:0:3::/64"}, "eth4": {"10.20.4.0/24", "fd00:20:0:4::/64"},
	}
}

// neighborsOf are the links of the node with the kind of daemon behind them.
func neighborsOf() map[string]string {
	return map[string]string{"eth1": "frr", "eth2": "bird", "eth3": "gobgp", "eth4": "other"}
}

// linkLocal is the link-local address of an interface.
func linkLocal(ctx context.Context, n *containerlab.Node, iface string) (string, error) {
	out, err := n.Output(ctx, "ip", "-6", "-o", "addr", "show", "dev", iface, "scope", "link")
	if err != nil {
		return "", err
	}
	fields := strings.Fields(out)
	if len(fields) < 4 {
		return "", errors.New(iface + " has no link-local address")
	}
	address, _, _ := strings.Cut(fields[3], "/")
	return address, nil
}

// unnumberedRoutes waits until the node has the routes of all neighbours but some, through their link-local addresses.
func unnumberedRoutes(t *testing.T, lab *containerlab.Lab, but ...string) {
	t.Helper()
	until(t, patience, "routes through the neighbours", func(ctx context.Context) error {
		var want []string
		for link, name := range neighborsOf() {
			if slices.Contains(but, name) {
				continue
			}
			via, err := linkLocal(ctx, lab.Node(name), "eth1")
			if err != nil {
				return err
			}
			for _, prefix := range unnumberedPrefixes()[link] {
				want = append(want, prefix+" via "+via+" dev "+link)
			}
		}
		got, err := routesByLink(ctx, lab.Node("node"))
		if slices.Sort(want); err == nil && !slices.Equal(want, got) {
			err = fmt.Errorf("want %q, got %q", want, got)
		}
		return err
	})
}

// routesByLink returns the daemon's routes as "prefix via gateway dev link", sorted.
func routesByLink(ctx context.Context, n *containerlab.Node) ([]string, error) {
	var routes []string
	for _, family := range []string{"-4", "-6"} {
		out, err := n.Output(ctx, "ip", "-o", family, "route", "show", "proto", "200")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			fields := strings.Fields(line)
			after := func(word string) string {
				if i := slices.Index(fields, word); i >= 0 && i+1 < len(fields) {
					return fields[i+1]
				}
				return ""
			}
			via := after("via")
			if via == "inet6" {
				via = after("inet6")
			}
			routes = append(routes, fields[0]+" via "+via+" dev "+after("dev"))
		}
	}
	slices.Sort(routes)
	return routes, nil
}

// neighborhood is the running lab of a node with unnumbered peers.
func neighborhood(t *testing.T) *containerlab.Lab {
	t.Helper()
	containerlab.Require(t, "zebra", "bgpd", "bfdd", "vtysh", "bird", "birdc", "gobgpd", "gobgp", "ip", "ping", "go")
	folder := emptyFolder(t)
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "unnumbered"))))
	for _, name := range []string{"node", "other"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name, "fabric.key"), []byte("Fabr1c-eth3\n"), 0o600))
	}
	lab := containerlab.UpForTest(t, filepath.Join(folder, "lab.clab.yml"), containerlab.Options{
		Sources: map[string]string{"underlayd": built(t).underlayd},
	})
	for _, name := range []string{"frr", "bird", "other"} {
		listen(t, lab.Node(name))
	}
	until(t, patience, "gobgpd to take prefixes", func(ctx context.Context) error {
		_, err := lab.Node("gobgp").Output(ctx, "gobgp", "global", "rib", "add", "10.20.3.0/24", "-a", "ipv4")
		if err == nil {
			_, err = lab.Node("gobgp").Output(ctx, "gobgp", "global", "rib", "add", "fd00:20:0:3::/64", "-a", "ipv6")
		}
		return err
	})
	return lab
}

func everySession(s state) error {
	errs := []error{connectedTo(s, "frr", "bird", "gobgp", "other")}
	for _, p := range s.Sessions {
		if p.Peer != "gobgp" && p.BFD.State != "Up" {
			errs = append(errs, fmt.Errorf("BFD with %s is %s", p.Peer, p.BFD.State))
		}
		if !p.ExtendedNextHop || p.Interface == "" || !strings.HasSuffix(p.Address, "%"+p.Interface) {
			errs = append(errs, fmt.Errorf("%+v", p))
		}
	}
	return errors.Join(errs...)
}

// TestUnnumbered: a node without any IPv4 address finds its neighbours by their links, and carries the IPv4 and IPv6 of its
// pods to them. There is GTSM on all sessions, MD5 and BFD on all but GoBGP's, which has neither for such addresses.
func TestUnnumbered(t *testing.T) {
	t.Parallel()
	lab := neighborhood(t)
	n, pod := lab.Node("node"), lab.Node("pod")
	targets := []string{"10.20.1.10", "fd00:20:0:1::10", "10.20.2.10", "fd00:20:0:2::10", "10.20.4.10", "fd00:20:0:4::10"}
	step(t, "all sessions come up", func(t *testing.T) { is(t, n, "connected", everySession) })
	step(t, "their routes lead over the links", func(t *testing.T) { unnumberedRoutes(t, lab) })
	step(t, "there is no IPv4 address on the node", func(t *testing.T) {
		require.NotContains(t, output(t, n, "ip", "-4", "-o", "addr", "show", "scope", "global"), "inet")
	})
	step(t, "pods reach each other", func(t *testing.T) {
		for _, target := range targets {
			want := "10.10.1.10"
			if strings.Contains(target, ":") {
				want = "fd00:10:0:1::10"
			}
			require.Equal(t, want, seenAs(t, pod, "tcp", target))
		}
	})
	step(t, "a restart of the daemon loses no packet", func(t *testing.T) {
		var streams []*stream
		for _, target := range targets {
			streams = append(streams, startStream(t, pod, target))
		}
		require.NoError(t, n.Process("underlayd").Kill())
		<-n.Process("underlayd").Done()
		require.NoError(t, n.Launch(t.Context()))
		is(t, n, "connected again", everySession)
		for i, s := range streams {
			sent, lost := s.lost(t)
			t.Logf("%s: %d of %d packets lost", targets[i], lost, sent)
			require.LessOrEqual(t, lost, uint64(2))
		}
	})
	step(t, "another neighbour on a link is found", func(t *testing.T) { neighborReplaced(t, lab) })
	step(t, "a link that goes and comes back is another link with the same neighbour", func(t *testing.T) { linkMadeAnew(t, lab) })
	step(t, "a peer that does not take IPv6 next hops for IPv4 gets none", func(t *testing.T) { plainPeer(t, lab) })
	step(t, "a link that is not there yet is said to be missing, and found when it comes", func(t *testing.T) { lateLink(t, lab) })
}

// neighborReplaced gives the router behind a link another address, as another router has.
func neighborReplaced(t *testing.T, lab *containerlab.Lab) {
	frr := lab.Node("frr")
	output(t, frr, "sh", "-c", "ip link set eth1 down; ip link set eth1 address 02:00:00:00:00:99; ip link set eth1 up")
	started := time.Now()
	is(t, lab.Node("node"), "connected with the new one", func(s state) error {
		for _, p := range s.Sessions {
			if p.Peer == "frr" && p.Address != "fe80::ff:fe00:99%eth1" {
				return errors.New(p.Address)
			}
		}
		return everySession(s)
	})
	unnumberedRoutes(t, lab)
	t.Logf("routes again %s after the link came up", time.Since(started).Round(time.Millisecond))
}

// veth makes a link between two nodes anew, from outside.
func veth(t *testing.T, a *containerlab.Node, ifaceA string, b *containerlab.Node, ifaceB string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "link", "add", ifaceA, "netns", strconv.Itoa(a.PID()), "type", "veth",
		"peer", "name", ifaceB, "netns", strconv.Itoa(b.PID())).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, a.LinkUp(ifaceA))
	require.NoError(t, b.LinkUp(ifaceB))
}

func linkMadeAnew(t *testing.T, lab *containerlab.Lab) {
	n, other := lab.Node("node"), lab.Node("other")
	output(t, n, "ip", "link", "del", "eth4")
	is(t, n, "without it", func(s state) error {
		if connectedTo(s, "other") == nil {
			return errors.New("the session is still there")
		}
		return connectedTo(s, "frr", "bird", "gobgp")
	})
	unnumberedRoutes(t, lab, "other")
	veth(t, n, "eth4", other, "eth1")
	started := time.Now()
	unnumberedRoutes(t, lab)
	is(t, n, "connected again", everySession)
	t.Logf("routes again %s after the link was there", time.Since(started).Round(time.Millisecond))
}

// plainPeer has BIRD not take them, and then take them again.
func plainPeer(t *testing.T, lab *containerlab.Lab) {
	bird := lab.Node("bird")
	hears := func(table string, want bool) {
		t.Helper()
		until(t, patience, "BIRD to hear what it is to hear", func(ctx context.Context) error {
			out, err := bird.Output(ctx, "birdc", "-s", "/run/bird/bird.ctl", "show", "route", "table", table)
			if heard := strings.Contains(out, "AS4200000001"); err == nil && heard != want {
				err = errors.New(out)
			}
			return err
		})
	}
	configure := func(before, after string) {
		output(t, bird, "sed", "-i", "s/"+before+"/"+after+"/", "/run/bird.conf")
		output(t, bird, "birdc", "-s", "/run/bird/bird.ctl", "configure", `"/run/bird.conf"`)
	}
	output(t, bird, "cp", "/etc/bird/bird.conf", "/run/bird.conf")
	hears("master4", true)
	configure("next hop on", "next hop off")
	is(t, lab.Node("node"), "connected without them", func(s state) error {
		for _, p := range s.Sessions {
			if p.Peer == "bird" && p.ExtendedNextHop {
				return errors.New("it takes them")
			}
		}
		return connectedTo(s, "bird")
	})
	hears("master6", true)
	hears("master4", false)
	configure("next hop off", "next hop on")
	is(t, lab.Node("node"), "connected with them", everySession)
	hears("master4", true)
}

func lateLink(t *testing.T, lab *containerlab.Lab) {
	n, other := lab.Node("node"), lab.Node("other")
	output(t, n, "ip", "link", "del", "eth4")
	require.NoError(t, n.Process("underlayd").Kill())
	<-n.Process("underlayd").Done()
	require.NoError(t, n.Launch(t.Context()))
	is(t, n, "missing the link", says("peer other", "the neighbour on eth4", "there is no link eth4"))
	veth(t, n, "eth4", other, "eth1")
	is(t, n, "connected", everySession)
	unnumberedRoutes(t, lab)
}
