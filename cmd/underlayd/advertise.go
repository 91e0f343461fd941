package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// podCIDRs returns the node's pod CIDRs; false while they are unknown, which is not to have none.
func (a *agent) podCIDRs() ([]netip.Prefix, bool) {
	a.followSource()
	if len(a.config.Node.PodCIDRs) > 0 || a.node == nil {
		a.podsProblem = ""
		return a.config.Node.PodCIDRs, true
	}
	return a.believe(a.node.PodCIDRs())
}

// podCIDRSource is where k8s is to read pod CIDRs: nowhere if they are said here.
func podCIDRSource(c *config.Config) k8s.Source {
	if len(c.Node.PodCIDRs) > 0 {
		return k8s.SourceStatic
	}
	return k8s.Source(c.Kubernetes.PodCIDRSource)
}

// followSource has k8s read what the configuration in force says.
func (a *agent) followSource() {
	if a.node == nil {
		return
	}
	if err := a.node.SetSource(podCIDRSource(a.config)); err != nil {
		a.log.WithError(err).Error("pod CIDRs of this node")
	}
}

// origins says where each of the prefixes was read.
func (a *agent) origins(prefixes []netip.Prefix) []status.Origin {
	read := map[netip.Prefix]k8s.Source{}
	if a.node != nil && len(a.config.Node.PodCIDRs) == 0 {
		for _, o := range a.node.Origins() {
			read[o.Prefix] = o.Source
		}
	}
	return originsOf(prefixes, read)
}

// originsOf says where each of the prefixes was read; those that were not are of the configuration.
func originsOf(prefixes []netip.Prefix, read map[netip.Prefix]k8s.Source) []status.Origin {
	var out []status.Origin
	for _, prefix := range prefixes {
		source, ok := read[prefix]
		if !ok {
			source = k8s.SourceStatic
		}
		out = append(out, status.Origin{Prefix: prefix, Source: string(source)})
	}
	return out
}

// believe judges what the Node is said to have, see k8s.Node.PodCIDRs.
func (a *agent) believe(cidrs []netip.Prefix, err error) ([]netip.Prefix, bool) {
	known := !errors.Is(err, k8s.ErrNotSynced)
	a.notePods(known, err)
	switch {
	case known && (err == nil || len(cidrs) > 0):
		a.memo.PodCIDRs = cidrs
		a.remember()
		return cidrs, true
	case known, a.podsKnown:
		return nil, false // what is advertised stays
	}
	if len(cidrs) > 0 {
		a.log.WithField("podCIDRs", cidrs).Info("using the pod CIDRs of the last run until the Kubernetes API says them")
	}
	return cidrs, len(cidrs) > 0
}

// notePods notes what of the Node's pod CIDRs is none, and logs it once.
func (a *agent) notePods(known bool, err error) {
	problem := ""
	if known && err != nil {
		problem = err.Error()
	}
	if problem != "" && problem != a.podsProblem {
		a.log.WithError(err).Error("pod CIDRs of this node")
	}
	a.podsProblem = problem
}

// podProblems names what the Node has beside pod CIDRs.
func (a *agent) podProblems() []status.Problem {
	if a.podsProblem == "" {
		return nil
	}
	return []status.Problem{{Severity: status.Error, Subject: "pod CIDR", Message: a.podsProblem}}
}

// advertise hands the node's pod CIDRs to the speaker, if they are known.
func (a *agent) advertise(ctx context.Context) {
	a.stale = true
	cidrs, known := a.podCIDRs()
	if !known {
		return
	}
	a.podsKnown, a.own = true, cidrs
	if a.drain.stage >= withdrawn {
		cidrs = nil
	}
	own, refusals := a.plan.Advertise(cidrs)
	announced := announcements(a.config, own)
	a.answerProbes(announced)
	whole := a.wholesToTell()
	want := announcedPrefixes(announced)
	if !slices.Equal(want, a.advertised) || !slices.Equal(refusals, a.refusals) {
		a.log.WithField("prefixes", want).Info("advertising")
		for _, r := range refusals {
			a.log.WithFields(logrus.Fields{"reason": r.Reason, "detail": r.Detail}).Error("a prefix is not advertised")
		}
	}
	a.advertised, a.refusals, a.advertisedFrom = want, refusals, a.origins(want)
	a.exemptMore(ctx)
	a.tellWholes(ctx, announcedPrefixes(whole))
	if err := a.speaker.Announce(ctx, together(announced, whole)); err != nil {
		a.failed(err)
		return
	}
	a.border.told = announcedPrefixes(whole)
	a.discard(ctx, a.border.told)
}
