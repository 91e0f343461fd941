package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity of a Problem.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // something that should work does not
	Warning Severity = "warning" // it works, but somebody should look
)

// Problem is one thing that is wrong, in words that a person can act on.
type Problem struct {
	Severity Severity  `json:"severity"`
	Subject  string    `json:"subject"` // what it is about: "peer tor-a", "cluster west", "configuration"
	Message  string    `json:"message"`
	Since    time.Time `json:"since,omitzero"`
}

// RouteSummary counts the routes. A route counts in every state it is in.
type RouteSummary struct {
	Total     int            `json:"total"`
	Accepted  int            `json:"accepted"`
	Refused   int            `json:"refused"`
	Installed int            `json:"installed"`
	Pending   int            `json:"pending"`
	Failed    int            `json:"failed"`
	Conflict  int            `json:"conflict"`
	Adopted   int            `json:"adopted"`
	Stale     int            `json:"stale"`
	PassedOn  int            `json:"passedOn,omitempty"`
	Refusals  map[string]int `json:"refusals,omitempty"` // by verdict
}

// examples is how many further prefixes a problem names after the one it explains.
const examples = 2

// finding gathers routes that have the same thing wrong with them.
type finding struct {
	severity Severity
	subject  string
	count    int
	why      string   // of the first
	named    []string // the first prefixes
}

func (f *finding) note(r *Route, why string) {
	if f.count++; f.count == 1 {
		f.why = mention(r, why)
	}
	if len(f.named) <= examples {
		f.named = append(f.named, r.Prefix.String())
	}
}

// add takes in the same finding of the routes that follow.
func (f *finding) add(next *finding) {
	if f.count == 0 {
		f.why = next.why
	}
	f.count += next.count
	f.named = append(f.named, next.named[:min(len(next.named), 1+examples-len(f.named))]...)
}

func mention(r *Route, why string) string {
	switch {
	case why == "":
		return r.Prefix.String()
	case strings.Contains(why, r.Prefix.String()): // the sentence names it already
		return why
	default:
		return r.Prefix.String() + ": " + why
	}
}

func (f *finding) problem() Problem {
	message := f.why
	if len(f.named) > 1 {
		message += "; likewise " + strings.Join(f.named[1:], ", ")
	}
	if more := f.count - len(f.named); more > 0 {
		message += fmt.Sprintf(" and %d more", more)
	}
	return Problem{Severity: f.severity, Subject: f.subject, Message: message}
}

// finish returns a copy of the snapshot with all that is derived from it and what was found of its routes: counts and
// problems.
func (s *Snapshot) finish(f findings) *Snapshot {
	out := *s
	out.APIVersion, out.Kind = APIVersion, KindStatus
	out.Routes = f.summary
	out.Sessions, out.Clusters, out.Advertised = list(s.Sessions), list(s.Clusters), list(s.Advertised)
	out.Problems = list(slices.Concat(s.Problems, s.ownProblems(), f.problems()))
	slices.SortStableFunc(out.Problems, func(a, b Problem) int { return cmp.Compare(a.Severity, b.Severity) })
	return &out
}

// list makes an empty list of none, so that JSON has [] and never null.
func list[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

func (f *findings) problems() []Problem {
	var out []Problem
	for _, g := range []*finding{&f.failed, &f.conflict} {
		if g.count > 0 {
			out = append(out, g.problem())
		}
	}
	for _, byVerdict := range []map[string]*finding{f.refused, f.paths} {
		for _, reason := range sortedKeys(byVerdict) {
			out = append(out, byVerdict[reason].problem())
		}
	}
	return out
}

// ownProblems are those that need no look at the routes.
func (s *Snapshot) ownProblems() []Problem {
	var out []Problem
	say := func(severity Severity, subject, format string, args ...any) {
		out = append(out, Problem{Severity: severity, Subject: subject, Message: fmt.Sprintf(format, args...)})
	}
	if s.ConfigProblem != "" {
		say(Error, "configuration", "the last reload was refused and the old configuration stays in force: %s", s.ConfigProblem)
	}
	for _, p := range s.Sessions {
		switch {
		case p.State != Established:
			out = append(out, p.problem())
		case p.BFD != nil && p.BFD.State != bfdUp:
			say(Warning, "peer "+p.Peer, "the session is established but its BFD session is %s: %s; a loss will be noticed by the hold time alone",
				p.BFD.State, cmp.Or(p.BFD.Problem, "is BFD configured at the peer?"))
		}
	}
	for _, c := range s.Clusters {
		if c.State == Unreachable || c.State == Partial {
			severity := map[ClusterState]Severity{Unreachable: Error, Partial: Warning}[c.State]
			say(severity, "cluster "+c.Name, "%s", strings.ToLower(string(c.State))+after(": ", c.Reason))
		}
	}
	for _, r := range s.NotAdvertised {
		say(Error, "pod CIDR", "%s is not advertised: %s", r.Prefix, cmp.Or(r.Detail, r.Reason))
	}
	switch {
	case len(s.Sessions) == 0:
		say(Warning, "configuration", "no peers are configured: nothing can be learned or advertised")
	case len(s.Clusters) == 0:
		say(Warning, "configuration", "no remote clusters are declared: everything learned is refused")
	}
	out = append(out, s.Gateway.problems()...)
	if len(s.Advertised) == 0 && !s.Gateway.tells() {
		why := "this node has none"
		if s.Kubernetes.Enabled && !s.Kubernetes.Synced {
			why = cmp.Or(s.Kubernetes.WaitingFor, "this node's object has not been read from the Kubernetes API yet")
		}
		say(Warning, "pod CIDR", "no pod CIDR is advertised: %s", why)
	}
	if s.Kubernetes.Disagreement != "" {
		say(Warning, "pod CIDR", "%s", s.Kubernetes.Disagreement)
	}
	if s.Kernel.LastError != "" {
		say(Warning, "kernel", "%s", s.Kernel.LastError)
	}
	if s.Kubernetes.LastError != "" {
		say(Warning, "kubernetes", "%s (routing is not affected)", s.Kubernetes.LastError)
	}
	return out
}

// bfdUp is the state of a BFD session that works.
const bfdUp = "Up"

func (p *Session) problem() Problem {
	return Problem{
		Severity: Error, Subject: "peer " + p.Peer, Since: p.Since,
		Message: fmt.Sprintf("the session with %s (AS %d) is not established but %s%s", p.where(), p.ASN, stateName(p.State), after(": ", p.LastError)),
	}
}

func after(separator, s string) string {
	if s == "" {
		return ""
	}
	return separator + s
}

// where is the address of a peer, or where it is looked for.
func (p Session) where() string {
	if !p.Address.IsValid() && p.Interface != "" {
		return "the neighbour on " + p.Interface
	}
	return text(p.Address)
}
