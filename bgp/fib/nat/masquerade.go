package nat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// manyChains bounds what is looked at: kube-proxy may have ten thousands of chains, though few after routing.
const manyChains = 256

// Masquerades names the chains of others, of nftables and iptables-nft, that give packets another source address after
// routing. Which packets is not looked at, but kube-proxy's chains are left out: they masquerade what is marked, which is for
// services. It has no part in the exemption: a conversation of its own in the calling thread's network namespace, which
// reads and nothing more. No netlink tells of iptables-legacy.
func Masquerades() ([]string, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, explain(fmt.Errorf("open netlink socket: %w", plain(err)))
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", plain(err))
	}
	var next []*nftables.Chain
	for _, c := range chains {
		after := c.Type == nftables.ChainTypeNAT && c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookPostrouting
		if after && !strings.HasPrefix(c.Table.Name, "underlayd-") {
			next = append(next, c)
		}
	}
	var found []string
	seen := map[string]bool{}
	for len(next) > 0 && len(seen) < manyChains {
		c := next[0]
		next = next[1:]
		name := chainName(c)
		if seen[name] || c.Name == "KUBE-POSTROUTING" || c.Table.Name == "kube-proxy" {
			continue
		}
		seen[name] = true
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			continue // it has gone meanwhile
		}
		gives, leads := looksAfter(rules)
		if gives {
			found = append(found, name)
		}
		for _, other := range chains {
			if other.Table.Name == c.Table.Name && other.Table.Family == c.Table.Family && slices.Contains(leads, other.Name) {
				next = append(next, other)
			}
		}
	}
	return found, nil
}

// looksAfter says whether one of the rules gives another source, and which chains they lead to.
func looksAfter(rules []*nftables.Rule) (gives bool, leads []string) {
	for _, r := range rules {
		for _, e := range r.Exprs {
			switch e := e.(type) {
			case *expr.Masq:
				gives = true
			case *expr.NAT:
				gives = gives || e.Type == expr.NATTypeSourceNAT
			case *expr.Target:
				gives = gives || e.Name == "MASQUERADE" || e.Name == "SNAT"
			case *expr.Verdict:
				if e.Kind == expr.VerdictJump || e.Kind == expr.VerdictGoto {
					leads = append(leads, e.Chain)
				}
			}
		}
	}
	return gives, leads
}

func chainName(c *nftables.Chain) string {
	family := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet"}[c.Table.Family]
	return fmt.Sprintf("%s %s %s", family, c.Table.Name, c.Name)
}
