package k8s_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s"
)

// crowd are Nodes of the API that carry the label crowd=NAME.
type crowd struct {
	*fixture
	label string
}

func newCrowd(t *testing.T, name string) *crowd {
	t.Helper()
	f := newFixture(t, name, quick) // its Node is not of the crowd
	return &crowd{f, name}
}

func (c *crowd) add(name string, addresses ...string) {
	c.t.Helper()
	nodes := c.server.Client().CoreV1().Nodes()
	node, err := nodes.Create(c.t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"crowd": c.label}},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	c.t.Cleanup(func() {
		err := nodes.Delete(context.Background(), name, metav1.DeleteOptions{})
		require.True(c.t, err == nil || apierrors.IsNotFound(err), "%v", err)
	})
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeExternalIP, Address: "203.0.113.1"}}
	for _, a := range addresses {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	_, err = nodes.UpdateStatus(c.t.Context(), node, metav1.UpdateOptions{})
	require.NoError(c.t, err)
}

func (c *crowd) remove(name string) {
	c.t.Helper()
	require.NoError(c.t, c.server.Client().CoreV1().Nodes().Delete(c.t.Context(), name, metav1.DeleteOptions{}))
}

// members makes Members with the rights of an agent, without running them.
func (c *crowd) members(change func(*k8s.MembersConfig)) *k8s.Members {
	c.t.Helper()
	config := k8s.MembersConfig{REST: c.rest, Selection: k8s.Selection{Nodes: "crowd=" + c.label}, Log: logger(c.t), Pace: quick, ConfirmAfter: soon}
	if change != nil {
		change(&config)
	}
	m, err := k8s.NewMembers(config)
	require.NoError(c.t, err)
	return m
}

func runMembers(t *testing.T, m *k8s.Members) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
}

func somebody(name string, addresses ...string) k8s.Member {
	m := k8s.Member{Name: name}
	for _, a := range addresses {
		m.Addresses = append(m.Addresses, netip.MustParseAddr(a))
	}
	return m
}

func logger(t *testing.T) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(testWriter{t})
	log.SetLevel(logrus.DebugLevel)
	return log
}

// membersBecome waits, by Changed alone, until List answers this.
func membersBecome(t *testing.T, m *k8s.Members, want ...k8s.Member) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		got, err := m.List()
		if err == nil && len(got) == len(want) && (len(got) == 0 || reflect.DeepEqual(want, got)) {
			return
		}
		select {
		case <-m.Changed():
		case <-deadline:
			require.FailNow(t, "members did not come", "want %v, have %v (%v)", want, got, err)
		}
	}
}

func TestTheNodesOfAClusterAreFollowed(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, "crowd")
	c.add("crowd-1", "192.168.7.1", "fd00:7::1")
	m := c.members(nil)
	_, err := m.List()
	require.ErrorIs(t, err, k8s.ErrMembersUnknown)
	runMembers(t, m)
	one := somebody("crowd-1", "192.168.7.1", "fd00:7::1")
	membersBecome(t, m, one)
	c.add("crowd-2", "192.168.7.2")
	membersBecome(t, m, one, somebody("crowd-2", "192.168.7.2"))

	start := time.Now()
	c.remove("crowd-2")
	membersBecome(t, m, one)
	require.GreaterOrEqual(t, time.Since(start), soon, "it may have been deleted only to be made again")
	c.add("crowd-3", "192.168.7.3")
	three := somebody("crowd-3", "192.168.7.3")
	membersBecome(t, m, one, three)
	c.remove("crowd-3")
	c.add("crowd-3", "192.168.7.3")
	require.Never(t, func() bool {
		got, err := m.List()
		return err != nil || !reflect.DeepEqual([]k8s.Member{one, three}, got)
	}, soon+soon/2, 20*time.Millisecond, "as this one was")
}

func TestNodesAreNotGivenUpWhileTheAPIIsAway(t *testing.T) {
	c := newCrowd(t, "away")
	c.add("away-1", "192.168.7.1")
	g := &gate{}
	before := []k8s.Member{somebody("away-1", "192.168.7.1"), somebody("away-2", "192.168.7.2")}
	m := c.members(func(config *k8s.MembersConfig) {
		config.Known, config.ConfirmAfter = before, time.Second
		config.REST.Wrap(g.wrap)
	})
	g.answer(answer(503))
	runMembers(t, m)
	require.Eventually(t, func() bool { return m.Problem() != nil }, time.Minute, 20*time.Millisecond)
	got, err := m.List()
	require.ErrorIs(t, err, k8s.ErrMembersUnknown)
	require.Equal(t, before, got, "those of the last run are known meanwhile")

	g.answer(nil)
	membersBecome(t, m, before[0])
	require.NoError(t, m.Problem())
	g.answer(func(*http.Request) *http.Response { return nil })
	c.server.Stop() // cuts the watch
	require.NoError(t, c.server.Resume(t.Context()))
	require.Eventually(t, func() bool { return m.Problem() != nil }, time.Minute, 20*time.Millisecond)
	require.Never(t, func() bool {
		got, err := m.List()
		return err != nil || len(got) != 1
	}, 1500*time.Millisecond, 10*time.Millisecond)
	c.add("away-3", "192.168.7.3")
	g.answer(nil)
	membersBecome(t, m, before[0], somebody("away-3", "192.168.7.3"))
}

func TestMembersNeedASelectorThatIsOne(t *testing.T) {
	c := newCrowd(t, "selector")
	for _, s := range []k8s.Selection{{Nodes: "a=b=c"}, {Hubs: "a=b=c"}} {
		_, err := k8s.NewMembers(k8s.MembersConfig{REST: c.rest, Selection: s, Log: logger(t)})
		require.ErrorContains(t, err, `selector "a=b=c"`)
		require.ErrorContains(t, c.members(nil).Select(s), `selector "a=b=c"`)
	}
}

// TestHubsAndTheOthers: one of three Nodes is a hub, and has all of them; the others ask for hubs alone, so that what
// happens to the rest costs them nothing.
func TestHubsAndTheOthers(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, "hubs")
	c.add("hubs-1", "192.168.7.1")
	c.add("hubs-2", "192.168.7.2")
	c.add("hubs-3", "192.168.7.3")
	c.mark("hubs-1", `"true"`)
	const hub = "example.org/hub=true"
	one, two, three := somebody("hubs-1", "192.168.7.1"), somebody("hubs-2", "192.168.7.2"), somebody("hubs-3", "192.168.7.3")
	one.Hub = true
	all, hubs := k8s.Selection{Nodes: "crowd=hubs", Hubs: hub}, k8s.Selection{Nodes: "crowd=hubs," + hub, Hubs: hub}
	api := &asked{}
	m := c.members(func(config *k8s.MembersConfig) {
		config.Selection = k8s.Selection{Nodes: "nobody=is"}
		config.REST.Wrap(api.wrap)
	})
	require.NoError(t, m.Select(hubs), "before it runs")
	runMembers(t, m)
	membersBecome(t, m, one)
	require.Equal(t, []string{"crowd=hubs," + hub}, api.selectors())

	require.NoError(t, m.Select(all))
	membersBecome(t, m, one, two, three)
	require.NoError(t, m.Select(all))
	c.mark("hubs-2", `"true"`)
	two.Hub = true
	membersBecome(t, m, one, two, three)
	c.mark("hubs-1", "null")
	one.Hub = false
	membersBecome(t, m, one, two, three)
	require.Equal(t, []string{"crowd=hubs," + hub, "crowd=hubs"}, api.selectors(), "the same selection is asked for once")

	require.NoError(t, m.Select(hubs))
	membersBecome(t, m, two)
	c.mark("hubs-3", `"true"`)
	three.Hub = true
	membersBecome(t, m, two, three)
}

// mark gives a Node the label of a hub, or takes it away with null.
func (c *crowd) mark(name, value string) {
	c.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"example.org/hub":%s}}}`, value)
	_, err := c.server.Client().CoreV1().Nodes().Patch(c.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(c.t, err)
}

// asked notes the label selectors that the API was asked for.
type asked struct {
	next http.RoundTripper
	mu   sync.Mutex // guards seen
	seen []string
}

// selectors are those asked for, one after the other.
func (a *asked) selectors() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Compact(slices.Clone(a.seen))
}

func (a *asked) wrap(next http.RoundTripper) http.RoundTripper {
	a.next = next
	return a
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.seen = append(a.seen, r.URL.Query().Get("labelSelector"))
	a.mu.Unlock()
	return a.next.RoundTrip(r)
}
