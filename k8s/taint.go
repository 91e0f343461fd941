package k8s

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// untainter takes the startup taint off the Node once the node has its routes. It
// never puts one on: that is the kubelet's, when it registers the Node. One goroutine
// owns it.
type untainter struct {
	n       *Node
	backoff backoff
	last    time.Time // of the last patch: whoever puts the taint back sets no pace
}

func newUntainter(n *Node) *untainter {
	return &untainter{n: n, backoff: backoff{max: n.pace.MaxBackoff}}
}

// run works until ctx ends. A value on wake says that there may be something to do.
func (u *untainter) run(ctx context.Context, wake <-chan struct{}) {
	inTurns(ctx, wake, u.step)
}

// step takes one taint away if it is time, and returns how long nothing will be.
func (u *untainter) step(ctx context.Context) time.Duration {
	taint, ok := u.n.tainted()
	if !ok {
		u.backoff.reset()
		return idle
	}
	due := u.backoff.until
	if !u.last.IsZero() {
		due = latest(due, u.last.Add(u.n.pace.Floor))
	}
	if wait := time.Until(due); wait > 0 {
		return wait
	}
	u.last = time.Now()
	node, err := u.n.client.patchNode(ctx, u.n.name, types.JSONPatchType, []byte(taint.removal()))
	if ctx.Err() != nil {
		return idle
	}
	if err == nil {
		u.backoff.reset()
		u.n.log.WithField("node", u.n.name).Info("the node has its routes: startup taint removed")
		u.n.observe(node)
	} else {
		u.backoff.failed(time.Now(), retryAfter(err))
	}
	if apierrors.IsInvalid(err) { // the taints are others by now: the watch shows them soon
		err = nil
	}
	u.n.mu.Lock()
	defer u.n.mu.Unlock()
	u.n.problem(untainting, err)
	return 0
}

// placedTaint is the startup taint at its place in the list.
type placedTaint struct {
	index  int
	effect string
}

// startupTaint returns the last startup taint of a list; there may be one for each
// effect.
func startupTaint(taints []corev1.Taint) (placedTaint, bool) {
	for i, taint := range slices.Backward(taints) {
		if taint.Key == annotation.StartupTaint {
			return placedTaint{i, string(taint.Effect)}, true
		}
	}
	return placedTaint{}, false
}

// removal is a JSON patch (RFC 6902) that removes the taint if it is still at that
// place. Nothing else is named in it, so nothing else can be lost: when the list has
// moved, the tests fail and with them the patch.
func (p placedTaint) removal() string {
	place := fmt.Sprintf("/spec/taints/%d", p.index)
	return encodeJSON([]map[string]string{
		{"op": "test", "path": place + "/key", "value": annotation.StartupTaint},
		{"op": "test", "path": place + "/effect", "value": p.effect},
		{"op": "remove", "path": place},
	})
}

// tainted returns the startup taint that is to be taken away, false when there is
// none, or it is not to be touched yet.
func (n *Node) tainted() (placedTaint, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == nil || !n.synced {
		return placedTaint{}, false
	}
	if !n.current.tainted {
		n.problem(untainting, nil)
	}
	return n.current.taint, n.current.tainted
}
