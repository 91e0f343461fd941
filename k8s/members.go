package k8s

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
)

// MembersConfig is what Members need. REST and Log are required.
type MembersConfig struct {
	REST      *rest.Config // from Connect; not changed
	Selection Selection    // until Select says another one
	Log       logrus.FieldLogger
	// Known are the Nodes that an earlier run knew last.
	Known []Member
	// ConfirmAfter is how long a Node that is gone stays a member, since it may have been
	// deleted only to be made again; zero: 30 s.
	ConfirmAfter time.Duration
	Pace         Pace
}

// Member is what matters of a Node to those that want to reach it.
type Member struct {
	Name string `json:"name"`
	// Addresses are its InternalIPs, of both families, sorted.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Hub       bool         `json:"hub,omitempty"` // see Selection
}

func (m Member) equal(other Member) bool {
	return m.Name == other.Name && m.Hub == other.Hub && slices.Equal(m.Addresses, other.Addresses)
}

// Members follows the Nodes of the cluster, all or some. Unlike Node it costs what there
// are Nodes: a list at the start, and a watch that shows the change of any of them. So it
// is for the few agents that need it. Of each Node it keeps the name and the addresses.
// All methods may be called from any goroutine; Run must run for any of them to have
// effect.
type Members struct {
	log      logrus.FieldLogger
	client   *client
	after    time.Duration
	pace     Pace
	changed  chan struct{}
	wake     chan struct{} // for Run: somebody is gone
	selected chan struct{} // for Run: the selection is another one

	mu        sync.Mutex // guards all below
	selection Selection
	hubs      labels.Selector // of selection
	known     map[string]seenMember
	synced    bool
	problem   error
}

type seenMember struct {
	Member
	gone time.Time // since when the API does not show it; zero: it does
}

// NewMembers makes Members; it sends nothing. An error means an unusable config.
func NewMembers(config MembersConfig) (*Members, error) {
	if config.REST == nil || config.Log == nil {
		return nil, errors.New("kubernetes: REST and Log are required")
	}
	hubs, err := config.Selection.parse()
	if err != nil {
		return nil, err
	}
	client, err := newClient(config.REST)
	if err != nil {
		return nil, err
	}
	m := &Members{
		log: config.Log, client: client, after: config.ConfirmAfter, pace: config.Pace.withDefaults(),
		selection: config.Selection, hubs: hubs,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), selected: make(chan struct{}, 1),
		known: make(map[string]seenMember, len(config.Known)),
	}
	if m.after <= 0 {
		m.after = defaultConfirmAfter
	}
	for _, known := range config.Known {
		m.known[known.Name] = seenMember{Member: known}
	}
	return m, nil
}

// List returns the Nodes, sorted by name, the agent's own among them. Until the API has
// answered the error is ErrMembersUnknown, with those of an earlier run beside it. While
// the API does not answer nobody is given up. The result must not be changed.
func (m *Members) List() ([]Member, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Member, 0, len(m.known))
	for _, known := range m.known {
		list = append(list, known.Member)
	}
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	if !m.synced {
		return list, ErrMembersUnknown
	}
	return list, nil
}

// ErrMembersUnknown says that the API has not listed its Nodes yet.
var ErrMembersUnknown = errors.New("nodes not listed yet")

// Changed has a value after List may answer differently. It holds one value at most, is
// never closed and has one reader.
func (m *Members) Changed() <-chan struct{} { return m.changed }

// Problem is why the Nodes can't be followed at present; nil if they can.
func (m *Members) Problem() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problem
}

// Run follows the Nodes until ctx ends, then returns nil. It is called once.
func (m *Members) Run(ctx context.Context) error {
	defer m.client.http.CloseIdleConnections()
	var parts sync.WaitGroup
	parts.Go(func() { m.watch(ctx) })
	parts.Go(func() { m.forget(ctx) })
	parts.Wait()
	return nil
}

// answered notes whether the API does, and logs each turn once.
func (m *Members) answered(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.problem
	m.problem = err
	switch {
	case err != nil && before == nil:
		m.log.WithError(err).Warn("Nodes of this cluster: can't be followed, will be tried again; those known stay")
		poke(m.changed)
	case err == nil && before != nil:
		m.log.Info("Nodes of this cluster: followed again")
		poke(m.changed)
	}
}

// forget gives up the Nodes that have been gone for long enough.
func (m *Members) forget(ctx context.Context) {
	inTurns(ctx, m.wake, func(context.Context) time.Duration { return m.forgetNow(time.Now()) })
}

// forgetNow returns how long nobody else is to be given up.
func (m *Members) forgetNow(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := idle
	for name, known := range m.known {
		switch left := m.after - now.Sub(known.gone); {
		case known.gone.IsZero():
		case left > 0:
			next = min(next, left)
		default:
			delete(m.known, name)
			m.log.WithField("node", name).Info("Node is gone")
			poke(m.changed)
		}
	}
	return next
}

// take notes a Node. The caller holds mu.
func (m *Members) take(node *corev1.Node) {
	next := seenMember{Member: Member{Name: node.Name, Addresses: internalAddresses(node), Hub: m.hubs.Matches(labels.Set(node.Labels))}}
	before, had := m.known[node.Name]
	if len(next.Addresses) == 0 && len(before.Addresses) > 0 {
		// A kubelet that starts may not know them for a moment.
		next.Addresses = before.Addresses
	}
	m.known[node.Name] = next
	if !had || !before.equal(next.Member) {
		poke(m.changed)
	}
}

// miss notes that a Node is not shown. The caller holds mu.
func (m *Members) miss(name string, now time.Time) {
	if known, had := m.known[name]; had && known.gone.IsZero() {
		known.gone = now
		m.known[name] = known
		poke(m.wake)
	}
}

func internalAddresses(node *corev1.Node) []netip.Addr {
	var out []netip.Addr
	for _, a := range node.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		if address, err := netip.ParseAddr(a.Address); err == nil && address.Zone() == "" {
			out = append(out, address.Unmap())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// memberStore receives what the reflector learns, one call at a time.
type memberStore struct{ m *Members }

func (s memberStore) Add(object any) error { return s.Update(object) }
func (s memberStore) Resync() error        { return nil }

func (s memberStore) Update(object any) error {
	node, ok := object.(*corev1.Node)
	if !ok {
		return errors.New("not a Node")
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.take(node)
	return nil
}

func (s memberStore) Delete(object any) error {
	node, ok := object.(*corev1.Node)
	if !ok {
		return errors.New("not a Node")
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.miss(node.Name, time.Now())
	return nil
}

// Replace takes the whole list.
func (s memberStore) Replace(objects []any, _ string) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	shown := make(map[string]bool, len(objects))
	for _, object := range objects {
		if node, ok := object.(*corev1.Node); ok {
			shown[node.Name] = true
			s.m.take(node)
		}
	}
	now := time.Now()
	for name := range maps.Keys(s.m.known) {
		if !shown[name] {
			s.m.miss(name, now)
		}
	}
	if !s.m.synced {
		s.m.synced = true
		poke(s.m.changed)
	}
	return nil
}
