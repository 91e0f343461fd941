package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// explanation is what `underlayd explain -o json` says, as far as the scenarios look at it.
type explanation struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Answer     string `json:"answer"`
	Reachable  bool   `json:"reachable"`
	Cluster    string `json:"cluster"`
	Fault      string `json:"fault"`
	Steps      []struct {
		Name     string  `json:"name"`
		Result   string  `json:"result"`
		Reason   string  `json:"reason"`
		Sentence string  `json:"sentence"`
		Remedy   *remedy `json:"remedy"`
		Paths    []struct {
			Prefix  netip.Prefix `json:"prefix"`
			Peer    string       `json:"peer"`
			NextHop netip.Addr   `json:"nextHop"`
			Used    bool         `json:"used"`
			Decided string       `json:"decided"`
		} `json:"paths"`
		Packets []struct {
			Source  string `json:"source"`
			In      string `json:"in"`
			Fate    string `json:"fate"`
			Link    string `json:"link"`
			Gateway string `json:"gateway"`
			Ours    bool   `json:"ours"`
		} `json:"packets"`
	} `json:"steps"`
	Parts []struct {
		Prefix netip.Prefix `json:"prefix"`
		Hole   bool         `json:"hole"`
	} `json:"parts"`
}

type remedy struct {
	Action  string `json:"action"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Command string `json:"command"`
}

// remedy returns the one remedy there is; an empty one for none.
func (e explanation) remedy() remedy {
	for _, s := range e.Steps {
		if s.Remedy != nil {
			return *s.Remedy
		}
	}
	return remedy{}
}

func explain(ctx context.Context, n *containerlab.Node, target string) (e explanation, err error) {
	text, err := n.Ask(ctx, "/run/underlayd/underlayd.sock", "/v1/explain?target="+target)
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal([]byte(text), &e)
}

// explained asks about a target; it is an error unless the answer names the fault, and its sentence and remedy have these words.
func explained(ctx context.Context, n *containerlab.Node, target, fault string, words ...string) (explanation, error) {
	e, err := explain(ctx, n, target)
	if err != nil {
		return e, err
	}
	r := e.remedy()
	said := strings.Join([]string{e.Answer, r.Action, r.Key, r.Value, r.Command}, "\n")
	if e.Fault != fault || e.Reachable != (fault == "") {
		return e, fmt.Errorf("the fault is %q: %s", e.Fault, said)
	}
	for _, w := range words {
		if !strings.Contains(said, w) {
			return e, fmt.Errorf("%q does not say %q", said, w)
		}
	}
	return e, nil
}

// explains waits until the answer about a target names the fault, and its sentence and remedy have these words.
func explains(t *testing.T, n *containerlab.Node, target, fault string, words ...string) {
	t.Helper()
	until(t, patience, "explaining "+target, func(ctx context.Context) error {
		_, err := explained(ctx, n, target, fault, words...)
		return err
	})
}

// randomAddresses are of the ranges that the two-clusters lab speaks of, and beside them.
func randomAddresses(n int) (all []netip.Addr) {
	ranges := []string{
		"10.20.0.0/16", "10.20.1.0/24", "10.20.2.0/24", "fd00:20::/48", "fd00:20:0:1::/64", "fd00:20:0:2::/64", // west's
		"10.10.0.0/16", "10.10.1.0/24", "fd00:10::/48", "fd00:10:0:1::/64", // our own
		"10.96.0.0/16", "192.168.11.0/24", "fd00:fab::/32", // reserved
		"10.21.0.0/16", "fd00:21::/48", "172.16.0.0/12", "203.0.113.0/24", // nobody's
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		p := netip.MustParsePrefix(ranges[i%len(ranges)])
		b := p.Addr().AsSlice()
		for bit := p.Bits(); bit < len(b)*8; bit++ {
			b[bit/8] |= byte(random.IntN(2)) << (7 - bit%8)
		}
		a, _ := netip.AddrFromSlice(b)
		all = append(all, a)
	}
	return all
}

// kernelSays is what ip route get says of many addresses at once: "via GATEWAY dev LINK src SOURCE", or nothing.
func kernelSays(t *testing.T, n *containerlab.Node, all []netip.Addr) map[netip.Addr]string {
	t.Helper()
	var script strings.Builder
	for _, a := range all {
		fmt.Fprintf(&script, "route get %s\n", a)
	}
	c := n.Command(t.Context(), "ip", "-force", "-batch", "-")
	c.Stdin = strings.NewReader(script.String())
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	_ = c.Run() // it fails if one of them does
	said, answers := map[netip.Addr]string{}, 0
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		if len(f) > 1 && (f[0] == "local" || f[0] == "broadcast" || f[0] == "multicast" || f[0] == "anycast") {
			f = f[1:]
		}
		if a, err := netip.ParseAddr(f[0]); err == nil {
			answers++
			words := map[string]string{}
			for i := 1; i+1 < len(f); i++ {
				words[f[i]] = f[i+1]
			}
			said[a] = fmt.Sprintf("via %s dev %s src %s", words["via"], words["dev"], words["src"])
		}
	}
	require.Equal(t, len(all), answers+strings.Count(problems.String(), "Command failed"), problems.String())
	return said
}

// speakerSays are the learned paths in GoBGP's table, as "prefix via next hop".
func speakerSays(t *testing.T, n *containerlab.Node) map[netip.Prefix][]string {
	t.Helper()
	said := map[netip.Prefix][]string{}
	for _, family := range []string{"ipv4", "ipv6"} {
		out := output(t, n, built(t).gobgp, "--target", "unix:///run/underlayd/gobgp.sock", "-j", "global", "rib", "-a", family)
		var table map[string][]struct {
			Neighbor string `json:"neighbor-ip"`
			Attrs    []struct {
				NextHop netip.Addr `json:"nexthop"`
			} `json:"attrs"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &table), out)
		for text, paths := range table {
			prefix := netip.MustParsePrefix(text)
			for _, p := range paths {
				for _, a := range p.Attrs {
					if a.NextHop.IsValid() && !a.NextHop.IsUnspecified() {
						said[prefix] = append(said[prefix], fmt.Sprintf("%s via %s", prefix, a.NextHop))
					}
				}
			}
		}
	}
	return said
}

// agreement compares an explanation with what the kernel and the speaker say.
func agreement(a netip.Addr, e explanation, kernel string, speaker map[netip.Prefix][]string) error {
	var errs []error
	var known, told []string
	covered := false
	for prefix, paths := range speaker {
		if prefix.Contains(a) {
			known, covered = append(known, paths...), true
		}
	}
	said := ""
	for _, s := range e.Steps {
		for _, p := range s.Paths {
			told = append(told, fmt.Sprintf("%s via %s", p.Prefix, p.NextHop))
		}
		if s.Name != "lookup" {
			continue
		}
		if p := s.Packets[0]; p.Fate == "unicast" || p.Fate == "local" || p.Fate == "broadcast" {
			said = fmt.Sprintf("via %s dev %s src %s", p.Gateway, p.Link, p.Source)
		}
	}
	if said != kernel {
		errs = append(errs, fmt.Errorf("%s: explain has the kernel say %q, ip route get %q", a, said, kernel))
	}
	if e.Cluster != "west" {
		return errors.Join(errs...)
	}
	slices.Sort(known)
	slices.Sort(told)
	if !slices.Equal(known, told) {
		errs = append(errs, fmt.Errorf("%s: explain knows %q, gobgp %q", a, told, known))
	}
	if e.Reachable != (covered && kernel != "") {
		errs = append(errs, fmt.Errorf("%s: %s", a, e.Answer))
	}
	return errors.Join(errs...)
}

// agree asks about many addresses, UNDERLAYD_AGREEMENT of them if that is set.
func agree(t *testing.T, n *containerlab.Node) {
	number := 400
	if text := os.Getenv("UNDERLAYD_AGREEMENT"); text != "" {
		var err error
		number, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	all := randomAddresses(number)
	kernel, speaker := kernelSays(t, n, all), speakerSays(t, n)
	require.Len(t, speaker, 4+2, "four learned and two of its own")
	started := time.Now()
	wrong, reachable := 0, 0
	for _, a := range all {
		e, err := explain(t.Context(), n, a.String())
		require.NoError(t, err)
		if err := agreement(a, e, kernel[a], speaker); err != nil {
			if wrong++; wrong < 10 {
				t.Error(err)
			}
		}
		if e.Reachable && e.Cluster == "west" {
			reachable++
		}
	}
	require.Zero(t, wrong, "of %d", number)
	require.NotZero(t, reachable)
	took := time.Since(started)
	t.Logf("%d addresses, %d of west reachable, no disagreement, %s, %s each", number, reachable, took.Round(time.Millisecond), (took / time.Duration(number)).Round(time.Microsecond))
}

func TestExplainAgreesWithTheKernelAndTheSpeaker(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	n := c.Node("east-1")
	step(t, "the answer in words", func(t *testing.T) {
		out := output(t, n, "underlayd", "explain", "10.20.1.7")
		require.Contains(t, out, "10.20.1.7 is reachable: cluster west, through 192.168.11.254 on eth1, announced by fabric.")
		require.Contains(t, output(t, n, "underlayd", "explain", "10.10.1.77"), "is reachable: it is of this node's own pods (10.10.1.0/24)")
		require.Contains(t, output(t, n, "underlayd", "explain", "10.20.0.0/16"), "10.20.0.0/16 is")
		refused(t, n, 2, "underlayd", "explain", "10.20.1.0/99")
		refused(t, n, 2, "underlayd", "explain", "10.20.1.1", "--from", "fd00::1")
		t.Log(out)
	})
	step(t, "the parts of a prefix, with its holes", func(t *testing.T) {
		e, err := explain(t.Context(), n, "10.20.0.0/22")
		require.NoError(t, err)
		var parts []string
		for _, p := range e.Parts {
			parts = append(parts, fmt.Sprint(p.Prefix, " ", p.Hole))
		}
		require.Equal(t, []string{"10.20.1.0/24 false", "10.20.2.0/24 false", "10.20.0.0/24 true", "10.20.3.0/24 true"}, parts)
		require.False(t, e.Reachable)
	})
	step(t, "number for number", func(t *testing.T) { agree(t, n) })
}
