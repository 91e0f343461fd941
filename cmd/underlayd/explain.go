package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// What is here runs beside the agent, on the goroutine of whoever asks: on the last snapshot, on what it was judged by, and
// on what the speaker and the kernel answer themselves. Its cost does not grow with the table, but for the parts of a prefix.

// basis is what the last snapshot was made by. It is immutable.
type basis struct {
	config *config.Config
	view   *view
	own    []netip.Prefix // pod CIDRs of this node
	facts  fib.Facts
}

// explainer answers why an address is reachable or not.
type explainer struct {
	basis     *atomic.Pointer[basis]
	paths     *bgp.Speaker
	kernel    *fib.Table
	checks    *hostChecks
	exemption *exemption
}

// account is one explanation in the making.
type account struct {
	*explainer
	*basis
	ctx     context.Context
	state   *status.Snapshot
	target  netip.Prefix
	addr    netip.Addr
	source  netip.Addr
	out     *status.Explanation
	remote  *config.RemoteCluster // whose contract covers the target
	within  netip.Prefix          // which range of it
	route   *status.Route         // that is to lead there: the longest accepted one
	best    *status.Route         // the longest one, accepted or not
	routes  []*status.Route       // that cover the target, widest first
	all     map[netip.Prefix][]bgp.Candidate
	packets []status.Packet
}

// source is what answers the status socket.
func (a *agent) source() source {
	return source{
		board: a.board, speaker: a.speaker, node: a.node, host: a.host, sums: &sums{}, recent: &recentDetails{},
		explainer: &explainer{basis: &a.basis, paths: a.speaker, kernel: a.kernel, checks: a.host, exemption: a.exemption},
	}
}

// Explain implements status.Explainer.
func (s source) Explain(ctx context.Context, q status.Question) *status.Explanation {
	last := s.Summary(ctx)
	if last == nil || s.explainer == nil {
		return nil
	}
	b := s.basis.Load()
	if b == nil {
		return nil
	}
	return s.about(ctx, b, last, q).explain()
}

// about is what an explanation begins with.
func (x *explainer) about(ctx context.Context, b *basis, last *status.Snapshot, q status.Question) *account {
	return &account{
		explainer: x, basis: b, ctx: ctx, state: last, target: q.Target, addr: q.Target.Addr(), source: q.Source,
		all: map[netip.Prefix][]bgp.Candidate{},
		out: &status.Explanation{Node: last.Node, Time: last.Time, Target: q.Target, Source: q.Source},
	}
}

// explain goes the whole way.
func (a *account) explain() *status.Explanation {
	a.gather()
	if ends := a.what(); !ends {
		a.received()
		a.policy()
		a.choice()
		a.nextHops()
		a.ours()
	}
	a.lookup()
	if a.remote != nil {
		a.probed()
		a.nat()
		a.hostFacts()
		a.told()
	}
	a.parts()
	a.conclude()
	return a.out
}

// gather collects what covers the target.
func (a *account) gather() {
	for r := range a.state.Table.Covering(a.target) {
		a.routes, a.best = append(a.routes, r), r
		if r.Accepted || r.Verdict == "" && r.Kernel.Status == status.Adopted {
			a.route = r
		}
		if all, err := a.paths.Candidates(a.ctx, r.Prefix); err == nil {
			a.all[r.Prefix] = all
		}
	}
}

// add notes a step. Only the first one that fails has a remedy.
func (a *account) add(s status.Step) {
	if s.Result == status.StepFailed {
		if a.out.Fault == "" {
			a.out.Fault = s.Reason
		} else {
			s.Remedy = nil
		}
	} else {
		s.Remedy = nil
	}
	a.out.Steps = append(a.out.Steps, s)
}

func (a *account) ok(name, format string, args ...any) {
	a.add(status.Step{Name: name, Result: status.StepOK, Sentence: fmt.Sprintf(format, args...)})
}

func (a *account) skip(name, format string, args ...any) {
	a.add(status.Step{Name: name, Result: status.StepSkipped, Sentence: fmt.Sprintf(format, args...)})
}

// what says what the target is, and whether there is nothing more to say about BGP.
func (a *account) what() (ends bool) {
	inside := func(all []netip.Prefix) netip.Prefix { return covering(all, a.target) }
	guarded := a.view.plan.Judge(ipam.Claim{Prefix: a.target})
	if own := inside(a.own); own.IsValid() {
		a.out.Cluster = a.config.Cluster.Name
		a.add(status.Step{Name: status.StepTarget, Result: status.StepOK, Range: own, Sentence: fmt.Sprintf("it is of this node's own pods (%s), to which no BGP route leads", own)})
		return true
	}
	if pool := inside(a.config.Cluster.PodCIDRs); pool.IsValid() {
		a.out.Cluster = a.config.Cluster.Name
		a.add(status.Step{Name: status.StepTarget, Result: status.StepOK, Range: pool, Sentence: fmt.Sprintf(
			"it is of our own cluster %s (%s): the cluster's own network routes it, not underlayd", a.config.Cluster.Name, pool)})
		return true
	}
	if guarded.Reason != ipam.UnknownPeer {
		a.add(status.Step{
			Name: status.StepTarget, Result: status.StepFailed, Reason: string(guarded.Reason), Range: inside(a.config.Cluster.Reserved),
			Sentence: guarded.Detail + ": no route to it is taken from anybody", Remedy: a.guardRemedy(guarded.Reason),
		})
		return true
	}
	cluster, within, found := a.view.plan.Owner(a.addr)
	if !found || within.Bits() > a.target.Bits() {
		a.noContract()
		return len(a.routes) == 0
	}
	at := slices.IndexFunc(a.config.Clusters, func(c config.RemoteCluster) bool { return c.Name == cluster })
	a.remote, a.within, a.out.Cluster = &a.config.Clusters[at], within, cluster
	a.add(status.Step{Name: status.StepTarget, Result: status.StepOK, Range: within, Sentence: fmt.Sprintf(
		"it lies inside the range %s of cluster %s, by its contract (clusters[%s].podCIDRs)", within, cluster, cluster)})
	return false
}

// covering returns the first of the prefixes that p lies in; the zero Prefix for none.
func covering(all []netip.Prefix, p netip.Prefix) netip.Prefix {
	for _, x := range all {
		if x.Bits() <= p.Bits() && x.Contains(p.Addr()) {
			return x
		}
	}
	return netip.Prefix{}
}

// noContract tells that no contract covers the target, and whose it seems to be.
func (a *account) noContract() {
	s := status.Step{Name: status.StepTarget, Result: status.StepFailed, Reason: string(ipam.NoContract), Sentence: "no contract covers it: what no cluster is declared to have is never accepted"}
	s.Remedy = &status.Remedy{
		Action: "declare whose pods these are, with a range that covers them; the other cluster's cluster.podCIDRs says which",
		Key:    "clusters[].podCIDRs", Value: a.target.String(), Doc: troubleshooting + "no-contract-covers-it",
	}
	for _, r := range a.routes {
		for _, p := range r.Paths {
			for _, id := range p.ClusterIDs {
				if at := slices.IndexFunc(a.config.Clusters, func(c config.RemoteCluster) bool { return c.ID == id }); at >= 0 {
					c := a.config.Clusters[at]
					s.Sentence = fmt.Sprintf("no contract covers it, though peer %s announces %s with the id of cluster %s (%d)", p.Peer, r.Prefix, c.Name, id)
					s.Remedy.Action = "widen the contract of cluster " + c.Name + ", if these pods are its own"
					s.Remedy.Key, s.Remedy.Value = "clusters["+c.Name+"].podCIDRs", texted(append(slices.Clone(c.PodCIDRs), r.Prefix))
				}
			}
		}
	}
	a.add(s)
}

// texted is a list of prefixes as the configuration has it.
func texted(all []netip.Prefix) string { return "[" + joined(all, ", ") + "]" }

// subject is the target as people write it.
func (a *account) subject() string {
	if a.target.IsSingleIP() {
		return a.addr.String()
	}
	return a.target.String()
}

// conclude writes the answer.
func (a *account) conclude() {
	e := a.out
	e.Reachable = e.Fault == ""
	var first status.Step
	for _, s := range e.Steps {
		if s.Result == status.StepFailed {
			first = s
			break
		}
	}
	switch {
	case !e.Reachable:
		e.Answer = fmt.Sprintf("%s is not reachable: %s.", a.subject(), first.Sentence)
	case a.remote == nil:
		e.Answer = fmt.Sprintf("%s is reachable: %s; %s.", a.subject(), e.Steps[0].Sentence, a.last().Sentence)
	case !a.target.IsSingleIP() && a.holes() > 0:
		e.Reachable = false
		e.Answer = fmt.Sprintf("%s is reachable in part: cluster %s, and %d holes to which no route leads.", a.subject(), a.remote.Name, a.holes())
	default:
		e.Answer = fmt.Sprintf("%s is reachable: cluster %s, %s, announced by %s.", a.subject(), a.remote.Name, a.through(), a.announcers())
	}
}

func (a *account) last() status.Step { return a.out.Steps[len(a.out.Steps)-1] }

func (a *account) holes() (n int) {
	for _, p := range a.out.Parts {
		if p.Hole {
			n++
		}
	}
	return n
}

// through says where packets leave.
func (a *account) through() string {
	if len(a.packets) == 0 {
		return "through " + joined(a.route.NextHops, ", ")
	}
	p := a.packets[0]
	return fmt.Sprintf("through %s on %s", cmp.Or(p.Gateway, p.Destination), p.Link)
}

func (a *account) announcers() string {
	var names []string
	if a.route != nil {
		for _, p := range a.route.Paths {
			if p.Accepted && !slices.Contains(names, p.Peer) {
				names = append(names, p.Peer)
			}
		}
	}
	if len(names) == 0 {
		return "nobody any more (the route is kept from before)"
	}
	return strings.Join(names, " and ")
}
