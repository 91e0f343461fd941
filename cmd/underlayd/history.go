package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// chronicle writes the history. Decisions are noted where they are taken; what only shows in a state is noted when that
// differs from the last one.
type chronicle struct {
	past     *status.History
	sessions map[netip.Addr]heard
	bfd      map[netip.Addr]string
	clusters map[string]status.ClusterState
	phase    status.Phase
	stage    stage
	stats    fib.Stats
	nat      status.NATState
	probes   map[string]string // what the probe says of a cluster
	repairs  uint64            // of the NAT exemption
	apiFails bool
	roles    []string
	own      []netip.Prefix
}

func newChronicle(past *status.History) *chronicle {
	return &chronicle{
		past: past, sessions: map[netip.Addr]heard{}, bfd: map[netip.Addr]string{}, clusters: map[string]status.ClusterState{},
	}
}

// The causes of what happens to prefixes, beside the verdicts.
const (
	causeAnnounced   = "Announced"
	causeWithdrawn   = "Withdrawn"
	causeSessionLost = "SessionLost"
	causeKept        = "KeptLongEnough"
	causeUnreachable = "NextHopUnreachable"
	causePathLost    = "PathWithdrawn"
	causePaths       = "OtherPaths"
	causeBrake       = "Brake"
	causeRestart     = "GracefulRestart"
)

// noteDecision notes a decision on a prefix, given the record there was. What changes nothing that a person would ask about is
// not noted, and costs next to nothing.
func (a *agent) noteDecision(prefix netip.Prefix, old *record, d decision, now time.Time) {
	was, wasHops := "", []netip.Addr(nil)
	if old != nil && old.way != nil {
		was, wasHops = string(old.verdict.Reason), old.hops()
	}
	n := status.Note{Prefix: prefix, Cluster: d.verdict.Cluster}
	switch hops := d.hops(); {
	case d.way == nil && was == "":
		return
	case d.way == nil:
		if old.expected() {
			return
		}
		n.Kind, n.Peer, n.Cause, n.Cluster = status.PrefixWithdrawn, old.way.announcer(), a.whyGone(old), old.verdict.Cluster
	case d.verdict.Accepted && len(wasHops) > 0:
		if sameHops(wasHops, hops) {
			return
		}
		n.Kind, n.Peer, n.Cause = status.NextHopsMoved, d.way.announcer(), a.whyMoved(old.way, d.way)
		n.Detail = joined(wasHops, ",") + " → " + joined(hops, ",")
	case d.verdict.Accepted:
		n.Kind, n.Peer, n.Cause = status.PrefixAccepted, d.way.announcer(), causeAnnounced
	case was == string(d.verdict.Reason) || d.passedOn() || d.way.expected(d.verdict):
		return
	default:
		n.Kind, n.Peer, n.Cause, n.Detail = status.PrefixRefused, d.way.announcer(), string(d.verdict.Reason), d.verdict.Detail
	}
	a.chronicle.past.Note(now, &n)
}

// announcer names who announces a prefix that went this way: the first whose path is used, or else the first.
func (w *way) announcer() string {
	if len(w.usable) > 0 {
		return w.view.names[w.usable[0].peer]
	}
	return w.view.names[w.paths.All()[0].Peer]
}

// expected says whether a refusal is no fault.
func (w *way) expected(v *ipam.Verdict) bool { return w.view.expected(&w.paths.All()[0], *v) }

func (r *record) expected() bool {
	return !r.verdict.Accepted && (r.verdict.Reason == ipam.PassedOn || r.way.expected(r.verdict))
}

// whyGone says why a prefix is not announced any more.
func (a *agent) whyGone(old *record) string {
	if old.kept {
		return causeKept
	}
	for _, p := range old.way.paths.All() {
		if _, lost := a.losses[p.Peer]; !lost {
			return causeWithdrawn
		}
	}
	return causeSessionLost
}

// whyMoved says why a prefix has other next hops.
func (a *agent) whyMoved(from, to *way) string {
	for _, h := range from.usable {
		if slices.Contains(to.hops, h.address) {
			continue
		}
		if _, lost := a.losses[h.peer]; lost {
			return causeSessionLost
		}
		if a.astray[h.address] != 0 {
			return causeUnreachable
		}
		return causePathLost
	}
	return causePaths
}

// noteKernel notes what became of a prefix in the kernel.
func (a *agent) noteKernel(r *record, s fib.State, now time.Time) {
	before := fib.Absent
	if r != nil {
		before = r.status()
	}
	if before == s.Status {
		return
	}
	n := status.Note{Prefix: s.Dst}
	if r != nil {
		n.Cluster = r.verdict.Cluster
	}
	switch s.Status {
	case fib.Installed:
		n.Kind = status.KernelInstalled
	case fib.Adopted:
		n.Kind = status.KernelAdopted
	case fib.Failed:
		n.Kind, n.Detail = status.KernelFailed, s.Reason
	case fib.Conflict:
		n.Kind, n.Detail = status.KernelConflict, s.Reason
	default:
		n.Kind = status.KernelRemoved
	}
	a.chronicle.past.Note(now, &n)
}

// noteKept notes that a prefix is kept though its sessions are lost.
func (a *agent) noteKept(r *record, braked bool, now time.Time) {
	n := status.Note{Kind: status.PrefixKept, Prefix: r.prefix, Cluster: r.verdict.Cluster, Peer: r.way.announcer(), Cause: causeSessionLost}
	if braked {
		n.Cause = causeBrake
	}
	a.chronicle.past.Note(now, &n)
}

// noteMoves notes that the traffic of whole sets of next hops is moved off peers.
func (a *agent) noteMoves(gone []netip.Addr, moves []fib.Move) {
	names := make([]string, len(gone))
	for i, peer := range gone {
		names[i] = a.view.names[peer]
	}
	slices.Sort(names)
	n := status.Note{Kind: status.Failover, Cause: causeSessionLost, Count: len(moves), Peer: names[0]}
	if len(names) > 1 {
		n.Detail = "without " + strings.Join(names, ", ") + ": "
	}
	n.Detail += joined(moves[0].From, ",") + " → " + joined(moves[0].To, ",")
	if len(moves) > 1 {
		n.Detail += fmt.Sprintf(" and %d more", len(moves)-1)
	}
	a.chronicle.past.Note(time.Now(), &n)
}

// joined lists what can be said, with a separator.
func joined[T fmt.Stringer](all []T, by string) string {
	texts := make([]string, len(all))
	for i, x := range all {
		texts[i] = x.String()
	}
	return strings.Join(texts, by)
}
