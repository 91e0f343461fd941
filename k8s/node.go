package k8s

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
// comes back once they were known. That a Node had pod CIDRs and has none any more
// is known.
var ErrNotSynced = errors.New("pod CIDRs not known")

// Config is what a Node needs. REST, NodeName and Log are required.
type Config struct {
	REST     *rest.Config // from Connect; not changed
	NodeName string
	Log      logrus.FieldLogger
	// LeaseNamespace is where the Lease lives; empty: annotation.LeaseNamespace.
	LeaseNamespace string
	// PodCIDRs are those that an earlier run last had. They are given up like any
	// others: when the API has said twice that they are not the Node's.
	PodCIDRs []netip.Prefix
	// Source is where pod CIDRs are read; empty: SourceNode.
	Source Source
	// Labels are those that an earlier run last knew; nil: it knew none, or there was
	// no such run. Not changed.
	Labels map[string]string
	// AnnotationKeys are those of the Node's annotations that people set for the agent.
	AnnotationKeys []string
	// Annotations are those that an earlier run last knew, as Labels.
	Annotations map[string]string
	// ConfirmAfter is how long after the API has taken pod CIDRs away it is asked once
	// more, before that is believed; zero: 30 s.
	ConfirmAfter time.Duration
	// StartupTaint has the taint annotation.StartupTaint taken off the Node when a
	// Report is Synced. It takes a right that the manifests' base does not give.
	StartupTaint bool
	Pace         Pace
}

const defaultConfirmAfter = 30 * time.Second

// Node is the agent's own Node: it is read, and it says what the agent reports.
// All methods may be called from any goroutine; Run must run for any of them to
// have effect.
type Node struct {
	name, namespace string
	log             logrus.FieldLogger
	client          *client
	pace            Pace
	changed         chan struct{} // for the owner: pod CIDRs, labels or annotations
	shown           chan struct{} // closed when annotations are
	heard           []string      // annotations that people set for us
	wake            chan struct{} // for the publisher: report or Node
	back            chan struct{} // for the publisher: the API answers again
	vouch           chan struct{} // for the Lease: the Node says what it should
	doubtful        chan struct{} // for the confirmer: pod CIDRs or versions went back
	news            chan struct{} // for the recorder: report or Node
	untaint         chan struct{} // for the untainter: report or Node; nil: it is not asked for
	confirmAfter    time.Duration
	kinds           []*kindWatch // of objects that hold pod CIDRs
	looks           *looks       // for them

	mu sync.Mutex // guards all below

	// apart is when the API came back last: the watches of kinds may be ahead of its store. Zero: they were held against it.
	apart               time.Time
	source              Source              // as configured
	chosen              Source              // that is used; empty: none yet
	facts               map[Source]evidence // of each source
	belief              belief
	labels, annotations metadataBelief
	current             *live    // nil: unknown or deleted
	seen                uint64   // how often the API showed the Node, or its absence
	last                *content // of the last write

	report            *Report
	number            uint64 // of report
	urgent, published uint64 // number of the last urgent report; of the last one settled
	pendingSince      time.Time
	synced            bool // a report was

	stats    Stats
	problems [sources]error // by source
}

// New makes a Node; it sends nothing. An error means an unusable Config.
func New(config Config) (*Node, error) {
	if config.REST == nil || config.NodeName == "" || config.Log == nil {
		return nil, errors.New("kubernetes: REST, NodeName and Log are required")
	}
	if config.Source == "" {
		config.Source = SourceNode
	}
	if !config.Source.Valid() {
		return nil, fmt.Errorf("kubernetes: no such source of pod CIDRs: %q", config.Source)
	}
	client, err := newClient(config.REST)
	if err != nil {
		return nil, err
	}
	n := &Node{
		name: config.NodeName, namespace: config.LeaseNamespace, log: config.Log,
		client: client, pace: config.Pace.withDefaults(),
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), shown: make(chan struct{}), heard: config.AnnotationKeys,
		back: make(chan struct{}, 1), vouch: make(chan struct{}, 1),
		news: make(chan struct{}, 1), doubtful: make(chan struct{}, 1), confirmAfter: config.ConfirmAfter,
		source: config.Source, facts: map[Source]evidence{},
	}
	n.looks = newLooks(client, n.pace.Discover)
	n.kinds = []*kindWatch{newKindWatch(n, blockAffinities()), newKindWatch(n, ciliumNodes())}
	n.labels = metadataBelief{what: "labels", all: config.Labels}
	n.annotations = metadataBelief{what: "annotations", all: config.Annotations}
	n.belief.cidrs = slices.Clone(config.PodCIDRs)
	slices.SortFunc(n.belief.cidrs, comparePrefix)
	n.belief.from = map[netip.Prefix]Source{}
	for _, prefix := range n.belief.cidrs {
		n.belief.from[prefix] = SourceLastRun
	}
	n.belief.err = fmt.Errorf("not read from the API yet: %w", ErrNotSynced)
	if n.confirmAfter <= 0 {
		n.confirmAfter = defaultConfirmAfter
	}
	if config.StartupTaint {
		n.untaint = make(chan struct{}, 1)
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
	parts.Go(func() { newConfirmer(n, n.confirmAfter).run(ctx, n.doubtful) })
	for _, k := range n.kinds {
		parts.Go(func() { k.run(ctx) })
	}
	parts.Go(func() { newRecorder(n).run(ctx, n.news) })
	if n.untaint != nil {
		parts.Go(func() { newUntainter(n).run(ctx, n.untaint) })
	}
	parts.Wait()
	return nil
}

// PodCIDRs returns the Node's pod CIDRs, both families, masked and sorted. Until
// they are known the error is ErrNotSynced, with those of Config beside it. Any
// other error names entries that are no CIDR, and the others are returned beside
// it. New ones come at once. Those that the API no longer names, since the Node is
// deleted, made again or changed, stay until a second reading, Config.ConfirmAfter
// later and not from a cache, does not name them either; Stats.Problem names them
// meanwhile. As long as the API does not answer nothing is given up.
func (n *Node) PodCIDRs() ([]netip.Prefix, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.belief.err != nil {
		return slices.Clone(n.belief.cidrs), fmt.Errorf("node %s: %w", n.name, n.belief.err)
	}
	return slices.Clone(n.belief.cidrs), nil
}

// Changed has a value after PodCIDRs, Labels or Annotations may answer differently. It holds one
// value at most and is never closed; it has one reader.
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
	n.synced = n.synced || r.Synced
	n.mu.Unlock()
	poke(n.wake)
	poke(n.news)
	poke(n.untaint)
}

// observe takes a Node as the watch or the answer to a write shows it, nil when there
// is none.
func (n *Node) observe(node *corev1.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outdated(node) {
		n.mistrust()
		return
	}
	n.take(node, 0)
}

// take makes a Node the current one; confirmed is as belief.read has it. The caller
// holds mu.
func (n *Node) take(node *corev1.Node, confirmed time.Duration) {
	n.seen++
	n.stats.NodeExists = node != nil
	if n.current == nil {
		poke(n.news) // Events waited for it
	}
	n.current = nil
	if node != nil {
		if n.takeMetadata(node, confirmed) {
			poke(n.changed)
		}
		n.current = newLive(node)
	}
	maps.Copy(n.facts, nodeEvidence(node))
	n.settle(confirmed)
	poke(n.wake)
	poke(n.untaint)
}

// outdated reports whether a Node is an older version of the one before. The watch runs
// some milliseconds behind our own writes; it can be behind by more at an API server
// that lags; and versions go back for good when the store is restored from a backup.
// A reading past every cache tells: what it shows is true.
func (n *Node) outdated(node *corev1.Node) bool {
	if node == nil || n.current == nil || n.current.uid != string(node.UID) {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(node.ResourceVersion, n.current.version)
	return err == nil && order < 0
}

// mistrust has the Node read once more, past every cache. The caller holds mu.
func (n *Node) mistrust() {
	n.belief.mistrust(time.Now())
	poke(n.doubtful)
}

// poke puts a value into a channel of one; into nil it does nothing.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
