package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// troubleshooting is where more is said of a fault.
const troubleshooting = "docs/troubleshooting.md#"

// mayAnnounce are the sessions with peers that may announce the remote cluster.
func (a *account) mayAnnounce() (all []status.Session) {
	for _, s := range a.state.Sessions {
		p, found := a.peer(s.Peer)
		if found && (len(p.Clusters) == 0 || a.remote == nil || slices.Contains(p.Clusters, a.out.Cluster)) {
			all = append(all, s)
		}
	}
	return all
}

func (a *account) peer(name string) (config.Peer, bool) {
	at := slices.IndexFunc(a.config.BGP.Peers, func(p config.Peer) bool { return p.Name == name })
	if at < 0 {
		return config.Peer{}, false
	}
	return a.config.BGP.Peers[at], true
}

// received tells who announces what covers the target.
func (a *account) received() {
	s := status.Step{Name: status.StepReceived, Result: status.StepOK}
	var said []string
	for _, r := range slices.Backward(a.routes) {
		var peers []string
		for _, p := range r.Paths {
			if !slices.Contains(peers, p.Peer) {
				peers = append(peers, p.Peer)
			}
		}
		switch {
		case len(peers) > 0:
			said = append(said, fmt.Sprintf("%s by %s", r.Prefix, strings.Join(peers, ", ")))
		case r.Kernel.Status != "":
			said = append(said, fmt.Sprintf("%s by nobody: it is kept from before", r.Prefix))
		}
	}
	if len(said) > 0 {
		s.Sentence = "announced: " + strings.Join(said, "; ")
		if a.route != nil && a.route.Stale() {
			s.Result, s.Reason, s.Sessions = status.StepWarning, "Stale", a.mayAnnounce()
			s.Sentence += "; its sessions are lost, and it is kept for a while until they are back"
		}
		a.add(s)
		return
	}
	s.Result, s.Sessions = status.StepFailed, a.mayAnnounce()
	down := slices.IndexFunc(s.Sessions, func(p status.Session) bool { return p.State != status.Established })
	switch {
	case a.state.Phase == status.Draining || a.state.Phase == status.Drained:
		s.Reason, s.Sentence = "Drained", "this node is drained: it has no sessions and no routes"
		s.Remedy = &status.Remedy{Action: "bring the node back", Command: "underlayd drain --cancel", Doc: "docs/operations.md#taking-a-node-out"}
	case len(s.Sessions) == 0:
		s.Reason, s.Sentence = "NoPeer", fmt.Sprintf("no peer may announce cluster %s", a.out.Cluster)
		s.Remedy = &status.Remedy{Action: "configure a peer that announces it, or let one that there is", Key: "bgp.peers[].clusters", Value: "[" + a.out.Cluster + "]"}
	case down >= 0:
		p := s.Sessions[down]
		s.Reason, s.Remedy = a.sessionFault(p)
		s.Sentence = fmt.Sprintf("nobody announces a prefix that covers it, and the session with %s (AS %d), which may, is not established but %s%s",
			p.Peer, p.ASN, p.State, lead(": ", p.LastError))
	default:
		s.Reason = "NotAnnounced"
		s.Sentence = fmt.Sprintf("all sessions that may announce cluster %s are established, and nobody announces a prefix that covers it", a.out.Cluster)
		s.Remedy = &status.Remedy{
			Action: fmt.Sprintf("on the node of cluster %s whose pods these are, look whether underlayd runs and advertises them, and that its contract for %s (clusters[%s].advertise) does not withhold them; then at the routers between",
				a.out.Cluster, a.config.Cluster.Name, a.config.Cluster.Name),
			Command: "underlayd status", Doc: troubleshooting + "nobody-announces-it",
		}
	}
	a.add(s)
}

func lead(separator, s string) string {
	if s == "" {
		return ""
	}
	return separator + s
}

// sessionFault says what is wrong with a session, as far as it can be told, and what to do.
func (a *account) sessionFault(s status.Session) (reason string, r *status.Remedy) {
	p, _ := a.peer(s.Peer)
	key, why := "bgp.peers["+s.Peer+"]", strings.ToLower(s.LastError)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(why, w) })
	}
	doc := sessionDoc
	switch {
	case !s.ParkedUntil.IsZero():
		return "Parked", &status.Remedy{Action: "the peer sent too many prefixes: find out why, or allow more", Key: key + ".maxPrefixes", Doc: doc}
	case has("password file"):
		return "PasswordFile", &status.Remedy{Action: "repair the file with the password", Key: key + ".passwordFile", Value: p.PasswordFile, Doc: doc}
	case has("peer as", "peer asn", "as number"):
		return "WrongASN", &status.Remedy{
			Action: fmt.Sprintf("the two sides do not agree on AS numbers: we are AS %d and take the peer for AS %d; correct the side that is wrong", a.config.BGP.ASN, p.ASN),
			Key:    key + ".asn", Value: "the AS number that the peer has", Doc: doc,
		}
	}
	if reason, r = a.unreached(p); r != nil {
		return reason, r
	}
	if reason, r = a.notified(s, key); r != nil {
		return reason, r
	}
	if reason, r = a.counted(p, key); r != nil {
		return reason, r
	}
	switch {
	case p.PasswordFile != "":
		return "NoSession", &status.Remedy{
			Action: "see whether the peer answers at all; if it does, the two sides may have different passwords, of which neither is told",
			Key:    key + ".passwordFile", Value: p.PasswordFile, Command: "nstat -az 'TcpExtTCPMD5*'", Doc: doc,
		}
	default:
		return "NoSession", &status.Remedy{
			Action: fmt.Sprintf("see whether %s answers and has us as a peer: with AS %d, the same password or none, and a TTL that hops lets through", s.Peer, a.config.BGP.ASN),
			Key:    key, Command: fmt.Sprintf("ping -c 3 %s; underlayd peers %s", p.Address.WithZone(""), s.Peer), Doc: doc,
		}
	}
}

// policy tells the verdict on each path.
func (a *account) policy() {
	s := status.Step{Name: status.StepPolicy, Result: status.StepOK}
	switch {
	case len(a.routes) == 0:
		a.skip(s.Name, "there is nothing to judge")
	case a.route != nil && a.route.Verdict == "":
		a.ok(s.Name, "%s is kept from before the last start until the peers have spoken", a.route.Prefix)
	case a.route != nil:
		s.Sentence = fmt.Sprintf("%s is accepted: %s", a.route.Prefix, a.route.Detail)
		for _, r := range a.routes {
			if r.Prefix.Bits() > a.route.Prefix.Bits() {
				s.Sentence += fmt.Sprintf("; the longer %s is refused (%s)", r.Prefix, r.Verdict)
			}
		}
		a.add(s)
	default:
		s.Result, s.Reason, s.Sentence = status.StepFailed, a.best.Verdict, a.best.Detail
		if a.best.Verdict == "" {
			s.Reason, s.Sentence = "NotAnnounced", fmt.Sprintf("nobody announces %s any more", a.best.Prefix)
		}
		s.Remedy = a.verdictRemedy(a.best)
		a.add(s)
	}
}

// choice tells which paths are used, and what decided against the others.
func (a *account) choice() {
	s := status.Step{Name: status.StepChoice, Result: status.StepOK}
	used, waiting := 0, ""
	for _, r := range slices.Backward(a.routes) {
		for _, p := range a.explainPaths(r) {
			if p.Used {
				used++
			}
			if strings.HasPrefix(p.Decided, "waiting") {
				waiting = "; a better one is held back: " + p.Peer
			}
			s.Paths = append(s.Paths, p)
		}
	}
	switch {
	case a.route == nil:
		s.Result, s.Sentence = status.StepSkipped, "no path may be used"
	case used == 0 && a.route.Verdict != "":
		s.Result, s.Reason, s.Sentence = status.StepFailed, a.unusable(), fmt.Sprintf("no path to %s can be used", a.route.Prefix)+optional(": ", a.route.Kernel.Reason, "")
		s.Remedy = a.verdictRemedy(a.route)
	case used == 1:
		s.Sentence = "one path is used" + waiting
	default:
		s.Sentence = fmt.Sprintf("%d equal paths are used side by side", used) + waiting
	}
	a.add(s)
}

// unusable is why an accepted prefix has no path that is used.
func (a *account) unusable() string {
	for _, p := range a.route.Paths {
		if !p.Accepted {
			return p.Verdict
		}
	}
	return "NoPath"
}

// explainPaths tells all paths to a prefix: those that were judged, and those that lost before.
func (a *account) explainPaths(r *status.Route) (out []status.ExplainedPath) {
	all := a.all[r.Prefix]
	find := func(p status.Path) int {
		return slices.IndexFunc(all, func(c bgp.Candidate) bool {
			return a.view.path(&c.Path, ipam.Verdict{}).Peer == p.Peer && c.NextHop == p.NextHop
		})
	}
	best := -1
	for _, p := range r.Paths {
		x := status.ExplainedPath{Prefix: r.Prefix, Path: p}
		at := find(p)
		switch {
		case !p.Accepted:
			x.Decided, x.Key = p.Verdict, a.keyOf(p)
		case r != a.route:
			x.Decided = cmp.Or(unless(r.Accepted, r.Verdict), "a longer prefix leads")
		case !slices.Contains(r.Kernel.NextHops, p.NextHop) && r.Kernel.Status == status.Installed:
			x.Decided, x.Key = fmt.Sprintf("beyond the %d next hops of a route", a.config.Kernel.MaxNextHops), "kernel.maxNextHops"
		default:
			x.Used = true
			if best < 0 || at >= 0 && at < best {
				best = at
			}
		}
		out = append(out, x)
	}
	for i := range all {
		c := &all[i]
		if slices.ContainsFunc(r.Paths, func(p status.Path) bool { return find(p) == i }) {
			continue
		}
		v := a.view.judge(r.Prefix, &c.Path)
		x := status.ExplainedPath{Prefix: r.Prefix, Path: a.view.path(&c.Path, v)}
		x.Decided, x.Key = a.decided(c, v, all, best)
		if !v.Accepted {
			x.Key = a.keyOf(x.Path)
		}
		out = append(out, x)
	}
	return out
}

func unless(no bool, s string) string {
	if no {
		return ""
	}
	return s
}

// decided says what decided against a path that was not looked at any closer.
func (a *account) decided(c *bgp.Candidate, v ipam.Verdict, all []bgp.Candidate, best int) (why, key string) {
	if !v.Accepted || best < 0 {
		return string(v.Reason), ""
	}
	if step, values := c.Loses(all[best]); step != bgp.ByNothing {
		return fmt.Sprintf("%s: %s", step, values), ""
	}
	if c.LocalPref > all[best].LocalPref {
		return fmt.Sprintf("waiting: it is better, and is used when it has been there for %s", a.config.BGP.Preference.Hold), "bgp.preference.hold"
	}
	return "it has just come, or has the next hop of another", ""
}
