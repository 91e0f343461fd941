package k8s

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// lease renews the Node's Lease: the word that what the Node says is fresh. One
// goroutine owns it.
type lease struct {
	n       *Node
	stored  *coordinationv1.Lease // as last seen; nil: to be read
	backoff backoff
}

func newLease(n *Node) *lease { return &lease{n: n, backoff: backoff{max: n.pace.MaxBackoff}} }

// run renews until ctx ends, for the first time when now has a value. An agent
// that stops lets its Lease run out.
func (l *lease) run(ctx context.Context, now <-chan struct{}) {
	timer := time.NewTimer(l.n.pace.Renew)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-now:
		case <-timer.C:
		}
		timer.Reset(l.step(ctx))
	}
}

// step renews if the agent can vouch for the Node, and returns the time to the
// next step.
func (l *lease) step(ctx context.Context) time.Duration {
	// A tenth of jitter keeps nodes that started together from staying together.
	next := l.n.pace.Renew - rand.N(l.n.pace.Renew/10+1) //nolint:gosec // spreading load needs no secrecy
	uid, ok := l.n.vouches()
	if !ok {
		return next
	}
	err := l.renew(ctx, uid)
	if ctx.Err() != nil {
		return next
	}
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.n.problem(leasing, err)
	if err != nil {
		l.stored = nil // another writer, a deletion: read it again
		l.backoff.failed(time.Now(), retryAfter(err))
		return time.Until(l.backoff.until)
	}
	l.backoff.reset()
	l.n.stats.Renewals++
	l.n.contact()
	return next
}

// vouches returns the Node's UID, and whether what the Node says is what the
// agent means: it has been, and has not been otherwise for as long as the Lease
// lasts. Ordinary coalescing stays below that.
func (n *Node) vouches() (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	stale := !n.pendingSince.IsZero() && time.Since(n.pendingSince) > 4*n.pace.Renew
	if n.current == nil || !n.stats.Published || stale {
		return "", false
	}
	return n.current.uid, true
}

func (l *lease) renew(ctx context.Context, uid string) error {
	name := annotation.LeaseName(l.n.name)
	if l.stored == nil {
		stored, err := l.n.client.getLease(ctx, l.n.namespace, name)
		switch {
		case err == nil:
			l.stored = stored
		case apierrors.IsNotFound(err):
			l.stored = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: l.n.namespace, Name: name}}
		default:
			return fmt.Errorf("read lease %s/%s: %w", l.n.namespace, name, err)
		}
	}
	next := l.stored.DeepCopy()
	// The Lease goes with the Node.
	next.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: l.n.name, UID: types.UID(uid)}}
	seconds := int32((4*l.n.pace.Renew + time.Second - 1) / time.Second)
	now := metav1.NowMicro()
	next.Spec.HolderIdentity, next.Spec.LeaseDurationSeconds, next.Spec.RenewTime = &l.n.name, &seconds, &now
	if next.Spec.AcquireTime == nil {
		next.Spec.AcquireTime = &now
	}
	stored, err := l.n.client.putLease(ctx, next)
	if err != nil {
		return fmt.Errorf("renew lease %s/%s: %w", l.n.namespace, name, err)
	}
	l.stored = stored
	return nil
}
