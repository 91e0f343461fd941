package k8s

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ErrLabelsUnknown and ErrAnnotationsUnknown say that the API has not shown the Node yet,
// and so neither what it says. They never come back.
var (
	ErrLabelsUnknown      = errors.New("labels of the Node not known")
	ErrAnnotationsUnknown = errors.New("annotations of the Node not known")
)

// metadataBelief is what is held to be the Node's labels, or the annotations that people
// set on it. Those that are set and those that are removed are believed at once. But a
// Node that is made again, by a kubelet whose Node was deleted, has for a while only what
// the kubelet gives it: what it had besides, from a cloud or from people, stays until a
// second reading. It is a value with no clock of its own; Node's mutex guards it.
type metadataBelief struct {
	what  string            // labels or annotations
	all   map[string]string // never changed, only replaced
	shown bool              // by the API, in this run
	of    string            // the UID of the Node that says so
	since time.Time         // since when another Node lacks some of them; zero: none does
}

// take takes what a Node with a UID says and tells whether it is something else than
// before. The map is the belief's then. Confirmed is as belief.read has it.
func (l *metadataBelief) take(uid string, next map[string]string, now time.Time, confirmed time.Duration) bool {
	missing := l.missing(uid, next)
	if l.since.IsZero() && len(missing) > 0 {
		l.since = now
	}
	if len(missing) == 0 || confirmed > 0 && now.Sub(l.since) >= confirmed {
		l.of, l.since = uid, time.Time{}
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

// missing are the keys that a Node which was made again does not have, sorted.
func (l *metadataBelief) missing(uid string, next map[string]string) []string {
	if !l.shown || l.of == uid {
		return nil
	}
	var keys []string
	for key := range l.all {
		if _, has := next[key]; !has {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// due returns when the next reading past every cache is to be, zero when none is.
func (l *metadataBelief) due(after time.Duration) time.Time {
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

// Annotations returns those of Config.AnnotationKeys that the Node has; they come and go
// like Labels. They are people's: nothing here ever writes one.
func (n *Node) Annotations() (map[string]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.annotations.shown {
		return n.annotations.all, fmt.Errorf("node %s: %w", n.name, ErrAnnotationsUnknown)
	}
	return n.annotations.all, nil
}

// AwaitAnnotations returns when the API has shown the Node's annotations, or with ctx.
func (n *Node) AwaitAnnotations(ctx context.Context) {
	select {
	case <-n.shown:
	case <-ctx.Done():
	}
}

// takeMetadata notes the labels and annotations of a Node that is there, and says whether
// they are others than before. The caller holds mu.
func (n *Node) takeMetadata(node *corev1.Node, confirmed time.Duration) bool {
	labels := make(map[string]string, len(node.Labels))
	maps.Copy(labels, node.Labels)
	heard := map[string]string{}
	for _, key := range n.heard {
		if value, has := node.Annotations[key]; has {
			heard[key] = value
		}
	}
	uid := string(node.UID)
	others := n.takeOne(&n.labels, uid, labels, confirmed)
	if !n.annotations.shown {
		close(n.shown)
	}
	return n.takeOne(&n.annotations, uid, heard, confirmed) || others
}

func (n *Node) takeOne(l *metadataBelief, uid string, next map[string]string, confirmed time.Duration) bool {
	before := l.since
	missing := l.missing(uid, next)
	others := l.take(uid, next, time.Now(), confirmed)
	if l.since.IsZero() {
		return others
	}
	if before.IsZero() {
		n.log.WithField("node", n.name).WithField(l.what, strings.Join(missing, ", ")).
			Warn("the Node was made again without " + l.what + " that it had: kept until a second reading confirms it")
	}
	poke(n.doubtful)
	return others
}
