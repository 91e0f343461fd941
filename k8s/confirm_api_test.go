package k8s_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s"
)

// soon is a ConfirmAfter for tests: long enough to see what is before it, on a busy machine too.
const soon = 8 * time.Second

// keeps fails the test if PodCIDRs answers anything else for the time of a part of soon, or Problem does not name what is
// in doubt.
func keeps(t *testing.T, n *k8s.Node, doubted string, want ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		problem := n.Stats().Problem
		return problem != nil && strings.Contains(problem.Error(), "pod CIDRs "+doubted+" are gone from the Node")
	}, time.Minute, 20*time.Millisecond)
	for end := time.Now().Add(soon / 8); time.Now().Before(end); {
		found, err := n.PodCIDRs()
		require.NoError(t, err)
		require.Equal(t, parsed(want...), found)
		select {
		case <-n.Changed():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestWhatTheAPITakesAwayIsConfirmed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "reborn", quick)
	f.confirm = soon
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")

	f.delete()
	keeps(t, n, "10.10.1.0/24, fd00:10:0:1::/64", "10.10.1.0/24", "fd00:10:0:1::/64")
	require.False(t, n.Stats().NodeExists)
	f.create() // a kubelet registers anew; its CIDRs come later
	keeps(t, n, "10.10.1.0/24, fd00:10:0:1::/64", "10.10.1.0/24", "fd00:10:0:1::/64")
	f.patch(`{"spec":{"podCIDR":"10.10.9.0/24","podCIDRs":["10.10.9.0/24","fd00:10:0:1::/64"]}}`)
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.9.0/24", "fd00:10:0:1::/64") // the new one beside the old one
	cidrsBecome(t, n, "10.10.9.0/24", "fd00:10:0:1::/64")
	require.NoError(t, n.Stats().Problem)

	f.delete()
	keeps(t, n, "10.10.9.0/24, fd00:10:0:1::/64", "10.10.9.0/24", "fd00:10:0:1::/64")
	cidrsBecome(t, n) // none, and no error: it is known
	require.NoError(t, n.Stats().Problem)
	require.True(t, n.Stats().Synced)
	f.create("10.10.3.0/24")
	cidrsBecome(t, n, "10.10.3.0/24")
}

func TestADeletionThatIsUndoneChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "oops", quick)
	f.confirm = soon
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	f.delete()
	require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	f.create("10.10.1.0/24", "fd00:10:0:1::/64")
	require.Eventually(t, func() bool { return n.Stats().Problem == nil }, time.Minute, 20*time.Millisecond)
	require.Empty(t, n.Changed())
	require.Never(t, func() bool { return len(n.Changed()) > 0 }, soon+soon/2, 50*time.Millisecond)
}

func TestACordonedNodeKeepsItsPodCIDRs(t *testing.T) {
	f := newFixture(t, "cordoned", quick)
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	f.patch(`{"spec":{"unschedulable":true,"taints":[{"key":"node.kubernetes.io/unschedulable","effect":"NoSchedule"},` +
		`{"key":"node.kubernetes.io/unreachable","effect":"NoExecute"}]}}`)
	f.patch(`{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown"}]}}`, "status")
	n.Publish(report("10.20.0.0/16")) // its write comes after what the watch has to show
	require.NoError(t, f.quiet(n).Problem)
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	require.Empty(t, n.Changed())
}

// get says that a request is the reading past every cache.
func get(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/api/v1/nodes/") && r.URL.RawQuery == ""
}

func TestNothingIsGivenUpWithoutAnAnswer(t *testing.T) {
	for i, row := range []struct {
		name   string
		answer func(*http.Request) *http.Response
	}{
		{"a broken connection", func(*http.Request) *http.Response { return nil }},
		{"403 rights that were taken away", answer(403)},
		{"404 of something that is not Kubernetes", answer(404)},
		{"404 in plain text", answer(404, "Content-Type", "text/plain")},
		{"429 too many requests", answer(429)},
		{"500 an error inside", answer(500)},
		{"504 a timeout in front of it", answer(504)},
		{"200 a login page", html},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "unanswered-"+string(rune('a'+i)), quick)
			f.confirm = soon
			var asked atomic.Int32
			g := &gate{}
			n := f.agent(g.wrap)
			g.answer(func(r *http.Request) *http.Response {
				if get(r) {
					asked.Add(1)
					return row.answer(r)
				}
				return g.pass(r)
			})
			f.run(n)
			cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
			require.Zero(t, asked.Load(), "nothing is in doubt")
			f.delete()
			require.Eventually(t, func() bool { return asked.Load() > 2 }, time.Minute, 20*time.Millisecond)
			problem := n.Stats().Problem
			require.ErrorContains(t, problem, "are gone from the Node")
			require.ErrorContains(t, problem, "read node "+f.name)
			require.Empty(t, n.Changed())
			cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
			g.answer(nil)
			cidrsBecome(t, n)
			require.NoError(t, n.Stats().Problem)
		})
	}
}

// pass lets a request through.
func (g *gate) pass(r *http.Request) *http.Response {
	response, err := g.next.RoundTrip(r)
	if err != nil {
		return nil
	}
	return response
}

func TestACacheThatLagsIsNotBelieved(t *testing.T) {
	f := newFixture(t, "lagging", quick)
	f.confirm = soon
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	// A watch cache that is empty: the list has no Node, the store has.
	g.answer(func(r *http.Request) *http.Response {
		if r.Method == http.MethodGet && !get(r) {
			query := r.URL.Query()
			query.Set("fieldSelector", "metadata.name=somebody-else")
			r.URL.RawQuery = query.Encode()
		}
		return g.pass(r)
	})
	f.server.Stop() // cuts the watch
	require.NoError(t, f.server.Resume(t.Context()))
	require.Eventually(t, func() bool { return !n.Stats().NodeExists || n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	for end := time.Now().Add(soon + soon/2); time.Now().Before(end); {
		found, err := n.PodCIDRs()
		require.NoError(t, err)
		require.Equal(t, parsed("10.10.1.0/24", "fd00:10:0:1::/64"), found)
		require.Empty(t, n.Changed())
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestWhatAnEarlierRunHadIsConfirmedToo(t *testing.T) {
	t.Parallel()
	t.Run("a Node that was made again while the agent was away", func(t *testing.T) {
		f := newFixture(t, "returned", quick)
		f.confirm, f.had = soon, parsed("10.10.7.0/24", "fd00:10:0:1::/64")
		n := f.agent(nil)
		found, err := n.PodCIDRs()
		require.ErrorIs(t, err, k8s.ErrNotSynced)
		require.Equal(t, f.had, found)
		f.run(n)
		cidrsBecome(t, n, "10.10.1.0/24", "10.10.7.0/24", "fd00:10:0:1::/64")
		keeps(t, n, "10.10.7.0/24", "10.10.1.0/24", "10.10.7.0/24", "fd00:10:0:1::/64")
		cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	})
	t.Run("a Node that was deleted", func(t *testing.T) {
		f := newFixture(t, "departed", quick)
		f.delete()
		f.confirm, f.had = soon, parsed("10.10.7.0/24")
		n, _ := f.start()
		require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
		found, err := n.PodCIDRs()
		require.ErrorIs(t, err, k8s.ErrNotSynced)
		require.Equal(t, f.had, found)
		cidrsBecome(t, n)
	})
}

func TestAStoreThatIsRestoredFromABackup(t *testing.T) {
	t.Parallel()
	f := fixtureOn(t, ownAPI(t), "restored", quick)
	f.confirm = soon
	n, _ := f.start()
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	require.NoError(t, f.server.Backup(t.Context()))
	require.Eventually(t, func() bool { return n.Stats().Problem == nil }, time.Minute, 10*time.Millisecond)

	for i := range 20 { // versions of a future that will not have been
		n.Publish(report("10.20.0.0/16", []string{"10.30.0.0/16", "10.31.0.0/16"}[i%2]))
		f.quiet(n)
	}
	require.NoError(t, f.server.Restore(t.Context()))
	f.says("10.20.0.0/16", "10.31.0.0/16") // the same Node, older: it is told again
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	writes := f.quiet(n).Writes
	require.Never(t, func() bool { return n.Stats().Writes > writes }, 2*soon, 50*time.Millisecond)

	f.delete()
	f.create("10.10.9.0/24")
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.9.0/24", "fd00:10:0:1::/64")
	cidrsBecome(t, n, "10.10.9.0/24")
	require.NoError(t, f.server.Restore(t.Context())) // another Node now
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.9.0/24", "fd00:10:0:1::/64")
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	n.Publish(report("10.40.0.0/16"))
	f.says("10.40.0.0/16")
	require.Eventually(t, func() bool { return n.Stats().Problem == nil && !n.Stats().Pending }, time.Minute, 10*time.Millisecond)
}

// refused is the transport of an agent that sees no other failure than a connection
// refused: client-go's reflector goes on at the version it had then.
type refused struct{ http.RoundTripper }

func (r refused) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
	if err != nil && request.Context().Err() == nil {
		return nil, syscall.ECONNREFUSED
	}
	return response, err
}

func TestAStoreOfThePastIsNoticedThoughItsWatchIsSilent(t *testing.T) {
	t.Parallel()
	pace := quick
	pace.Renew = time.Hour // nothing but the watch speaks with the API
	f := fixtureOn(t, ownAPI(t), "silent", pace)
	f.confirm = soon
	n := f.agent(func(rt http.RoundTripper) http.RoundTripper { return refused{rt} })
	f.run(n)
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	require.NoError(t, f.server.Backup(t.Context()))
	for range 20 { // versions of a future that will not have been
		f.patch(`{"metadata":{"labels":{"a":"b"}}}`)
		f.patch(`{"metadata":{"labels":{"a":"c"}}}`)
	}
	f.delete()
	f.create("10.10.9.0/24")
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.9.0/24", "fd00:10:0:1::/64")
	cidrsBecome(t, n, "10.10.9.0/24")
	require.NoError(t, f.server.Restore(t.Context()))
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.9.0/24", "fd00:10:0:1::/64")
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
}

// line is every connection of an agent; frozen, nothing goes in or out any more and nothing breaks: a firewall that
// forgot it, a router that lost power.
type line struct {
	mu    sync.Mutex // guards all below
	conns []*lineConn
}

type lineConn struct {
	net.Conn
	frozen atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (l *line) dial(config *rest.Config) {
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &lineConn{Conn: conn, closed: make(chan struct{})}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, c)
		return c, nil
	}
}

// freeze stops what is connected now; new connections work.
func (l *line) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.frozen.Store(true)
	}
}

func (c *lineConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.frozen.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *lineConn) Write(b []byte) (int, error) {
	if c.frozen.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *lineConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func TestAConnectionThatFallsSilentIsReplaced(t *testing.T) {
	// client-go's own probes, sooner than after 30 s.
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	f := newFixture(t, "silent", quick)
	f.confirm = soon
	var l line
	l.dial(f.rest)
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	l.freeze()
	f.delete()
	f.create("10.10.5.0/24", "fd00:10:0:1::/64")
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.5.0/24", "fd00:10:0:1::/64")
	cidrsBecome(t, n, "10.10.5.0/24", "fd00:10:0:1::/64")
}
