package k8s

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// confirmer reads the Node a second time when the API took pod CIDRs away, showed an
// older Node than before or another one that lacks labels or annotations, or was away. One goroutine
// owns it.
type confirmer struct {
	n       *Node
	after   time.Duration
	backoff backoff
}

func newConfirmer(n *Node, after time.Duration) *confirmer {
	// A tenth of jitter: what takes the CIDRs of one node away may take those of all.
	after += rand.N(after/10 + 1) //nolint:gosec // spreading load needs no secrecy
	return &confirmer{n: n, after: after, backoff: backoff{max: n.pace.MaxBackoff}}
}

// run works until ctx ends. A value on doubtful says that there may be something to
// confirm.
func (c *confirmer) run(ctx context.Context, doubtful <-chan struct{}) {
	inTurns(ctx, doubtful, c.step)
}

// step reads the Node if that is due and returns how long nothing will be.
func (c *confirmer) step(ctx context.Context) time.Duration {
	due, seen := c.n.unconfirmed(c.after)
	if due.IsZero() {
		c.backoff.reset()
		return idle
	}
	if wait := time.Until(latest(due, c.backoff.until)); wait > 0 {
		return wait
	}
	node, err := c.n.client.getNode(ctx, c.n.name)
	if ctx.Err() != nil {
		return idle
	}
	if isAbsent(err, c.n.name) {
		node, err = nil, nil
	}
	var facts map[Source]evidence
	if err == nil {
		facts, err = c.kinds(ctx)
	}
	if ctx.Err() != nil {
		return idle
	}
	if err != nil {
		c.backoff.failed(time.Now(), retryAfter(err))
		c.n.unread(fmt.Errorf("read node %s: %w", c.n.name, err))
		return time.Until(c.backoff.until)
	}
	c.backoff.reset()
	c.n.confirm(second{node, facts}, seen, c.after)
	return 0
}

// second is a reading past every cache: the Node, nil when there is none, and what the kinds
// that were read again show.
type second struct {
	node  *corev1.Node
	facts map[Source]evidence
}

// kinds reads the objects that pod CIDRs may come from, if some are in doubt. If there may be
// another store it only has those watches begin anew that are ahead of it: to read all of
// some thousand objects on each node after each outage of the API would be an outage by itself.
func (c *confirmer) kinds(ctx context.Context) (map[Source]evidence, error) {
	facts := map[Source]evidence{}
	again, doubts, apart := c.n.asked()
	for _, k := range again {
		if doubts {
			fact, err := k.readAgain(ctx)
			if err != nil {
				return nil, err
			}
			facts[k.source] = fact
		}
		if doubts && apart.IsZero() {
			continue
		}
		behind, err := k.behind(ctx)
		if err != nil {
			return nil, err
		}
		if behind {
			poke(k.wake)
		}
	}
	c.n.together(apart)
	return facts, nil
}

// asked returns the kinds whose objects decide about pod CIDRs and can be read, and whether pod
// CIDRs are in doubt, and since when watches may be ahead of the store.
func (n *Node) asked() (again []*kindWatch, doubts bool, apart time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range n.kinds {
		if fact := n.facts[k.source]; slices.Contains(n.source.candidates(), k.source) && fact.known {
			again = append(again, k)
		}
	}
	return again, len(n.belief.doubts) > 0, n.apart
}

// together notes that the watches were held against the store, unless the API was away again meanwhile.
func (n *Node) together(apart time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.apart.Equal(apart) {
		n.apart = time.Time{}
	}
}

// isAbsent reports whether an error is the API's own word that there is no such Node.
// A proxy, or a server that is not Kubernetes, says 404 too.
func isAbsent(err error, name string) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "nodes" && details.Name == name && len(details.Causes) == 0
}

// unconfirmed returns when the Node is to be read once more, zero if not at all, and
// how often it was seen so far.
func (n *Node) unconfirmed(after time.Duration) (time.Time, uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	due := n.belief.due(after)
	strayed := n.apart
	if !strayed.IsZero() {
		strayed = strayed.Add(after)
	}
	for _, other := range []time.Time{n.labels.due(after), n.annotations.due(after), strayed} {
		if due.IsZero() || !other.IsZero() && other.Before(due) {
			due = other
		}
	}
	if due.IsZero() { // the watch settled it
		n.problem(confirming, nil)
	}
	return due, n.seen
}

// unread notes that the second reading failed: what is in doubt stays in doubt.
func (n *Node) unread(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.problem(confirming, err)
}

// confirm takes a reading past every cache. If a watch showed something else meanwhile, that
// may be newer, and the next reading decides.
func (n *Node) confirm(r second, seen uint64, after time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.problem(confirming, nil)
	n.contact()
	if n.seen == seen {
		maps.Copy(n.facts, r.facts)
		n.take(r.node, after)
	}
}
