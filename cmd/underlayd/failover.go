package main

import (
	"context"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp/fib"
)

// failover moves the traffic off peers whose sessions ended, before the first of their paths is withdrawn: what is
// common to thousands of prefixes, the set of their next hops, is rewritten once. It anticipates what the speaker is
// about to say of each prefix. Where prefixes that share their next hops disagree about what comes next, nothing is
// anticipated.
func (a *agent) failover(ctx context.Context, gone []netip.Addr) {
	if len(gone) == 0 {
		return
	}
	moves := a.book.moves(gone)
	if len(moves) == 0 {
		return
	}
	a.noteMoves(gone, moves)
	if err := a.kernel.Failover(ctx, moves); err != nil {
		a.log.WithError(brief(err)).Warn("failover is left to the withdrawals")
	}
}

// returned ends what was anticipated for a peer that has told all of its routes again: after a graceful restart they never
// were withdrawn.
func (a *agent) returned(ctx context.Context, peer netip.Addr) {
	var back []fib.Move
	for _, w := range a.book.ways {
		if slices.ContainsFunc(w.usable, func(h hop) bool { return h.peer == peer }) {
			back = append(back, fib.Move{From: w.hops, To: w.hops})
		}
	}
	if err := a.kernel.Failover(ctx, back); err != nil {
		a.log.WithError(brief(err)).Warn("back after a failover")
	}
}

// moves returns where the traffic of whole sets of next hops goes without the peers that are gone.
func (b *book) moves(gone []netip.Addr) []fib.Move {
	type group struct {
		fib.Move
		split bool
	}
	groups := map[string]*group{}
	var key []byte
	for _, w := range b.ways {
		if len(w.hops) == 0 {
			continue
		}
		to := w.without(gone)
		key = appendHops(key[:0], w.hops)
		if g := groups[string(key)]; g != nil {
			g.split = g.split || !slices.Equal(g.To, to)
			continue
		}
		groups[string(key)] = &group{Move: fib.Move{From: w.hops, To: to}}
	}
	var moves []fib.Move
	for _, g := range groups {
		if !g.split && len(g.To) > 0 && !slices.Equal(g.From, g.To) {
			moves = append(moves, g.Move)
		}
	}
	return moves
}

func appendHops(b []byte, hops []netip.Addr) []byte {
	for _, h := range hops {
		b = append(h.AppendTo(b), ' ')
	}
	return b
}
