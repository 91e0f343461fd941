package k8s

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// counter is the Node as its publisher sees it.
type counter struct{ n *Node }

func (n *Node) desk() desk { return counter{n} }

func (d counter) wanted() wanted {
	d.n.mu.Lock()
	defer d.n.mu.Unlock()
	return wanted{report: d.n.report, number: d.n.number, urgent: d.n.urgent > d.n.published}
}

func (d counter) live() *live {
	d.n.mu.Lock()
	defer d.n.mu.Unlock()
	return d.n.current
}

func (d counter) outcome(w wanted, pending bool, err error) {
	d.n.mu.Lock()
	defer d.n.mu.Unlock()
	switch {
	case !pending:
		d.n.published, d.n.pendingSince, d.n.stats.Pending = w.number, time.Time{}, false
		if !d.n.stats.Published {
			poke(d.n.vouch)
		}
		d.n.stats.Published = true
		d.n.problem(publishing, err)
	case err != nil:
		d.n.problem(publishing, err)
		fallthrough
	default:
		d.n.stats.Pending = true
		if d.n.pendingSince.IsZero() {
			d.n.pendingSince = time.Now()
		}
	}
}

func (d counter) apply(ctx context.Context, c *content, since time.Time) error {
	n := d.n
	body, err := applyBody(n.name, c, since)
	if err != nil {
		return fmt.Errorf("encode node %s: %w", n.name, err)
	}
	node, err := n.write(ctx, types.ApplyPatchType, body)
	if err != nil {
		return err
	}
	if err := n.removeOthers(ctx, newLive(node), c); err != nil {
		return err
	}
	n.mu.Lock()
	repair := n.last == c
	n.last = c
	if repair {
		n.stats.Repairs++
	}
	n.mu.Unlock()
	if repair {
		n.log.WithField("node", n.name).Warn("the Node no longer said what was written; written again")
	}
	return nil
}

// removeOthers removes keys of the contract that we do not want and never wrote:
// they stay after an apply and would contradict the rest.
func (n *Node) removeOthers(ctx context.Context, node *live, c *content) error {
	extra := map[string]any{}
	for key := range node.annotations {
		if _, wanted := c.annotations[key]; !wanted {
			extra[key] = nil
		}
	}
	if len(extra) == 0 {
		return nil
	}
	patch := map[string]any{"metadata": map[string]any{"annotations": extra}}
	_, err := n.write(ctx, types.MergePatchType, []byte(encodeJSON(patch)))
	return err
}

// write sends one patch, counts it and takes the Node it answers with.
func (n *Node) write(ctx context.Context, kind types.PatchType, body []byte) (*corev1.Node, error) {
	node, err := n.client.patchStatus(ctx, n.name, kind, body)
	n.mu.Lock()
	if err != nil {
		n.stats.WriteErrors++
	} else {
		n.stats.Writes++
		n.stats.LastWrite = time.Now()
		n.contact()
	}
	n.mu.Unlock()
	if err == nil {
		n.observe(node)
	}
	return node, err
}

// Withdraw takes all that underlayd ever wrote off the Node and deletes its
// Lease; what is not there is no error. It is for cleaning up after the agent is
// gone: a running one would write it again. Run need not run.
func (n *Node) Withdraw(ctx context.Context) error {
	return errors.Join(n.withdrawNode(ctx), n.client.deleteLease(ctx, n.namespace, annotation.LeaseName(n.name)))
}

func (n *Node) withdrawNode(ctx context.Context) error {
	body, err := applyBody(n.name, nil, time.Time{})
	if err != nil {
		return fmt.Errorf("encode node %s: %w", n.name, err)
	}
	node, err := n.client.patchStatus(ctx, n.name, types.ApplyPatchType, body)
	if err == nil && !newLive(node).clean() {
		// Somebody else wrote some of it last and owns it now.
		_, err = n.client.patchStatus(ctx, n.name, types.StrategicMergePatchType, removeBody())
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
