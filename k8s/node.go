package k8s

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// ErrNotSynced says that the Node's pod CIDRs are not known: the API has not
// answered yet, there is no such Node, or it has none assigned so far. It never
// comes back once they were known.
var ErrNotSynced = errors.New("pod CIDRs not known")

// Config is what a Node needs. REST, NodeName and Log are required.
type Config struct {
	REST     *rest.Config // from Connect; not changed
	NodeName string
	Log      logrus.FieldLogger
	// LeaseNamespace is where the Lease lives; empty: annotation.LeaseNamespace.
	LeaseNamespace string
	Pace           Pace
}

// Node is the agent's own Node: it is read, and it says what the agent reports.
// All methods may be called from any goroutine; Run must run for any of them to
// have effect.
type Node struct {
	name, namespace string
	log             logrus.FieldLogger
	client          *client
	pace            Pace
	changed         chan struct{} // for the owner: pod CIDRs
	wake            chan struct{} // for the publisher: report or Node
	back            chan struct{} // for the publisher: the API answers again
	vouch           chan struct{} // for the Lease: the Node says what it should

	mu sync.Mutex // guards all below

	cidrs    []netip.Prefix
	cidrsErr error
	current  *live     // nil: unknown or deleted
	written  time.Time // when current came from a write of ours; else zero
	last     *content  // of the last write

	report            *Report
	number            uint64 // of report
	urgent, published uint64 // number of the last urgent report; of the last one settled
	pendingSince      time.Time

	stats    Stats
	problems [3]error // by source: watch, publish, lease
}

// New makes a Node; it sends nothing. An error means an unusable Config.
func New(config Config) (*Node, error) {
	if config.REST == nil || config.NodeName == "" || config.Log == nil {
		return nil, errors.New("kubernetes: REST, NodeName and Log are required")
	}
	client, err := newClient(config.REST)
	if err != nil {
		return nil, err
	}
	n := &Node{
		name: config.NodeName, namespace: config.LeaseNamespace, log: config.Log,
		client: client, pace: config.Pace.withDefaults(),
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		back: make(chan struct{}, 1), vouch: make(chan struct{}, 1),
		cidrsErr: fmt.Errorf("node %s: not read from the API yet: %w", config.NodeName, ErrNotSynced),
	}
	if n.namespace == "" {
		n.namespace = annotation.LeaseNamespace
	}
	return n, nil
}

// Run watches the Node, writes reports and renews the Lease until ctx ends, then
// returns nil. Whatever the API does, it goes on. What is pending at the end is
// not written: a stopping agent leaves its routes, and so what the Node says, in
// place. It is called once.
func (n *Node) Run(ctx context.Context) error {
	defer n.client.http.CloseIdleConnections()
	var parts sync.WaitGroup
	parts.Go(func() { n.watch(ctx) })
	parts.Go(func() { newPublisher(n.desk(), n.pace).run(ctx, n.wake, n.back) })
	parts.Go(func() { newLease(n).run(ctx, n.vouch) })
	parts.Wait()
	return nil
}

// PodCIDRs returns the Node's pod CIDRs, both families, masked and sorted. Until
// they are known the error is ErrNotSynced. Any other error names entries that
// are no CIDR, and the others are returned beside it. When the Node is deleted,
// or made again without pod CIDRs, the last known ones stay: the node's pods
// still run.
func (n *Node) PodCIDRs() ([]netip.Prefix, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.cidrs), n.cidrsErr
}

// Changed has a value after PodCIDRs may answer differently. It holds one value
// at most and is never closed; it has one reader.
func (n *Node) Changed() <-chan struct{} { return n.changed }

// Publish makes r what the Node is to say; an earlier report that is not written
// yet is forgotten. It returns at once. Losing a remote CIDR, or Urgent, is
// written at once as far as Pace allows, all else coalesced; what the Node says
// already is not written at all. The slices of r must not be changed afterwards.
func (n *Node) Publish(r Report) {
	n.mu.Lock()
	n.report = &r
	n.number++
	if r.Urgent {
		n.urgent = n.number
	}
	n.mu.Unlock()
	poke(n.wake)
}

// assigned is one reading of the Node's pod CIDRs.
type assigned struct {
	prefixes []netip.Prefix
	err      error
}

func (a assigned) equal(b assigned) bool {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	return slices.Equal(a.prefixes, b.prefixes) && text(a.err) == text(b.err)
}

// observe takes a Node as the API shows it, nil when there is none. ours says
// that it is the answer to a write.
func (n *Node) observe(node *corev1.Node, ours bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := assigned{n.cidrs, n.cidrsErr}
	switch {
	case node == nil:
		n.current = nil
		n.stats.NodeExists = false
		n.unassigned("no such Node")
	case n.outdated(node):
		return
	default:
		n.current = newLive(node)
		n.written = time.Time{}
		if ours {
			n.written = time.Now()
		}
		n.stats.NodeExists = true
		if prefixes, err := podCIDRs(&node.Spec); len(prefixes) == 0 && err == nil {
			n.unassigned("no pod CIDRs assigned yet")
		} else {
			n.cidrs, n.cidrsErr, n.stats.Synced = prefixes, err, true
		}
	}
	if !before.equal(assigned{n.cidrs, n.cidrsErr}) {
		poke(n.changed)
	}
	poke(n.wake)
}

// unassigned notes that the Node names no pod CIDRs; known ones stay.
func (n *Node) unassigned(why string) {
	if !n.stats.Synced {
		n.cidrsErr = fmt.Errorf("node %s: %s: %w", n.name, why, ErrNotSynced)
	}
}

// outdated reports whether the watch shows a Node from before our last write; it
// runs behind by milliseconds. After half a minute it is believed again, since
// versions go back when the cluster's store is restored from a backup.
func (n *Node) outdated(node *corev1.Node) bool {
	if n.current == nil || n.current.uid != string(node.UID) || time.Since(n.written) > 30*time.Second {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(node.ResourceVersion, n.current.version)
	return err == nil && order < 0
}

// poke puts a value into a channel of one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
