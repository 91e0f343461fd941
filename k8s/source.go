package k8s

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Source is where the Node's pod CIDRs are read.
type Source string

// The sources. SourceAuto is for Config and SetSource alone.
const (
	// SourceAuto is the first of the others that shows something for this Node: Calico,
	// whose blocks exist only where pods got addresses of them, then those that are
	// assigned beforehand, and in the end SourceNode.
	SourceAuto       Source = "auto"
	SourceNode       Source = "node"        // Node.spec.podCIDRs
	SourceCalico     Source = "calico"      // the confirmed BlockAffinities of the Node
	SourceCilium     Source = "cilium"      // the CiliumNode of that name
	SourceOVN        Source = "ovn"         // OVN-Kubernetes' annotation of the Node
	SourceKubeRouter Source = "kube-router" // kube-router's annotations of the Node, then SourceNode
	// SourceStatic is for Config and SetSource too: pod CIDRs are said elsewhere, and nothing
	// but the Node is read.
	SourceStatic Source = "static"
	// SourceLastRun is that of pod CIDRs which the API has not named yet in this run.
	SourceLastRun Source = "last run"
)

// precedence is the order in which SourceAuto asks. The last one needs no evidence.
func precedence() []Source {
	return []Source{SourceCalico, SourceCilium, SourceOVN, SourceKubeRouter, SourceNode}
}

// Valid reports whether a Config may have the source.
func (s Source) Valid() bool {
	return s == SourceAuto || s == SourceStatic || slices.Contains(precedence(), s)
}

// candidates are the sources to ask, in order, for what is configured.
func (s Source) candidates() []Source {
	switch s {
	case SourceAuto:
		return precedence()
	case SourceKubeRouter:
		return []Source{SourceKubeRouter, SourceNode} // as kube-router does
	case SourceStatic:
		return []Source{SourceNode}
	default:
		return []Source{s}
	}
}

// place says where a source's pod CIDRs stand, for sentences.
func (s Source) place() string {
	switch s {
	case SourceCalico:
		return "Calico's blocks of the Node"
	case SourceCilium:
		return "the CiliumNode"
	case SourceOVN:
		return "the Node's annotation " + ovnSubnets
	case SourceKubeRouter:
		return "the Node's annotations of kube-router"
	default:
		return "the Node"
	}
}

// evidence is what a source shows of this Node.
type evidence struct {
	reading reading
	known   bool // the API has answered
	refused bool // the API refuses to answer
}

func none(s Source, why string) evidence {
	return evidence{reading: reading{source: s, none: why}, known: true}
}

// shows says whether there is something for this Node, be it odd.
func (e evidence) shows() bool { return len(e.reading.cidrs) > 0 || e.reading.err != nil }

// choice is the source that is used, with what it says.
type choice struct {
	source  Source
	reading reading
}

// decide returns the choice for what is configured. The error says what has to be known
// first. A source that is refused is passed over by SourceAuto: what it might show can't be
// known, and the rest of the cluster must not wait for it.
func decide(configured Source, facts map[Source]evidence) (choice, error) {
	candidates := configured.candidates()
	for i, s := range candidates {
		fact, last := facts[s], i == len(candidates)-1
		switch {
		case fact.refused && !last:
			continue
		case fact.refused:
			return choice{}, fmt.Errorf("%s can't be read", s.place())
		case !fact.known:
			return choice{}, fmt.Errorf("%s: not read from the API yet", s.place())
		case fact.shows() || last:
			return choice{s, fact.reading}, nil
		}
	}
	return choice{}, errors.New("no source")
}

// settled returns the choice that follows an earlier one. A source is left for one that comes
// later in the order only by a reading past every cache: the loss of all that a source had is
// no reason yet to advertise something else.
func settled(configured, before Source, facts map[Source]evidence, confirmed bool) (choice, error) {
	next, err := decide(configured, facts)
	if err != nil || confirmed {
		return next, err
	}
	order := configured.candidates()
	if at := slices.Index(order, before); at >= 0 && at < slices.Index(order, next.source) && facts[before].known {
		return choice{before, facts[before].reading}, nil
	}
	return next, nil
}

// disagreement says which pods of the Node have addresses that are not advertised, by what
// other sources show than the one that is used; empty: by none. That Node.spec.podCIDRs is
// not used, as with a CNI that has an IPAM of its own, is no disagreement. What is assigned
// beforehand, and may be unused too, counts where nobody has said which source is right.
func disagreement(configured, used Source, facts map[Source]evidence, held []netip.Prefix) string {
	var others []string
	if configured == SourceStatic {
		return ""
	}
	for _, s := range precedence() {
		if s == used || s == SourceNode || s != SourceCalico && configured != SourceAuto && used != SourceNode {
			continue
		}
		if missing := uncovered(facts[s].reading.cidrs, held); len(missing) > 0 {
			others = append(others, few(missing)+" of "+s.place()+" (source "+string(s)+")")
		}
	}
	if len(others) == 0 {
		return ""
	}
	return fmt.Sprintf("%s are not advertised, since pod CIDRs are those of %s (source %s): pods with such addresses can't be reached",
		strings.Join(others, ", and "), used.place(), used)
}

// uncovered returns those of a list that no prefix of another covers.
func uncovered(list, by []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, prefix := range list {
		if !slices.ContainsFunc(by, func(b netip.Prefix) bool { return b.Bits() <= prefix.Bits() && b.Contains(prefix.Addr()) }) {
			out = append(out, prefix)
		}
	}
	return out
}

// few names the first prefixes of a list.
func few(list []netip.Prefix) string {
	const named = 4
	if len(list) <= named {
		return join(list)
	}
	return fmt.Sprintf("%s and %d more", join(list[:named]), len(list)-named)
}
