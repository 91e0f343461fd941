package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/underlayd/underlayd/containerlab"
)

// announcement is one route as a neighbour got it from the node, by the neighbour's own account.
type announcement struct {
	prefix, nextHop, asPath, communities string
}

func (a announcement) String() string {
	return fmt.Sprintf("%s via %s as [%s] communities [%s]", a.prefix, a.nextHop, a.asPath, a.communities)
}

// hears returns everything that a speaker got from the node, loops and rejects included, sorted.
func (s speaker) hears(ctx context.Context, n *containerlab.Node) ([]string, error) {
	read := map[string]func(context.Context, *containerlab.Node) ([]announcement, error){
		"frr": s.hearsFRR, "bird": s.hearsBIRD, "gobgp": s.hearsGobgp,
	}[s.Daemon]
	got, err := read(ctx, n)
	if err != nil {
		return nil, err
	}
	list := make([]string, 0, len(got))
	for _, a := range got {
		list = append(list, a.String())
	}
	return sorted(list), nil
}

func vtysh(ctx context.Context, n *containerlab.Node, into any, command string) error {
	out, err := n.Output(ctx, "vtysh", "-c", command+" json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

func (s speaker) hearsFRR(ctx context.Context, n *containerlab.Node) ([]announcement, error) {
	var list []announcement
	for _, family := range []string{"ipv4", "ipv6"} {
		var received struct{ ReceivedRoutes map[string]json.RawMessage }
		table := "show bgp " + family + " unicast "
		if err := vtysh(ctx, n, &received, table+"neighbors "+s.Peer+" received-routes"); err != nil {
			return nil, err
		}
		for prefix := range received.ReceivedRoutes {
			var entry struct {
				Paths []struct {
					Aspath         struct{ String string }
					LargeCommunity struct{ String string }
					Nexthops       []struct{ IP, Scope string }
					Peer           struct{ PeerID string }
				}
			}
			if err := vtysh(ctx, n, &entry, table+prefix); err != nil {
				return nil, err
			}
			a := announcement{prefix: prefix}
			for _, p := range entry.Paths {
				if p.Peer.PeerID != s.Peer {
					continue
				}
				a.communities, a.asPath = p.LargeCommunity.String, strings.TrimPrefix(p.Aspath.String, "Local")
				for _, h := range p.Nexthops {
					a.nextHop = strings.TrimSpace(a.nextHop + " " + h.IP)
				}
			}
			list = append(list, a)
		}
	}
	return list, nil
}

func (s speaker) hearsBIRD(ctx context.Context, n *containerlab.Node) ([]announcement, error) {
	out, err := n.Output(ctx, "birdc", "show", "route", "all", "protocol", "node")
	if err != nil {
		return nil, err
	}
	var list []announcement
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "\t") && strings.Contains(line, "[node ") {
			list = append(list, announcement{prefix: strings.Fields(line)[0]})
			continue
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if len(list) == 0 {
			continue
		}
		last := &list[len(list)-1]
		switch key {
		case "BGP.as_path":
			last.asPath = value
		case "BGP.next_hop":
			last.nextHop = value
		case "BGP.large_community":
			last.communities = strings.Trim(strings.ReplaceAll(value, ", ", ":"), "()")
		}
	}
	return list, nil
}

// The types of path attributes (RFC 4271, RFC 4760, RFC 8092).
const (
	attributeASPath           = 2
	attributeNextHop          = 3
	attributeMPReach          = 14
	attributeLargeCommunities = 32
)

func (s speaker) hearsGobgp(ctx context.Context, n *containerlab.Node) ([]announcement, error) {
	var list []announcement
	for _, family := range []string{"ipv4", "ipv6"} {
		out, err := n.Output(ctx, "gobgp", "-j", "neighbor", s.Peer, "adj-in", "-a", family)
		if err != nil {
			return nil, err
		}
		var table map[string][]struct {
			Attrs []struct {
				Type    int
				Nexthop string
				ASPaths []struct{ ASNs []uint32 } `json:"as_paths"`
				Value   json.RawMessage
			}
		}
		if err := json.Unmarshal([]byte(out), &table); err != nil {
			return nil, fmt.Errorf("gobgp: %w: %s", err, out)
		}
		for prefix, paths := range table {
			for _, path := range paths {
				a := announcement{prefix: prefix}
				for _, attribute := range path.Attrs {
					switch attribute.Type {
					case attributeASPath:
						for _, segment := range attribute.ASPaths {
							a.asPath = strings.Trim(fmt.Sprint(segment.ASNs), "[]")
						}
					case attributeNextHop, attributeMPReach:
						a.nextHop = attribute.Nexthop
					case attributeLargeCommunities:
						var values []struct{ ASN, LocalData1, LocalData2 uint32 }
						if err := json.Unmarshal(attribute.Value, &values); err != nil {
							return nil, fmt.Errorf("gobgp: large communities: %w", err)
						}
						for _, v := range values {
							a.communities = strings.TrimSpace(fmt.Sprintf("%s %d:%d:%d", a.communities, v.ASN, v.LocalData1, v.LocalData2))
						}
					}
				}
				list = append(list, a)
			}
		}
	}
	return list, nil
}
