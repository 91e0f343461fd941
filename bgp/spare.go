package bgp

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// The next best paths are needed when the best ones are lost, all at once and before GoBGP has worked off 100,000
// withdrawals. GoBGP does not announce them; it only lets know, by an event without paths, that something changed
// which is not among the best. So the table is gone through after such changes, in the background.
const (
	spareLook = 500 * time.Millisecond // how often it is looked whether there is something to read; changes that still come wait
	spareDuty = 1                      // the pause after a request, in times of what it took
	spareRest = 50                     // the pause after a reading, likewise: 2 % of a core while things change all the time
)

// followSpares keeps what is known of the next best paths up to date until ctx is cancelled.
func (s *Speaker) followSpares(ctx context.Context) {
	tick := time.NewTicker(spareLook)
	defer tick.Stop()
	var read, last uint64
	var notBefore time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			unseen, established := s.table.unseenChanges()
			switch {
			case unseen == read:
			case unseen != last:
				last = unseen // it has not come to rest yet
			case established < 2:
				read = unseen // whoever has one peer has no choice
			case now.Before(notBefore):
			default:
				took, err := s.readSpares(ctx)
				if err != nil && ctx.Err() == nil {
					s.log.WithError(err).Debug("next best paths are not known")
				}
				read, notBefore = unseen, time.Now().Add(spareRest*took)
			}
		}
	}
}

// readSpares asks for the next best paths of all prefixes and returns how long GoBGP was busy with it.
func (s *Speaker) readSpares(ctx context.Context) (time.Duration, error) {
	busy := time.Duration(0)
	reader := s.table.newReader()
	for _, all := range splitFamilies(s.table.known()) {
		for prefixes := range slices.Chunk(all, listBatch) {
			started := time.Now()
			err := s.list(ctx, prefixes, func(prefix netip.Prefix, found []*apiutil.Path) {
				s.table.setSpare(prefix, found, &reader)
			})
			if err != nil {
				return busy, err
			}
			took := time.Since(started)
			busy += took
			s.table.poke()
			select {
			case <-ctx.Done():
				return busy, ctx.Err()
			case <-time.After(spareDuty * took):
			}
		}
	}
	return busy, nil
}

// listBatch is how many prefixes are asked for in one request, which holds GoBGP up for some milliseconds.
const listBatch = 1000

// list calls f with all imported paths of each of the prefixes, which are of one family; the best come first and are
// marked.
func (s *Speaker) list(ctx context.Context, prefixes []netip.Prefix, f func(netip.Prefix, []*apiutil.Path)) error {
	lookup := make([]*apiutil.LookupPrefix, len(prefixes))
	for i, prefix := range prefixes {
		lookup[i] = &apiutil.LookupPrefix{Prefix: prefix.String(), LookupOption: apiutil.LOOKUP_EXACT}
	}
	type answer struct {
		prefix netip.Prefix
		paths  []*apiutil.Path
	}
	var answers []answer
	err := s.look(ctx, "list paths", func(context.Context) error {
		return s.server.ListPath(apiutil.ListPathRequest{
			TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: familyOf(prefixes[0]), Prefixes: lookup,
		}, func(nlri gobgp.NLRI, found []*apiutil.Path) {
			if p, ok := nlri.(*gobgp.IPAddrPrefix); ok {
				answers = append(answers, answer{p.Prefix, found})
			}
		})
	})
	if err != nil {
		return err // the call may still be writing to answers
	}
	for _, a := range answers {
		f(a.prefix, a.paths)
	}
	return nil
}

// unseenChanges counts the changes that did not show in the best paths, and the sessions that may have caused them.
func (t *table) unseenChanges() (changes uint64, established int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sessions {
		if s.Established {
			established++
		}
	}
	return t.unseen, established
}

// known returns all prefixes that have paths.
func (t *table) known() []netip.Prefix {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]netip.Prefix, 0, t.prefixes.Len())
	for prefix, l := range t.prefixes.All() {
		if l.best != nil {
			all = append(all, prefix)
		}
	}
	return all
}

// setSpare takes all paths of a prefix and keeps the best of those that are not the best, unless the best have changed
// meanwhile.
func (t *table) setSpare(prefix netip.Prefix, all []*apiutil.Path, reader *pathReader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.prefixes.Get(prefix)
	if l == nil {
		return
	}
	var spare []Path
	best := 0
	for _, p := range all {
		switch {
		case !p.PeerAddress.IsValid(): // our own
		case p.Best:
			if l.best.from(p.PeerAddress, p.RemoteID) < 0 {
				return
			}
			best++
		default:
			path := reader.read(p)
			if len(spare) == 0 || spare[0].AsGoodAs(path) {
				path.ASPath, path.ClusterIDs = slices.Clone(path.ASPath), slices.Clone(path.ClusterIDs)
				spare = append(spare, path)
			}
		}
	}
	if best == 0 || best != l.best.Len() {
		return
	}
	next := t.sets.intern(spare)
	if next == l.spare {
		t.sets.release(next) // it has its user already
		return
	}
	t.putSpare(l, next)
	t.note(l, nil)
}
