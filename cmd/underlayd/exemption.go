package main

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp/fib/nat"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// Pods of this node keep their address on the way to the ranges of all contracts, whether there is a route or not: package
// nat says why. What joins them, or our pods, is exempt before anything is announced or routed because of it; what leaves
// them stays exempt until the routes are gone, for the agent looks for that in its tick. What an earlier run exempted stays
// until we have converged, as its routes do.

// exemptPatience is how long the agent waits for the kernel, which may be busy with a large transaction of somebody else.
const exemptPatience = 2 * time.Second

// exemption is the NAT exemption as the agent keeps it.
type exemption struct {
	nat     *nat.Exemption // nil: the kernel has none
	log     logrus.FieldLogger
	problem status.Problem // why

	left, asked nat.Sides // by an earlier run; last
	set         bool      // asked was
	from        exemptFrom
	exact       bool // asked is what follows from that, and no more
}

// with are the sides together, sorted and without repeats.
func with(s, t nat.Sides) nat.Sides {
	return nat.Sides{
		Local: union(s.Local, t.Local), Remote: union(s.Remote, t.Remote),
		Transit: union(s.Transit, t.Transit), Far: union(s.Far, t.Far), Own: union(s.Own, t.Own),
	}
}

func union(a, b []netip.Prefix) []netip.Prefix {
	all := slices.Concat(a, b)
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// openExemption takes over what an earlier run left. That the kernel can't do it is no reason not to run.
func openExemption(c *config.Config, log logrus.FieldLogger) *exemption {
	x := &exemption{log: log.WithField("component", "nat")}
	var err error
	x.nat, err = nat.Open(nat.Config{Protocol: c.Kernel.Protocol, Log: x.log})
	if err == nil {
		x.left, err = x.nat.Adopt()
	}
	if err != nil {
		x.problem = status.Problem{Severity: status.Error, Subject: "NAT exemption", Message: err.Error(), Since: time.Now()}
		x.log.WithError(err).Error("what pods send to other clusters may be masqueraded")
	}
	return x
}

// Run repairs until ctx ends.
func (x *exemption) Run(ctx context.Context) error {
	if x.nat == nil {
		<-ctx.Done()
		return nil
	}
	return x.nat.Run(ctx)
}

func (x *exemption) close() {
	if x.nat != nil {
		_ = x.nat.Close()
	}
}

// drops names chains that drop forwarded packets by default.
func (x *exemption) drops() []string {
	if x.nat == nil {
		return nil
	}
	return x.nat.Drops()
}

// news says whether its state has changed since it was asked last.
func (x *exemption) news() bool {
	if x.nat == nil {
		return false
	}
	select {
	case <-x.nat.Changed():
		return true
	default:
		return false
	}
}

// ask has the kernel exempt these and no others.
func (x *exemption) ask(ctx context.Context, want nat.Sides) {
	if x.nat == nil || x.set && reflect.DeepEqual(x.asked, want) {
		return
	}
	x.asked, x.set = want, true
	ctx, cancel := context.WithTimeout(ctx, exemptPatience)
	defer cancel()
	if err := x.nat.Set(ctx, want); err != nil {
		x.log.WithError(err).Warn("what pods send to other clusters may be masqueraded; it is tried again")
		return
	}
	if len(want.Local) > 0 {
		x.log.WithFields(logrus.Fields{"local": want.Local, "remote": want.Remote}).Info("pods keep their address towards other clusters")
	}
	if len(want.Far) > 0 {
		x.log.WithFields(logrus.Fields{"transit": want.Transit, "far": want.Far, "own": want.Own}).Info("gateway: what passes through is not tracked")
	}
}

// exemptFrom is what it follows from which sides are exempt.
type exemptFrom struct {
	config           *config.Config
	local, own       []netip.Prefix
	converged, known bool
	stage            stage
}

func (f exemptFrom) equal(g exemptFrom) bool {
	return f.config == g.config && f.converged == g.converged && f.known == g.known && f.stage == g.stage &&
		slices.Equal(f.local, g.local) && slices.Equal(f.own, g.own)
}

// exempt has the kernel exempt what is to be exempt, and no more. Where nothing has changed it costs nothing.
func (a *agent) exempt(ctx context.Context) {
	from := exemptFrom{a.config, a.advertised, a.own, a.converged, a.podsKnown, a.drain.stage}
	if a.exemption.exact && from.equal(a.exemption.from) {
		return
	}
	a.exemption.from, a.exemption.exact = from, true
	if a.converged {
		a.exemption.left = nat.Sides{}
	}
	switch {
	case !a.config.NATExemption || a.drain.stage == drained:
		a.exemption.ask(ctx, nat.Sides{})
	case a.drain.stage < withdrawn: // between the two the routes are still there
		a.exemption.ask(ctx, a.exempted())
	}
}

// exemptMore has the kernel exempt what is to be exempt, and what has been.
func (a *agent) exemptMore(ctx context.Context) {
	if a.config.NATExemption && a.drain.stage < withdrawn {
		a.exemption.exact = false
		a.exemption.ask(ctx, with(a.exempted(), a.exemption.asked))
	}
}

func (a *agent) exempted() nat.Sides {
	want := nat.Sides{Local: a.advertised, Own: a.own}
	for _, c := range a.config.Clusters {
		want.Remote = append(want.Remote, c.PodCIDRs...)
	}
	if a.passesThrough() {
		want.Transit, want.Far = passing(a.config)
	}
	return with(want, a.exemption.left)
}

// passesThrough says whether packets of pods of other nodes pass through this one, and can be told from those of its own: while
// it is not known which these are, or a Node has none that is known of, any may be.
func (a *agent) passesThrough() bool {
	return a.podsKnown && (len(a.own) > 0 || a.node == nil) && forwards(a.config)
}

// forwards says whether this node is a gateway, with somebody to be one to.
func forwards(c *config.Config) bool {
	return c.Node.Gateway == config.True && slices.ContainsFunc(c.BGP.Peers, c.Border)
}

// passing are the pods that packets pass through a gateway between: those of clusters that are reached through gateways, and all
// that there are.
func passing(c *config.Config) (transit, far []netip.Prefix) {
	transit = slices.Clone(c.Cluster.PodCIDRs)
	for _, remote := range c.Clusters {
		transit = append(transit, remote.PodCIDRs...)
		if c.ThroughGateways(remote) {
			far = append(far, remote.PodCIDRs...)
		}
	}
	return transit, far
}

// exemptionStatus tells how it is.
func (a *agent) exemptionStatus() (status.NATExemption, []status.Problem) {
	if !a.config.NATExemption {
		return status.NATExemption{State: status.NATOff}, nil
	}
	if a.exemption.nat == nil {
		return status.NATExemption{State: status.NATFailed}, []status.Problem{a.exemption.problem}
	}
	s := a.exemption.nat.State()
	out := status.NATExemption{State: status.NATIdle, Table: s.Table, Local: s.Local, Remote: s.Remote, Transit: s.Transit, Far: s.Far, Repairs: s.Repairs}
	if s.Active {
		out.State = status.NATActive
	}
	if s.Problem == "" {
		return out, nil
	}
	p := status.Problem{Severity: status.Warning, Subject: "NAT exemption", Message: "table inet " + s.Table + ": " + s.Problem, Since: s.Since}
	if !s.Active {
		out.State, p.Severity = status.NATFailed, status.Error
	}
	return out, []status.Problem{p}
}
