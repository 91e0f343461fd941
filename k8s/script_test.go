package k8s

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
)

// script is a Node and an API in memory, for the pace alone: it may fail, and it
// remembers when each write came. Whether the API likes what is written is the
// real API's to say, in the other tests.
type script struct {
	t     *testing.T
	pace  Pace
	start time.Time
	wake  chan struct{}
	back  chan struct{}

	mu     sync.Mutex // guards all below
	want   wanted
	node   *live
	fail   func() error
	alter  func(*live) // what becomes of a write
	writes []string
	since  []time.Time
	errs   int
	done   uint64
	why    error // of the last outcome
}

func (s *script) wanted() wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want
}

func (s *script) live() *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

func (s *script) outcome(w wanted, pending bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !pending && w.number == s.want.number {
		s.want.urgent, s.done = false, w.number
	}
	if s.why = err; err != nil {
		s.errs++
	}
}

func (s *script) apply(_ context.Context, c *content, since time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return err
		}
	}
	s.show(c, since)
	if s.alter != nil {
		s.alter(s.node)
	}
	s.writes = append(s.writes, fmt.Sprintf("%v %s", time.Since(s.start), c.annotations["underlayd.io/remote-cidrs"]))
	s.since = append(s.since, since)
	return nil
}

// show makes the Node carry a content. The caller holds mu.
func (s *script) show(c *content, since time.Time) {
	node := testNode("n")
	if s.node != nil {
		node.UID = types.UID(s.node.uid)
	}
	node.Annotations = maps.Clone(c.annotations)
	node.Status.Conditions = testCondition(c, since)
	s.node = newLive(node)
	for key := range c.annotations {
		s.node.owned[key] = true
	}
}

// publish reports n /24s as routed.
func (s *script) publish(n int, change ...func(*Report)) {
	r := testReport(n)
	for _, f := range change {
		f(&r)
	}
	s.mu.Lock()
	s.want = wanted{report: &r, number: s.want.number + 1, urgent: s.want.urgent || r.Urgent}
	s.mu.Unlock()
	poke(s.wake)
}

func (s *script) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

// at waits for the n-th write and returns when it came.
func (s *script) at(n int) time.Duration {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return len(s.written()) >= n }, time.Minute, 10*time.Millisecond, "%v", s.written())
	at, err := time.ParseDuration(timesOf(s.written())[n-1])
	require.NoError(s.t, err)
	return at
}

// inBubble runs a publisher over a Node that says already that n /24s are routed. It leaves nothing to chance.
func inBubble(t *testing.T, n int, body func(*script)) {
	t.Helper()
	pace := Pace{}.withDefaults()
	pace.Spread = 0
	inBubbleWith(t, pace, n, body)
}

func inBubbleWith(t *testing.T, pace Pace, n int, body func(*script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, pace: pace, start: time.Now(), wake: make(chan struct{}, 1), back: make(chan struct{}, 1)}
		r := testReport(n)
		s.show(render(&r), s.start.Add(-time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { newPublisher(s, pace).run(ctx, s.wake, s.back) })
		body(s)
		cancel()
		running.Wait()
	})
}

// sum names the routed /24s as the script's log does.
func sum(n int) string { return render(new(testReport(n))).annotations["underlayd.io/remote-cidrs"] }

func lines(pairs ...any) []string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, fmt.Sprintf("%v %s", pairs[i], sum(pairs[i+1].(int))))
	}
	return out
}

func (s *script) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = func() error { return err }
}

func (s *script) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs
}

func timesOf(lines []string) []string {
	var out []string
	for _, line := range lines {
		out = append(out, strings.Fields(line)[0])
	}
	return out
}

// testReport says that n /24s, no two of them adjacent, are routed.
func testReport(n int) Report {
	r := Report{Cluster: "east", Ready: True, Reason: ReasonRoutesInstalled, Message: "all routes installed"}
	for i := range n {
		r.RemoteCIDRs = append(r.RemoteCIDRs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 7), byte(i << 1), 0}), 24))
	}
	return r
}
