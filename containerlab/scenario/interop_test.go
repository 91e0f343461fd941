package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// expects is what a speaker is to hear from the node: the node's own prefixes and nothing else.
func (s speaker) expects() []string {
	path := strconv.Itoa(nodeASN)
	if s.Internal {
		path = ""
	}
	var list []string
	for prefix, nextHop := range map[string]string{"10.10.1.0/24": node4, "10.10.64.0/20": node4, "fd00:10:0:1::/64": node6} {
		list = append(list, announcement{prefix, nextHop, path, "64512:1:1"}.String())
	}
	return sorted(list)
}

// accepted is what the node's kernel is to have: each speaker's own prefixes through it, the shared ones through
// all the internal speakers, whose paths are shorter, and the wide ones through all the external ones.
func accepted(all []speaker) []string {
	var routes, internal4, internal6, external4, external6 []string
	for _, s := range all {
		if s.Internal {
			internal4, internal6 = append(internal4, s.IPv4), append(internal6, s.IPv6)
		} else {
			external4, external6 = append(external4, s.IPv4), append(external6, s.IPv6)
		}
		routes = append(routes, s.own4()+" via "+s.IPv4, s.own6()+" via "+s.IPv6)
	}
	for prefix, via := range map[string][]string{shared4: internal4, shared6: internal6, wide4: external4, wide6: external6} {
		routes = append(routes, prefix+" via "+strings.Join(sorted(via), " "))
	}
	return sorted(routes)
}

func TestForeignSpeakers(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "bird", "birdc", "gobgpd", "gobgp", "ip", "go")
	all := speakers()
	lab, config := lan(t, all)
	n := lab.Node("node")
	near := slices.DeleteFunc(slices.Clone(all), func(s speaker) bool { return s.Far })
	step(t, "sessions with all near speakers carry both families", func(t *testing.T) {
		is(t, n, "connected", func(s state) error { return errors.Join(connected(s, near)...) })
	})
	step(t, "what they may announce is in the kernel, through them", func(t *testing.T) {
		becomes(t, n, patience, accepted(near))
	})
	for _, s := range near {
		step(t, s.Name+" gets the node's prefixes and nothing else", func(t *testing.T) { s.gets(t, lab.Node(s.Name)) })
	}
	step(t, "what they may not announce is refused, with the reason", func(t *testing.T) { refusals(t, n, near) })
	step(t, "speakers without a TTL of 255 do not come up", func(t *testing.T) { farSpeakers(t, lab, all) })
	step(t, "and come up once hops is 0, with no other session touched", func(t *testing.T) { nearer(t, lab, all, config) })
	step(t, "one of several equal paths goes and comes back", func(t *testing.T) { pathLost(t, lab, all) })
	step(t, "after all that nobody got more than at first", func(t *testing.T) {
		for _, s := range all {
			s.gets(t, lab.Node(s.Name))
		}
	})
	step(t, "the daemon is killed and started again", func(t *testing.T) { killedAmong(t, lab, all) })
}

// nearer turns GTSM off for the far speakers. They are started again for it: until their kernel gives up, which takes
// minutes, they wait for an answer on connections that were never heard on this side.
func nearer(t *testing.T, lab *containerlab.Lab, all []speaker, config string) {
	n := lab.Node("node")
	before := map[string]string{}
	for _, p := range stateOf(t, n).Sessions {
		before[p.Peer] = p.Since
	}
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	far := slices.DeleteFunc(slices.Clone(all), func(s speaker) bool { return !s.Far })
	for _, s := range far {
		require.NoError(t, lab.Node(s.Name).Process("bird").Kill())
		asn := fmt.Sprintf("asn: %d\n", s.ASN)
		text = bytes.Replace(text, []byte(asn), []byte(asn+"    hops: 0\n"), 1)
	}
	require.NoError(t, os.WriteFile(config, text, 0o644))
	is(t, n, "through with the change", func(s state) error {
		for _, p := range s.Sessions {
			isFar := slices.ContainsFunc(far, func(f speaker) bool { return f.Name == p.Peer })
			if (p.Since != before[p.Peer]) != isFar {
				return fmt.Errorf("%s: is of %s, was of %s", p.Peer, p.Since, before[p.Peer])
			}
		}
		return nil
	})
	for _, s := range far {
		require.NoError(t, lab.Node(s.Name).Launch(t.Context()))
	}
	is(t, n, "connected with all", func(s state) error { return errors.Join(connected(s, all)...) })
	becomes(t, n, patience, accepted(all))
}

// pathLost kills a speaker: its own prefixes go, the shared ones lose a next hop and no packet.
func pathLost(t *testing.T, lab *containerlab.Lab, all []speaker) {
	n, lost := lab.Node("node"), all[slices.IndexFunc(all, func(s speaker) bool { return s.Name == "bird-ibgp-ipv4" })]
	m := watchRoutes(t, n)
	require.NoError(t, lab.Node(lost.Name).Process("bird").Kill())
	becomes(t, n, patience, accepted(slices.DeleteFunc(slices.Clone(all), func(s speaker) bool { return s == lost })))
	for _, line := range m.about(t, "Deleted 10.20.", "Deleted fd00:20:") {
		require.Regexp(t, lost.own4()+"|"+lost.own6(), line)
	}
	require.NoError(t, lab.Node(lost.Name).Launch(t.Context()))
	becomes(t, n, patience, accepted(all))
}

// killedAmong kills the daemon: its routes stay untouched until it is back and after, and speakers that know graceful
// restart, as BIRD does unasked, keep its prefixes.
func killedAmong(t *testing.T, lab *containerlab.Lab, all []speaker) {
	n := lab.Node("node")
	m := watchRoutes(t, n)
	require.NoError(t, n.Process("underlayd").Kill())
	for _, s := range all {
		if s.Daemon != "bird" {
			continue
		}
		until(t, patience, s.Name+" to notice", func(ctx context.Context) error {
			out, err := lab.Node(s.Name).Output(ctx, "birdc", "show", "protocols", "node")
			if err == nil && strings.Contains(out, "Established") {
				err = errors.New(out)
			}
			return err
		})
		s.gets(t, lab.Node(s.Name))
	}
	require.NoError(t, n.Launch(t.Context()))
	is(t, n, "connected with all and ready", func(s state) error {
		if s.condition().Reason != "RoutesInstalled" {
			return errors.New("the condition is " + s.condition().Reason)
		}
		return errors.Join(connected(s, all)...)
	})
	has(t, n, accepted(all))
	m.quiet(t, "10.20.", "fd00:20:")
}

// gets waits until a speaker has what it expects.
func (s speaker) gets(t *testing.T, n *containerlab.Node) {
	t.Helper()
	until(t, patience, "announcements to "+s.Name, func(ctx context.Context) error {
		got, err := s.hears(ctx, n)
		if err == nil && !slices.Equal(got, s.expects()) {
			err = fmt.Errorf("want\n%s\ngot\n%s", strings.Join(s.expects(), "\n"), strings.Join(got, "\n"))
		}
		return err
	})
}

// connected tells which sessions are not up as they are to be, for the first time. FRR 8.4 may have ended one as it came up, on a
// machine that is busy: "No AFI/SAFI activated for peer", says its log.
func connected(s state, speakers []speaker) []error {
	var errs []error
	for _, want := range speakers {
		at := slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == want.Name })
		if at < 0 {
			errs = append(errs, errors.New(want.Name+" is missing"))
			continue
		}
		flaps := 0
		if want.Daemon == "frr" {
			flaps = 1
		}
		if p := s.Sessions[at]; p.State != "established" || p.Flaps > flaps || !slices.Equal(p.Families, []string{"ipv4", "ipv6"}) {
			errs = append(errs, fmt.Errorf("%s is %s with %v after %d losses", p.Peer, p.State, p.Families, p.Flaps))
		}
	}
	return errs
}

// refusals waits until the node lists exactly the refused prefixes, each with its reason.
func refusals(t *testing.T, n *containerlab.Node, speakers []speaker) {
	wanted := map[string]string{}
	for _, s := range speakers {
		for _, c := range append(s.refusals4(), s.refusals6()...) {
			wanted[c.prefix] = c.verdict
		}
	}
	until(t, patience, "refusals", func(ctx context.Context) error {
		var list routeList
		if err := ask(ctx, n, &list, "routes", "--state", "refused"); err != nil {
			return err
		}
		var errs []error
		got := map[string]bool{}
		for _, r := range list.Items {
			got[r.Prefix] = true
			if r.Accepted || r.Verdict != wanted[r.Prefix] || r.Detail == "" || r.Kernel.Status != "" && r.Kernel.Status != "Absent" {
				errs = append(errs, fmt.Errorf("%s: want %s, got %+v", r.Prefix, wanted[r.Prefix], r))
			}
		}
		for prefix := range wanted {
			if !got[prefix] {
				errs = append(errs, errors.New(prefix+" is not listed"))
			}
		}
		return errors.Join(errs...)
	})
}

// dropped counts the packets that a node's sockets refused for their TTL.
func dropped(ctx context.Context, n *containerlab.Node) (int, error) {
	out, err := n.Output(ctx, "cat", "/proc/net/netstat")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if at := slices.Index(names, "TCPMinTTLDrop"); at > 0 {
			return strconv.Atoi(fields[at])
		}
		names = fields
	}
	return 0, errors.New("no such counter")
}

// farSpeakers lets them try for a while: the kernel's count of refused packets tells that they did. It counts from the
// start of the lab: the longer that was ago, the longer TCP waits before it tries again.
func farSpeakers(t *testing.T, lab *containerlab.Lab, all []speaker) {
	n := lab.Node("node")
	until(t, patience, "packets to be refused for their TTL", func(ctx context.Context) error {
		packets, err := dropped(ctx, n)
		if err == nil && packets < 4 {
			err = fmt.Errorf("%d", packets)
		}
		return err
	})
	s := stateOf(t, n)
	for _, far := range all {
		if !far.Far {
			continue
		}
		at := slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == far.Name })
		require.NotEqual(t, "established", s.Sessions[at].State)
		require.Zero(t, s.Sessions[at].Flaps, "it was never up")
		require.NotContains(t, output(t, lab.Node(far.Name), "birdc", "show", "protocols", "node"), "Established")
	}
}
