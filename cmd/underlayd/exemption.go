package main

import (
	"context"
	"net/netip"
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

	left, asked sides // by an earlier run; last
	set         bool  // asked was
}

// sides are sorted and without repeats.
type sides struct{ local, remote []netip.Prefix }

func (s sides) with(t sides) sides { return sides{union(s.local, t.local), union(s.remote, t.remote)} }

func (s sides) equal(t sides) bool {
	return slices.Equal(s.local, t.local) && slices.Equal(s.remote, t.remote)
}

func union(a, b []netip.Prefix) []netip.Prefix {
	all := slices.Concat(a, b)
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// openExemption takes over what an earlier run left. That the kernel can't do it is no reason not to run.
func openExemption(c *config.Config, log logrus.FieldLogger) *exemption {
	x := &exemption{log: log.WithField("part", "nat")}
	var err error
	x.nat, err = nat.Open(nat.Config{Protocol: c.Kernel.Protocol, Log: x.log})
	if err == nil {
		x.left.local, x.left.remote, err = x.nat.Adopt()
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
func (x *exemption) ask(ctx context.Context, want sides) {
	if x.nat == nil || x.set && x.asked.equal(want) {
		return
	}
	x.asked, x.set = want, true
	ctx, cancel := context.WithTimeout(ctx, exemptPatience)
	defer cancel()
	if err := x.nat.Set(ctx, want.local, want.remote); err != nil {
		x.log.WithError(err).Warn("what pods send to other clusters may be masqueraded; it is tried again")
		return
	}
	if len(want.local) > 0 {
		x.log.WithFields(logrus.Fields{"local": want.local, "remote": want.remote}).Info("pods keep their address towards other clusters")
	}
}

// exempt has the kernel exempt what is to be exempt, and no more.
func (a *agent) exempt(ctx context.Context) {
	if a.converged {
		a.exemption.left = sides{}
	}
	switch {
	case !a.config.NATExemption || a.drain.stage == drained:
		a.exemption.ask(ctx, sides{})
	case a.drain.stage < withdrawn: // between the two the routes are still there
		a.exemption.ask(ctx, a.exempted())
	}
}

// exemptMore has the kernel exempt what is to be exempt, and what has been.
func (a *agent) exemptMore(ctx context.Context) {
	if a.config.NATExemption && a.drain.stage < withdrawn {
		a.exemption.ask(ctx, a.exempted().with(a.exemption.asked))
	}
}

func (a *agent) exempted() sides {
	want := sides{local: a.advertised}
	for _, c := range a.config.Clusters {
		want.remote = append(want.remote, c.PodCIDRs...)
	}
	return want.with(a.exemption.left)
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
	out := status.NATExemption{State: status.NATIdle, Table: s.Table, Local: s.Local, Remote: s.Remote, Repairs: s.Repairs}
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
