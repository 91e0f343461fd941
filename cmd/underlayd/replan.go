package main

import (
	"context"
	"reflect"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
)

// relocate follows changes of the node's addresses. Links come and go with every pod, so that most of the time
// nothing follows from one.
func (a *agent) relocate(ctx context.Context) {
	facts, err := a.kernel.Facts()
	if err != nil {
		a.log.WithError(err).Warn("addresses of this node")
		return
	}
	if reflect.DeepEqual(facts, a.facts) {
		a.setPeers(ctx) // our address towards a peer may be another one now
		return
	}
	a.facts = facts
	a.assemble() // which peer is the node itself
	a.takePlan(facts)
	a.replan(ctx)
}

// replan carries a new plan through: what we advertise, what peers may send, and every decision taken so far.
func (a *agent) replan(ctx context.Context) {
	a.advertise(ctx)
	a.setPeers(ctx)
	a.watchReach(a.peers)
	a.judgeAgain(ctx, a.book.prefixes())
	a.refused.forget()
}

// takePlan makes the plan in force from the configuration and the node's addresses.
func (a *agent) takePlan(facts fib.Facts) {
	a.facts = facts
	a.plan = newPlan(a.config, facts)
	a.ledger.SetLimits(a.plan)
	a.view = newView(a.config, a.plan, a.away, a.through)
	a.hold = holdTime(a.config)
	a.counted.keep(a.config.BGP.Peers)
	a.host.use(a.config)
	clear(a.verdicts)
	clear(a.owners)
	a.stale = true
}

// unfit says why a configuration can't be put in force while the daemon runs; empty: it can.
func (a *agent) unfit(next *config.Config) string {
	for _, c := range config.Changes(a.peering.base, next) {
		if c.Effect == config.NeedsRestart {
			said := ""
			if by := saidBy(next, c.Path); by != "" {
				said = " by " + by
			}
			return c.String() + said + ": a restart is needed"
		}
	}
	if a.node == nil {
		if err := withoutAPI(next); err != nil {
			return err.Error()
		}
	}
	return ""
}

// reload puts a new configuration in force, or reports why not. It is all or nothing: a change that needs a
// restart leaves the rest for that restart too.
func (a *agent) reload(ctx context.Context, update config.Update) {
	a.stale = true
	a.noteAnnotations(update)
	problem := ""
	if update.Err != nil {
		problem = update.Err.Error()
		a.chronicle.followConfig(problem)
		a.log.WithError(update.Err).Error("configuration refused; the old one stays in force")
	}
	if update.Config == nil {
		a.problem = problem
		return
	}
	if a.problem = a.unfit(update.Config); a.problem != "" {
		a.chronicle.followConfig(a.problem)
		a.log.WithField("why", a.problem).Error("configuration refused; the old one stays in force")
		return
	}
	a.problem = problem
	a.chronicle.followConfig(problem)
	a.peering.base = update.Config
	if len(a.assemble()) == 0 {
		return
	}
	setLevel(a.log, a.config.Log.Level)
	a.takePlan(a.facts)
	a.kernel.SetResolve(resolution(a.config))
	a.replan(ctx)
}
