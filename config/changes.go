package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Effect is what it takes for a changed key to have effect.
type Effect int

// The effects, from the least to the greatest disturbance.
const (
	Live         Effect = iota // at once
	ResetsPeer                 // with new sessions to the peers concerned, and to no others
	NeedsRestart               // when the daemon is started again
)

// String returns the name of the effect, as in logs.
func (e Effect) String() string {
	switch e {
	case ResetsPeer:
		return "ResetsPeer"
	case NeedsRestart:
		return "NeedsRestart"
	}
	return "Live"
}

func (e Effect) inWords() string {
	switch e {
	case ResetsPeer:
		return "resets the sessions concerned"
	case NeedsRestart:
		return "needs a restart"
	}
	return "works at once"
}

// Change is one difference between two configurations.
type Change struct {
	// Path names elements of lists: bgp.peers[tor-a].asn. For a peer or cluster that is new or gone, it ends
	// there: bgp.peers[tor-a].
	Path     string
	Old, New string // as text; empty: not there
	Effect   Effect
	Peers    []string // the names of the peers whose sessions are reset, sorted
}

// String returns "bgp.holdTime: 90s to 9s (ResetsPeer tor-a tor-b)".
func (c Change) String() string {
	s := c.Path + ": " + orNothing(c.Old) + " to " + orNothing(c.New) + " (" + c.Effect.String()
	return strings.Join(append([]string{s}, c.Peers...), " ") + ")"
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// Changes lists what differs between two configurations that Parse made, in the order of the keys, what is
// gone last. Two equal ones have no changes, whatever the order of their peers and clusters. A peer that is
// new or gone is Live: no other session is touched by it. A peer counts as the same as long as its name is.
func Changes(old, new *Config) []Change {
	before, after := flatten(old), flatten(new)
	effects := make(map[string]Effect)
	for _, k := range Keys() {
		effects[k.Path] = k.Effect
	}
	var all []Change
	said := make(map[string]bool)
	for _, path := range append(after.paths, before.paths...) {
		was, had := before.text[path]
		is, has := after.text[path]
		element := path[:strings.Index(path, "]")+1]
		if had && has && was == is || said[path] || said[element] {
			continue // the same, or told before, maybe as that of a whole element
		}
		said[path] = true
		change := Change{Path: path, Old: was, New: is, Effect: effects[anyElement(path)]}
		if change.Effect == ResetsPeer {
			change.Peers = concerned(path, old, new)
			if len(change.Peers) == 0 {
				change.Effect = Live
			}
		}
		all = append(all, change)
	}
	return all
}

// concerned returns the peers that a changed key of the speaker or of a peer reaches: of those in both
// configurations, the one it belongs to, or all that have no value of their own.
func concerned(path string, old, new *Config) []string {
	var peers []string
	for _, p := range new.BGP.Peers {
		kept := slices.ContainsFunc(old.BGP.Peers, func(o Peer) bool { return o.Name == p.Name })
		own := strings.HasPrefix(path, "bgp.peers["+p.Name+"].")
		all := !strings.HasPrefix(path, "bgp.peers[") && (path != "bgp.holdTime" || p.HoldTime == 0) &&
			(path != "bgp.reflector.clusterID" || p.Client)
		if kept && (own || all) {
			peers = append(peers, p.Name)
		}
	}
	slices.Sort(peers)
	return peers
}

// flat is a configuration as texts by path, elements of lists by name.
type flat struct {
	paths []string // in the order of the keys
	text  map[string]string
}

func flatten(c *Config) flat {
	f := flat{text: make(map[string]string)}
	f.add("", writeFields(c, grammar()))
	return f
}

func (f *flat) set(path, text string) {
	f.paths = append(f.paths, path)
	f.text[path] = text
}

func (f *flat) add(path string, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			f.add(join(path, n.Content[i].Value), n.Content[i+1])
		}
	case yaml.SequenceNode:
		var items []string
		for _, item := range n.Content {
			if item.Kind == yaml.MappingNode {
				name := item.Content[1].Value // name comes first, in peers and in clusters
				f.set(path+"["+name+"]", name)
				f.add(path+"["+name+"]", item)
				continue
			}
			items = append(items, item.Value)
		}
		f.set(path, strings.Join(items, ", "))
	default:
		f.set(path, n.Value)
	}
}

// anyElement turns bgp.peers[tor-a].asn into bgp.peers[].asn.
func anyElement(path string) string {
	before, rest, found := strings.Cut(path, "[")
	if !found {
		return path
	}
	_, after, _ := strings.Cut(rest, "]")
	return before + "[]" + after
}
