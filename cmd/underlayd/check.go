package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// checkup is a check in the making: of what the running daemon knows, or of the configuration and the host alone.
type checkup struct {
	*explainer
	*basis
	ctx    context.Context
	state  *status.Snapshot // complete; nearly empty without the daemon
	daemon bool
	items  []status.Check
}

// Check implements status.Checker.
func (s source) Check(ctx context.Context, last *status.Snapshot) []status.Check {
	b := s.basis.Load()
	if b == nil {
		return nil
	}
	c := &checkup{explainer: s.explainer, basis: b, ctx: ctx, state: last, daemon: true}
	c.problems()
	c.clusters()
	c.ways()
	c.host()
	return c.concluded()
}

// host is what can be looked at without the daemon, too.
func (c *checkup) host() {
	c.settings()
	c.links()
	c.port()
	c.md5()
	c.nat()
	c.rights()
	c.clock()
	c.programs()
	c.limits()
}

func (c *checkup) add(x status.Check) { c.items = append(c.items, x) }

func (c *checkup) failed(group, name string, remedy *status.Remedy, sentence string) {
	c.add(status.Check{Group: group, Name: name, Result: status.CheckFailed, Remedy: remedy, Sentence: sentence})
}

func (c *checkup) warn(group, name string, remedy *status.Remedy, sentence string) {
	c.add(status.Check{Group: group, Name: name, Result: status.CheckWarning, Remedy: remedy, Sentence: sentence})
}

func (c *checkup) unknown(group, name string, remedy *status.Remedy, sentence string) {
	c.add(status.Check{Group: group, Name: name, Result: status.CheckUnknown, Remedy: remedy, Sentence: sentence})
}

func (c *checkup) ok(group, format string, args ...any) {
	c.add(status.Check{Group: group, Name: group, Result: status.CheckOK, Sentence: fmt.Sprintf(format, args...)})
}

// concluded adds a sentence for what was looked at and is as it should be.
func (c *checkup) concluded() []status.Check {
	silent := func(group string) bool {
		return !slices.ContainsFunc(c.items, func(x status.Check) bool { return x.Group == group })
	}
	if c.daemon && silent(status.CheckSessions) {
		c.ok(status.CheckSessions, "%d of %d sessions are established", len(c.state.Sessions), len(c.state.Sessions))
	}
	if c.daemon && silent(status.CheckDaemon) {
		c.ok(status.CheckDaemon, "it runs, version %s, and has no problem of its own", c.state.Version)
	}
	return c.items
}

// groupOf says where a problem belongs.
func groupOf(p status.Problem) string {
	first, _, _ := strings.Cut(p.Subject, " ")
	switch strings.TrimSuffix(first, ",") {
	case "configuration", "annotation":
		return status.CheckConfig
	case "peer", "BGP":
		return status.CheckSessions
	case "cluster", "refused", "pod":
		return status.CheckContracts
	case "kernel":
		return status.CheckKernel
	case "NAT":
		return status.CheckNAT
	case "probe":
		return status.CheckProbe
	case "kubernetes":
		return status.CheckKubernetes
	default:
		return status.CheckDaemon
	}
}

// problems are those of status, in its words, each with what to do about it. Those of the host are looked for anew.
func (c *checkup) problems() {
	examples := c.examples()
	for _, p := range c.state.Problems {
		if strings.HasPrefix(p.Subject, "host, ") {
			continue
		}
		x := status.Check{Group: groupOf(p), Name: p.Subject, Result: status.CheckWarning, Sentence: p.Message}
		if p.Severity == status.Error {
			x.Result = status.CheckFailed
		}
		x.Reason, x.Remedy = c.remedyFor(p, examples)
		c.add(x)
	}
}

// examples are a route for each thing that is wrong with some: by what status calls the problem.
func (c *checkup) examples() map[string]*status.Route {
	found := map[string]*status.Route{}
	wanted := slices.ContainsFunc(c.state.Problems, func(p status.Problem) bool {
		return strings.HasPrefix(p.Subject, "refused") || strings.HasPrefix(p.Subject, "kernel")
	})
	if !wanted || c.state.Table == nil {
		return found
	}
	note := func(subject string, r *status.Route) {
		if found[subject] == nil {
			found[subject] = r
		}
	}
	for row := range c.state.Table.Rows() {
		r := row.Route()
		if !r.Accepted && r.Verdict != "" && !r.Expected {
			note("refused, "+r.Verdict, r)
		}
		for _, p := range r.Paths {
			if r.Accepted && !p.Accepted && p.Verdict != "" {
				note("refused path, "+p.Verdict, r)
			}
		}
		switch r.Kernel.Status {
		case status.Failed:
			note("kernel", r)
		case status.Conflict:
			note("kernel conflict", r)
		}
	}
	return found
}

// accountOf is what explain would begin with for a prefix.
func (c *checkup) accountOf(p netip.Prefix) *account {
	a := c.about(c.ctx, c.basis, c.state, status.Question{Target: p})
	if cluster, _, found := c.view.plan.Owner(p.Addr()); found {
		if at := slices.IndexFunc(c.config.Clusters, func(r config.RemoteCluster) bool { return r.Name == cluster }); at >= 0 {
			a.remote, a.out.Cluster = &c.config.Clusters[at], cluster
		}
	}
	return a
}

// remedyFor is what explain would say, as far as it has a word for the problem.
func (c *checkup) remedyFor(p status.Problem, examples map[string]*status.Route) (reason string, r *status.Remedy) {
	if example := examples[p.Subject]; example != nil {
		a := c.accountOf(example.Prefix)
		if strings.HasPrefix(p.Subject, "kernel") {
			return example.Kernel.Status, a.routeRemedy(example)
		}
		_, reason, _ = strings.Cut(p.Subject, ", ")
		if reason == string(ipam.NoContract) {
			a.routes = []*status.Route{example}
			a.noContract()
			return reason, a.last().Remedy
		}
		r = a.verdictRemedy(example)
		if r.Key == "" && r.Command == "" {
			r.Command = "underlayd routes " + example.Prefix.String()
		}
		return reason, r
	}
	kind, name, _ := strings.Cut(p.Subject, " ")
	switch kind {
	case "peer":
		if at := slices.IndexFunc(c.state.Sessions, func(s status.Session) bool { return s.Peer == name }); at >= 0 && c.state.Sessions[at].State != status.Established {
			return c.accountOf(netip.Prefix{}).sessionFault(c.state.Sessions[at])
		}
		return "", &status.Remedy{Action: "look at all that is known of the session", Command: "underlayd peers " + name, Doc: "docs/operations.md#sessions"}
	case "cluster":
		return c.remedyForCluster(name)
	case "pod":
		return "", &status.Remedy{Action: "say which pod CIDRs this node has, or let cluster.podCIDRs cover them", Key: "node.podCIDRs", Doc: "docs/kubernetes.md#where-pod-cidrs-come-from"}
	case "probe":
		return probeRemedy(c.state, name)
	case "NAT":
		return "", &status.Remedy{Action: "have the CNI exempt these ranges itself, if the kernel can't", Doc: "docs/cni.md#which-cni-needs-what"}
	case "kubernetes":
		return "", &status.Remedy{Action: "see whether the API answers, and whether the rights of the manifests are there", Command: "kubectl auth can-i --list --as system:serviceaccount:kube-system:underlayd", Doc: "docs/operations.md#the-kubernetes-api"}
	case "configuration", "annotation":
		return "", &status.Remedy{Action: "correct it; it is taken up at once", Command: "underlayd config validate " + defaultConfig, Doc: "docs/troubleshooting.md#before-it-runs-and-while-it-does"}
	}
	return "", &status.Remedy{Action: "see what is said of it", Command: "underlayd status", Doc: "docs/operations.md"}
}
