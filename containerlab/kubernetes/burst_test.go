package kubernetes

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// flaps are so many prefixes of west's range that no two of can be aggregated.
func flaps(count int) []netip.Prefix {
	var prefixes []netip.Prefix
	for i := range count {
		prefixes = append(prefixes, netip.PrefixFrom(addr("10.20.%d.%d", 128+i/8, i%8*32), 28))
	}
	return prefixes
}

// flap makes the fabric announce prefixes, or withdraw them, in steps of 50.
func (w *world) flap(t *testing.T, announce bool, prefixes []netip.Prefix) {
	t.Helper()
	for chunk := range slices.Chunk(prefixes, 50) {
		lines := []string{"router bgp 65000", "no bgp network import-check", "address-family ipv4 unicast"}
		for _, p := range chunk {
			line := "network " + p.String()
			if !announce {
				line = "no " + line
			}
			lines = append(lines, line)
		}
		require.NoError(t, w.vtysh(t.Context(), lines...))
	}
}

// writeWatch counts the writes on a Node as the API server shows them to anybody.
type writeWatch struct {
	events watch.Interface
	done   sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	writes []time.Time
	broken string
}

// watchWrites counts the writes on a Node from now to the end of the test.
func (w *world) watchWrites(t *testing.T, node string) *writeWatch {
	t.Helper()
	events, err := w.nodes(node).Watch(t.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + node, ResourceVersion: w.get(t, node).ResourceVersion,
	})
	require.NoError(t, err)
	c := &writeWatch{events: events}
	t.Cleanup(func() {
		events.Stop()
		c.done.Wait()
	})
	c.done.Go(func() {
		for e := range events.ResultChan() {
			c.mu.Lock()
			if _, ok := e.Object.(*corev1.Node); ok && e.Type == watch.Modified {
				c.writes = append(c.writes, time.Now())
			} else {
				c.broken = fmt.Sprintf("%s %+v", e.Type, e.Object)
			}
			c.mu.Unlock()
		}
	})
	return c
}

func (c *writeWatch) count(t *testing.T) int {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Empty(t, c.broken)
	return len(c.writes)
}

// allowed is how many writes on a Node a span of time may see: one per 10 s, and three more for routes that are lost.
func allowed(span time.Duration) int { return int(span/(10*time.Second)) + 3 + 1 }

// burst flaps 500 routes, then leaves them there for a while: more than a Node's annotations hold in full.
func (w *world) burst(t *testing.T) {
	prefixes := flaps(500)
	writes := w.watchWrites(t, "east-1")
	kernel := watchRoutes(t, w.Node("east-1"))
	start := time.Now()
	r := w.changes(t, kernel, prefixes)
	w.told(t, "east-1")
	t.Logf("1,000 route changes in %s: %d writes on the Node", r, writes.count(t))
	require.LessOrEqual(t, writes.count(t), allowed(time.Since(start)))

	w.flap(t, true, prefixes)
	w.pods["west-1"] = append(w.pods["west-1"], prefixes...)
	w.routed(t, "east-1", "east-2")
	w.crowded(t)
	w.flap(t, false, prefixes)
	w.pods["west-1"] = placeOf("west-1").pods
	w.routed(t, "east-1", "east-2")
	lost := time.Now()
	w.told(t, "east-1")
	t.Logf("the loss of 500 routes stood on the Node %s later", time.Since(lost).Round(time.Millisecond))
	w.settled(t)
	count, span := writes.count(t), time.Since(start)
	t.Logf("2,000 route changes in %s: %d writes on the Node", span.Round(time.Second), count)
	require.LessOrEqual(t, count, allowed(span))
}

// changes announces prefixes and withdraws them, and returns how long it took until the kernel had seen them all.
func (w *world) changes(t *testing.T, kernel *routeWatch, prefixes []netip.Prefix) time.Duration {
	t.Helper()
	mark, start := kernel.mark(), time.Now()
	w.flap(t, true, prefixes)
	kernel.await(t, mark, false, prefixes...)
	w.flap(t, false, prefixes)
	return kernel.await(t, mark, true, prefixes...).Sub(start).Round(time.Millisecond)
}

// crowded waits until Node east-1 says that it has 500 more routes than usual, though it can't say each of them twice.
func (w *world) crowded(t *testing.T) {
	t.Helper()
	until(t, "Node east-1 to say it has many routes", func(ctx context.Context) error {
		node, err := w.nodes("east-1").Get(ctx, "east-1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		said, err := annotation.Parse(node.Annotations)
		if err != nil {
			return err
		}
		if !slices.Equal(said.RemoteCIDRs, union(w.remote("east-1"))) {
			return fmt.Errorf("it says %d", len(said.RemoteCIDRs))
		}
		require.True(t, said.Complete)
		require.NotZero(t, said.Truncated)
		require.True(t, said.Clusters[0].Omitted)
		yes, _ := said.Routable(netip.MustParseAddr("10.20.128.33"))
		require.Equal(t, annotation.Yes, yes)
		no, _ := said.Routable(netip.MustParseAddr("10.20.128.17"))
		require.Equal(t, annotation.No, no)
		return nil
	})
}
