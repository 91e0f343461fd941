package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// change rewrites the configurations of all nodes.
func (c *clusters) change(t *testing.T, f func(node, text string) string) {
	t.Helper()
	for _, p := range places() {
		text, err := os.ReadFile(c.config(p.name))
		require.NoError(t, err)
		c.write(t, p.name, f(p.name, string(text)))
	}
}

func (c *clusters) launch(t *testing.T) {
	t.Helper()
	for _, p := range places() {
		require.NoError(t, c.Node(p.name).Launch(t.Context()))
	}
}

func everyNode() []string { return []string{"east-1", "east-2", "west-1", "west-2"} }

// TestOneASNumber: clusters that share an AS number do not hear each other, for BGP takes what comes from the other for a
// loop; unless the nodes allow it, or the fabric puts its own number in the place of theirs.
func TestOneASNumber(t *testing.T) {
	t.Parallel()
	c := clustersWithout(t, everyNode()...)
	groups := []string{"west-ipv4", "west-ipv6"}
	for _, g := range groups {
		c.configure(t, "neighbor "+g+" remote-as 64512")
	}
	c.change(t, func(_, text string) string {
		text = strings.Replace(text, "asn: 64513", "asn: 64512", 1)
		return regexp.MustCompile(`(?m)^- name: (east|west)$`).ReplaceAllString(text, "$0\n  requireID: true")
	})
	c.launch(t)
	step(t, "they do not hear each other, and say why", func(t *testing.T) {
		until(t, patience, "east-1 to refuse them", func(ctx context.Context) error {
			var list routeList
			if err := ask(ctx, c.Node("east-1"), &list, "routes", "--state", "refused"); err != nil {
				return err
			}
			loops := 0
			for _, r := range list.Items {
				if r.Verdict == "ASLoop" && strings.Contains(r.Detail, "allowOwnAS") {
					loops++
				}
			}
			if loops != 4 {
				return fmt.Errorf("%+v", list.Items)
			}
			return nil
		})
		has(t, c.Node("east-1"), nil)
	})
	allow := func(allowed bool) {
		c.change(t, func(_, text string) string {
			if !allowed {
				return strings.ReplaceAll(text, "    allowOwnAS: 1\n", "")
			}
			return strings.ReplaceAll(text, "asn: 65000\n", "asn: 65000\n    allowOwnAS: 1\n")
		})
	}
	step(t, "they do when the nodes allow it, and no session is reset", func(t *testing.T) {
		ups := c.ups(t)
		allow(true)
		c.settled(t)
		require.Equal(t, ups, c.ups(t))
	})
	step(t, "and don't when it is taken back", func(t *testing.T) {
		allow(false)
		for _, name := range everyNode() {
			becomes(t, c.Node(name), patience, nil)
		}
	})
	step(t, "they do when the fabric overrides the AS, ids included", func(t *testing.T) {
		for _, g := range []string{"east", "west-ipv4", "west-ipv6"} {
			for _, family := range []string{"ipv4", "ipv6"} {
				if g != "east" && !strings.HasSuffix(g, family) {
					continue
				}
				output(t, c.Node("fabric"), "vtysh", "-c", "configure terminal", "-c", "router bgp 65000",
					"-c", "address-family "+family+" unicast", "-c", "neighbor "+g+" as-override")
			}
		}
		c.settled(t)
	})
}

// TestOneFamily: nothing of the other family is needed, neither on the links nor for a BGP identifier.
func TestOneFamily(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		flush, family string
		keeps         func(prefix string) bool
	}{
		"IPv4 alone": {"-6", "ipv4", func(prefix string) bool { return !strings.Contains(prefix, ":") }},
		"IPv6 alone": {"-4", "ipv6", func(prefix string) bool { return strings.Contains(prefix, ":") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clustersWithout(t, everyNode()...)
			for _, p := range places() {
				for _, link := range []string{"eth1", "eth2"} {
					output(t, c.Node(p.name), "ip", row.flush, "addr", "flush", "dev", link)
				}
			}
			for _, node := range []string{"11", "12"} { // a session over IPv6 for east, which has none
				c.configure(t, "neighbor fd00:fab:"+node+"::1 remote-as 64512")
				c.configure(t, "neighbor fd00:fab:"+node+"::1 ttl-security hops 1")
				output(t, c.Node("fabric"), "vtysh", "-c", "configure terminal", "-c", "router bgp 65000",
					"-c", "address-family ipv6 unicast", "-c", "neighbor fd00:fab:"+node+"::1 activate")
			}
			c.change(t, func(node, text string) string { return oneFamily(node, text, row.family, row.keeps) })
			c.launch(t)
			for _, p := range places() {
				var routes []string
				for _, r := range want(p.name) {
					if prefix, _, _ := strings.Cut(r, " "); row.keeps(prefix) {
						routes = append(routes, r)
					}
				}
				becomes(t, c.Node(p.name), patience, routes)
				is(t, c.Node(p.name), "ready with nothing wrong", func(s state) error {
					if s.Phase != "Ready" || len(s.Problems) > 0 || len(s.Sessions) != 1 || !slices.Equal(s.Sessions[0].Families, []string{row.family}) {
						return errors.New("not yet")
					}
					return nil
				})
			}
		})
	}
}

// oneFamily leaves in a node's configuration what is of one family.
func oneFamily(node, text, family string, keeps func(string) bool) string {
	lists := regexp.MustCompile(`(podCIDRs|reserved): \[([^]]*)\]`)
	text = lists.ReplaceAllStringFunc(text, func(list string) string {
		m := lists.FindStringSubmatch(list)
		var kept []string
		for prefix := range strings.SplitSeq(m[2], ", ") {
			if keeps(strings.Trim(prefix, `"`)) {
				kept = append(kept, prefix)
			}
		}
		return m[1] + ": [" + strings.Join(kept, ", ") + "]"
	})
	here := placeOf(node)
	address := here.fabric4
	if family == "ipv6" {
		address = here.fabric6
	}
	peers := regexp.MustCompile(`(?s)  peers:\n.*?\nclusters:`)
	return peers.ReplaceAllString(text, `  peers:
  - {name: fabric, address: "`+address+`", asn: 65000, families: [`+family+`]}
clusters:`)
}
