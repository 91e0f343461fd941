package nat

import (
	"fmt"

	"github.com/google/nftables"
)

// Drops names the chains that drop forwarded packets which none of their rules accepts, where such chains usually are: those
// of iptables-nft, and those that the table filter of nftables' own examples has. Not all that there may be, for kube-proxy
// may have ten thousands of chains, and not those of iptables-legacy, which no netlink tells of. Whether a rule accepts what
// passes through this node is not looked at.
func (x *Exemption) Drops() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var chains []string
	for _, family := range []struct {
		number nftables.TableFamily
		name   string
	}{{nftables.TableFamilyIPv4, "ip"}, {nftables.TableFamilyIPv6, "ip6"}, {nftables.TableFamilyINet, "inet"}} {
		for _, name := range []string{"FORWARD", "forward"} {
			if x.isDropping(&nftables.Table{Name: "filter", Family: family.number}, name) {
				chains = append(chains, fmt.Sprintf("%s filter %s", family.name, name))
			}
		}
	}
	return chains
}

// isDropping says of a chain, which need not exist, whether it is one for forwarded packets and drops by default.
func (k *kernel) isDropping(table *nftables.Table, name string) bool {
	var c *nftables.Chain
	err := k.talk(func() (err error) {
		c, err = k.conn.ListChain(table, name)
		return err
	})
	return err == nil && c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
}
