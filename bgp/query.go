package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

func familyOf(prefix netip.Prefix) gobgp.Family {
	if prefix.Addr().Is6() {
		return familyIPv6
	}
	return familyIPv4
}

// Paths returns every imported path of some prefixes, the best first, including those that lost the best-path
// selection. The agent asks for it when the best ones turn out to be unusable.
func (s *Speaker) Paths(ctx context.Context, prefixes []netip.Prefix) (map[netip.Prefix][]Path, error) {
	paths, reader := make(map[netip.Prefix][]Path, len(prefixes)), s.table.newReader()
	for _, family := range splitFamilies(prefixes) {
		for part := range slices.Chunk(family, listBatch) {
			err := s.list(ctx, part, func(prefix netip.Prefix, found []*apiutil.Path) {
				for _, p := range found {
					if p.PeerAddress.IsValid() {
						paths[prefix] = append(paths[prefix], newPath(p, reader))
					}
				}
			})
			if err != nil {
				return nil, fmt.Errorf("paths of %d prefixes: %w", len(prefixes), err)
			}
		}
	}
	return paths, nil
}

// splitFamilies splits prefixes into IPv4 and IPv6 ones.
func splitFamilies(prefixes []netip.Prefix) [2][]netip.Prefix {
	var all [2][]netip.Prefix
	for _, prefix := range prefixes {
		at := 0
		if prefix.Addr().Is6() {
			at = 1
		}
		all[at] = append(all[at], prefix)
	}
	return all
}

// Refused returns up to limit prefixes that peers have sent and that the import policy keeps out of the table, but for what
// our own cluster announced and comes back, and how many there are. What was known before comes first, so that a list that is
// cut stays the same list; each peer and family has its share of it, so that a flood from one hides nothing of another.
// Its cost grows with what the peers sent: for a person's question, not for a loop.
func (s *Speaker) Refused(ctx context.Context, limit int, known func(peer netip.Addr, prefix netip.Prefix) bool) ([]Change, int, error) {
	var lists [][]Change
	total := 0
	for _, session := range s.Sessions() {
		if !session.Established {
			continue
		}
		for _, family := range []gobgp.Family{familyIPv4, familyIPv6} {
			refused, n, err := s.refusedFrom(ctx, refusedQuery{session.Address, family, limit, known})
			if err != nil {
				return nil, 0, fmt.Errorf("refused paths of %s: %w", session.Peer, err)
			}
			lists = append(lists, refused)
			total += n
		}
	}
	return share(lists, limit), total, nil
}

// share takes the same number of each list, but for what the short ones leave to the others: limit at most.
func share(lists [][]Change, limit int) []Change {
	slices.SortStableFunc(lists, func(a, b []Change) int { return len(a) - len(b) })
	var all []Change
	for i, list := range lists {
		n := (limit - len(all)) / (len(lists) - i)
		all = append(all, list[:min(len(list), n)]...)
	}
	return all
}

func (s *Speaker) refusedFrom(ctx context.Context, r refusedQuery) ([]Change, int, error) {
	var old, fresh []Change
	total := 0
	var back []netip.Prefix
	reader := s.table.newReader()
	err := s.look(ctx, "list refused paths", func(context.Context) error {
		return s.server.ListPath(apiutil.ListPathRequest{
			TableType:      api.TableType_TABLE_TYPE_ADJ_IN,
			Name:           r.peer.String(),
			Family:         r.family,
			EnableFiltered: true,
		}, func(_ gobgp.NLRI, found []*apiutil.Path) {
			for _, p := range found {
				prefix, ok := prefixOf(p)
				if ok && s.originated(p) {
					back = append(back, prefix)
				}
				if !ok || !p.Filtered || s.comesBack(reader.read(p)) {
					continue
				}
				total++
				list := &fresh
				if r.known(r.peer, prefix) {
					list = &old
				}
				if len(*list) < r.limit {
					*list = append(*list, Change{Prefix: prefix, Paths: NewPathSet([]Path{newPath(p, reader)})})
				}
			}
		})
	})
	if err != nil {
		return nil, 0, err // the call may still be writing to the lists
	}
	return append(old, fresh[:min(len(fresh), r.limit-len(old))]...), total, s.forget(ctx, r.peer, back)
}

// comesBack says whether a path is what our own nodes announced: it comes back from every fabric whose routers leave it
// to us to see the loop.
func (s *Speaker) comesBack(p Path) bool {
	return p.Looped(s.cfg.ASN) && slices.Contains(p.ClusterIDs, s.cfg.ClusterID)
}

// refusedQuery asks for the refused paths of one peer and family.
type refusedQuery struct {
	peer   netip.Addr
	family gobgp.Family
	limit  int
	known  func(peer netip.Addr, prefix netip.Prefix) bool
}
