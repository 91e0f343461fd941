package k8s

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ErrLabelsUnknown says that the API has not shown the Node yet, and so neither its
// labels. It never comes back.
var ErrLabelsUnknown = errors.New("labels of the Node not known")

// labelBelief is what is held to be the Node's labels. Those that are set and those that are
// removed are believed at once. But a Node that is made again, by a kubelet whose Node
// was deleted, has for a while only what the kubelet gives it: what it had besides,
// from a cloud or from people, stays until a second reading. It is a value with no clock
// of its own; Node's mutex guards it.
type labelBelief struct {
	all   map[string]string // never changed, only replaced
	shown bool              // by the API, in this run
	of    string            // the UID of the Node whose labels they are
	since time.Time         // since when another Node lacks some of them; zero: none does
}

// take takes the labels of a Node and says whether they are others than before.
// Confirmed is as belief.read has it.
func (l *labelBelief) take(node *corev1.Node, now time.Time, confirmed time.Duration) bool {
	next := make(map[string]string, len(node.Labels))
	maps.Copy(next, node.Labels)
	missing := l.missing(node)
	if l.since.IsZero() && len(missing) > 0 {
		l.since = now
	}
	if len(missing) == 0 || confirmed > 0 && now.Sub(l.since) >= confirmed {
		l.of, l.since = string(node.UID), time.Time{}
	} else {
		for _, key := range missing {
			next[key] = l.all[key]
		}
	}
	if l.shown && maps.Equal(next, l.all) {
		return false
	}
	l.all, l.shown = next, true
	return true
}

// missing are the labels that a Node which was made again does not have, sorted.
func (l *labelBelief) missing(node *corev1.Node) []string {
	if !l.shown || l.of == string(node.UID) {
		return nil
	}
	var keys []string
	for key := range l.all {
		if _, has := node.Labels[key]; !has {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// due returns when the next reading past every cache is to be, zero when none is.
func (l *labelBelief) due(after time.Duration) time.Time {
	if l.since.IsZero() {
		return time.Time{}
	}
	return l.since.Add(after)
}

// Labels returns the Node's labels, as the watch that shows its pod CIDRs shows them;
// never nil once they are known. Until then the error is ErrLabelsUnknown, with those of
// Config beside it. A Node that is gone keeps those it had, and one that is made again
// those that it lacks until a second reading, Config.ConfirmAfter later: what depends on
// them must not go and come with it. The result must not be changed.
func (n *Node) Labels() (map[string]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.labels.shown {
		return n.labels.all, fmt.Errorf("node %s: %w", n.name, ErrLabelsUnknown)
	}
	return n.labels.all, nil
}

// takeLabels notes the labels of a Node that is there, and says whether they are others
// than before. The caller holds mu.
func (n *Node) takeLabels(node *corev1.Node, confirmed time.Duration) bool {
	before := n.labels.since
	others := n.labels.take(node, time.Now(), confirmed)
	if n.labels.since.IsZero() {
		return others
	}
	if before.IsZero() {
		n.log.WithField("node", n.name).WithField("labels", strings.Join(n.labels.missing(node), ", ")).
			Warn("the Node was made again without labels that it had: kept until a second reading confirms it")
	}
	poke(n.doubtful)
	return others
}
