package fib

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// oracle knows in the plainest way what the kernel should look like: what each prefix wants, and
// where the traffic of each set goes instead.
type oracle struct {
	want   map[string]string // next hops by prefix
	detour map[string]string
}

func (o *oracle) ensure(dst, set string) {
	old := o.want[dst]
	if old == set {
		return
	}
	if delete(o.want, dst); set != "" {
		o.want[dst] = set
		delete(o.detour, set)
	}
	if !o.inUse(old) {
		delete(o.detour, old)
	}
}

func (o *oracle) inUse(set string) bool {
	return slices.Contains(slices.Collect(maps.Values(o.want)), set)
}

func (o *oracle) failover(from, to string) {
	if from == to {
		delete(o.detour, from)
		return
	}
	if next, moved := o.detour[to]; moved && next != from {
		to = next
	}
	for s, d := range o.detour {
		if d == from {
			o.detour[s] = to
		}
	}
	if delete(o.detour, to); o.inUse(from) {
		o.detour[from] = to
	}
}

func (o *oracle) routes() []string {
	all := []string{}
	for dst, set := range o.want {
		if d, ok := o.detour[set]; ok {
			set = d
		}
		all = append(all, dst+" metric 512 via "+set)
	}
	slices.Sort(all)
	return all
}

func TestFailoverAndEnsureInAnyOrder(t *testing.T) {
	sets := []string{n2, n3, n4, m2, n2 + " " + n3, n2 + " " + n4, n3 + " " + n4, n3 + " " + m2}
	hops := func(set string) []netip.Addr { return addrs(strings.Fields(set)...) }
	body := func(t *testing.T, w world, seed uint64, steps int) {
		rng := rand.New(rand.NewPCG(seed, 2))
		s := newScene(t, w, ModeObjects)
		o := &oracle{want: map[string]string{}, detour: map[string]string{}}
		some := func() string { return sets[rng.IntN(len(sets))] }
		for range steps {
			switch rng.IntN(6) {
			case 0, 1: // few prefixes go somewhere
				dst, set := fmt.Sprintf("10.21.%d.0/24", rng.IntN(60)), some()
				if rng.IntN(5) == 0 {
					set = ""
				}
				o.ensure(dst, set)
				t.Logf("one %s -> %q", dst, set)
				s.ensure(Route{p(dst), hops(set)})
			case 2, 3: // all or some of one set go somewhere, one after the other or at once
				from, set := some(), some()
				var batch []Route
				for i := range 60 {
					if dst := fmt.Sprintf("10.21.%d.0/24", i); o.want[dst] == from || from == set {
						if rng.IntN(20) > 0 {
							o.ensure(dst, set)
							batch = append(batch, Route{p(dst), hops(set)})
						}
					}
				}
				t.Logf("batch %q -> %q: %d", from, set, len(batch))
				half := rng.IntN(len(batch) + 1)
				s.ensure(batch[:half]...)
				s.ensure(batch[half:]...)
			case 4:
				var moves []Move
				for range 1 + rng.IntN(2) {
					from, to := some(), some()
					t.Logf("failover %q -> %q", from, to)
					o.failover(from, to)
					moves = append(moves, Move{hops(from), hops(to)})
				}
				require.NoError(t, s.Failover(t.Context(), moves))
			case 5:
				s.silent(func() {
					_, err := s.Adopt(t.Context())
					require.NoError(t, err)
				})
			}
			require.Equal(t, o.routes(), s.routes(t, ourMark), "detours %v", o.detour)
		}
		require.Zero(t, s.Stats().Repairs)
		require.Zero(t, s.Stats().Errors)
		for dst := range o.want {
			require.Equal(t, Installed, s.status(dst))
			s.ensure(to(dst))
		}
		require.Empty(t, s.objects(t, ourMark))
		require.Empty(t, s.sets)
		require.Empty(t, s.hops)
		require.Zero(t, s.entries.Len())
	}
	for seed := range uint64(500) {
		t.Run(fmt.Sprintf("model/%d", seed), func(t *testing.T) { body(t, newFake(), seed, 80) })
	}
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("linux/%d", seed), func(t *testing.T) { body(t, newLinux(t), seed, 40) })
	}
}
