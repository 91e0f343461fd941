package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// peerSource knows peers that are not in the configuration itself: a file has them, or an API. It tells whole sets. Peers
// is called by one goroutine.
type peerSource interface {
	// Peers returns what a configuration is to have besides its own peers. An address of this node is none.
	Peers(base *config.Config, own func(netip.Addr) bool) sourced
	// Changed is poked when Peers may have another answer.
	Changed() <-chan struct{}
}

// sourced is what a source knows.
type sourced struct {
	peers []config.Peer
	known bool  // false: which ones there are can't be told yet, which is not that there are none
	err   error // why peers is not what the source says now, but what it said before
}

// peering puts the configuration in force together: what the file says to a node with these labels, with the peers of the
// sources. A source that fails never takes a peer away, and what the file says goes first.
type peering struct {
	log     logrus.FieldLogger
	base    *config.Config // the file's
	labels  nodeLabels     // nil: there are none but those of the file
	sources []peerSource
	changed chan struct{} // capacity one: a source has news

	labelled bool          // the labels are known, or say nothing of the peers
	known    bool          // every source knows its peers, and if labels say who they are, those are known
	broken   error         // what the sources are told that can't be
	leftOut  config.Errors // peers that break a rule, and labels that say nothing
}

func newPeering(base *config.Config, log logrus.FieldLogger, sources ...peerSource) *peering {
	return &peering{log: log, base: base, sources: sources, changed: make(chan struct{}, 1)}
}

// Run passes on that a source has news, until ctx is cancelled.
func (p *peering) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, s := range p.sources {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-s.Changed():
					poke(p.changed)
				}
			}
		})
	}
	all.Wait()
	return nil
}

// assemble returns the configuration with all its peers.
func (p *peering) assemble(own func(netip.Addr) bool) *config.Config {
	whole, labelled, leftOut := p.here()
	p.labelled = labelled || !p.base.LabelsMatter()
	known := p.labelled
	var broken []error
	for _, s := range p.sources {
		found := s.Peers(whole, own)
		p.labelled = p.labelled && (labelled || !config.Selective(found.peers))
		known = known && found.known && p.labelled
		if found.err != nil {
			broken = append(broken, found.err)
		}
		if len(found.peers) == 0 {
			continue
		}
		var errs config.Errors
		whole, errs = whole.WithPeers(found.peers)
		leftOut = append(leftOut, errs...)
	}
	p.say(errors.Join(broken...), leftOut)
	p.known = known
	return whole
}

// say logs what has become wrong, once, and that nothing is any more.
func (p *peering) say(broken error, leftOut config.Errors) {
	switch before := p.problem(); {
	case broken != nil && broken.Error() != before:
		p.log.WithError(broken).Error("peers refused; those known before stay in force")
	case broken == nil && before != "":
		p.log.Info("the peers are as they are written again")
	}
	for _, e := range leftOut {
		if !slices.Contains(p.leftOut, e) {
			p.log.WithError(e).WithField("consequence", consequence(e)).Error("something about peers does not hold")
		}
	}
	p.broken, p.leftOut = broken, leftOut
}

// problem says in words what is wrong with what the sources are told.
func (p *peering) problem() string {
	if p.broken == nil {
		return ""
	}
	return p.broken.Error()
}

// problems names the peers that are left out, and what they are left out for.
func (p *peering) problems() []status.Problem {
	var out []status.Problem
	if !p.labelled {
		out = append(out, status.Problem{Severity: status.Warning, Subject: "kubernetes",
			Message: "the labels of this Node are not known yet: what is for nodes with certain labels waits for them"})
	}
	for _, e := range p.leftOut {
		subject, _, _ := strings.Cut(e.Path, ".")
		out = append(out, status.Problem{Severity: status.Error, Subject: subject, Message: "is " + consequence(e) + ": " + e.Error()})
	}
	return out
}

// consequence says what becomes of what breaks a rule.
func consequence(e config.Error) string {
	if strings.HasPrefix(e.Path, "node.") {
		return "ignored"
	}
	return "left out"
}

// ownAddress says whether an address is one of this node's.
func (a *agent) ownAddress(address netip.Addr) bool {
	return slices.ContainsFunc(a.facts.Addresses, func(p netip.Prefix) bool { return p.Addr() == address })
}

// assemble puts the configuration in force that the file and the sources of peers make together, and says what that
// changes.
func (a *agent) assemble() []config.Change {
	before := a.peering.problem()
	next := a.peering.assemble(a.ownAddress)
	a.stale = a.stale || before != a.peering.problem()
	a.noteSources()
	changes := config.Changes(a.file, next)
	for _, c := range changes {
		a.log.WithField("change", c.String()).Info("configuration changed")
	}
	a.configure(next)
	return changes
}

// followSources takes what the sources of peers have found out.
func (a *agent) followSources(ctx context.Context) {
	known := a.peering.known
	if len(a.assemble()) == 0 {
		a.stale = a.stale || known != a.peering.known
		return
	}
	a.takePlan(a.facts)
	a.replan(ctx)
}

// configProblem says why what is in force is not what is written.
func (a *agent) configProblem() string {
	return strings.Join(slices.DeleteFunc([]string{a.problem, a.peering.problem()}, func(s string) bool { return s == "" }), "\n")
}
