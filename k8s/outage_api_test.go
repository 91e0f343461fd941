package k8s_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/k8s"
)

// outage is how long the API is stopped: short here, and as long as
// UNDERLAYD_TEST_OUTAGE says where time is no matter.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("UNDERLAYD_TEST_OUTAGE")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

func TestAnOutageLosesNothing(t *testing.T) {
	f := newFixture(t, "outage", k8s.Pace{Coalesce: 200 * time.Millisecond, Interval: time.Second})
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	writes := f.quiet(n).Writes

	f.server.Stop()
	end := time.Now().Add(outage(t))
	for i := 0; time.Now().Before(end); i++ {
		n.Publish(report("10.20.0.0/16", fmt.Sprintf("10.21.%d.0/24", i%250)))
		cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
		require.Never(t, func() bool { return n.Stats().Writes > writes }, 50*time.Millisecond, 10*time.Millisecond)
	}
	n.Publish(report("10.30.0.0/16"))
	require.Eventually(t, func() bool { return n.Stats().WriteErrors > 0 && n.Stats().Pending }, time.Minute, 20*time.Millisecond)
	tries := n.Stats().WriteErrors

	require.NoError(t, f.server.Resume(t.Context()))
	back := time.Now()
	require.Eventually(t, func() bool { return !n.Stats().Pending }, time.Minute, 10*time.Millisecond)
	t.Logf("after an outage of %v: %d failed tries, the last value written %v after the API was back",
		outage(t), tries, time.Since(back).Round(10*time.Millisecond))
	f.says("10.30.0.0/16")
	require.Equal(t, writes+1, n.Stats().Writes, "the last value only")
	require.Eventually(t, func() bool { return n.Stats().Problem == nil }, time.Minute, 10*time.Millisecond, "the watch comes back too")
	f.patch(`{"metadata":{"annotations":{"underlayd.io/remote-cidrs":null}}}`)
	f.says("10.30.0.0/16")
}

func TestAnAPIThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	f := newFixture(t, "early", quick)
	f.server.Stop()
	n, _ := f.start()
	n.Publish(report("10.20.0.0/16"))
	require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	_, err := n.PodCIDRs()
	require.ErrorIs(t, err, k8s.ErrNotSynced)
	require.True(t, n.Stats().Pending)
	require.NoError(t, f.server.Resume(t.Context()))
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	f.says("10.20.0.0/16")
}

// answer is what an API, or something in front of it, may say instead.
func answer(code int, headers ...string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response {
		response := &http.Response{
			StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{},
		}
		for i := 0; i < len(headers); i += 2 {
			response.Header.Set(headers[i], headers[i+1])
		}
		// The API says no with a Status; its overload filter, and what stands in
		// front of it, in plain text.
		body := "no"
		if len(headers) == 0 {
			response.Header.Set("Content-Type", "application/json")
			body = fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","code":%d}`, code)
		}
		response.Body = io.NopCloser(strings.NewReader(body))
		return response
	}
}

func html(*http.Request) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{"Content-Type": {"text/html"}},
		Body: io.NopCloser(strings.NewReader("<html>please log in</html>"))}
}

func TestWrongAnswersAreOutlived(t *testing.T) {
	for i, row := range []struct {
		name   string
		answer func(*http.Request) *http.Response
	}{
		{"a broken connection", func(*http.Request) *http.Response { return nil }},
		{"401 a token that has expired", answer(401)},
		{"403 rights that were taken away", answer(403)},
		{"404 a server that is not Kubernetes", answer(404)},
		{"409 a conflict", answer(409)},
		{"410 gone", answer(410)},
		{"422 refused by validation", answer(422)},
		{"429 too many requests", answer(429)},
		{"429 with a Retry-After that is no number", answer(429, "Retry-After", "soon")},
		{"500 an error inside", answer(500)},
		{"503 overloaded", answer(503)},
		{"504 a timeout in front of it", answer(504)},
		{"200 a login page", html},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel() // with the other rows
			f := newFixture(t, fmt.Sprintf("wrong-%d", i), quick)
			g := &gate{}
			n := f.agent(g.wrap)
			g.answer(row.answer)
			f.run(n)
			n.Publish(report("10.20.0.0/16"))
			require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 10*time.Millisecond)
			_, err := n.PodCIDRs()
			require.ErrorIs(t, err, k8s.ErrNotSynced)
			g.answer(nil)
			f.says("10.20.0.0/16")

			g.answer(row.answer)
			before := g.count(http.MethodPatch)
			n.Publish(report("10.30.0.0/16"))
			require.Eventually(t, func() bool { return n.Stats().WriteErrors > 2 }, time.Minute, 20*time.Millisecond)
			require.Less(t, g.count(http.MethodPatch)-before, 8, "tries must be spaced")
			cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
			g.answer(nil)
			f.says("10.30.0.0/16")
			require.NoError(t, f.quiet(n).Problem)
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "patient", quick)
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	patches := g.count(http.MethodPatch)
	asked := time.Now()
	g.answer(answer(429, "Retry-After", "2"))
	n.Publish(report("10.30.0.0/16"))
	require.Eventually(t, func() bool { return n.Stats().WriteErrors == 1 }, time.Minute, 10*time.Millisecond)
	g.answer(nil)
	f.says("10.30.0.0/16")
	require.GreaterOrEqual(t, time.Since(asked), 2*time.Second)
	require.Equal(t, patches+2, g.count(http.MethodPatch))
}

func TestTheLeaseIsNotRenewedForANodeThatSaysSomethingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "refused", quick)
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	n.Publish(report("10.20.0.0/16"))
	require.Eventually(t, func() bool { return n.Stats().Renewals > 1 }, time.Minute, 20*time.Millisecond)
	g.refusePatches()
	n.Publish(report()) // the routes are gone, and the Node cannot be told
	start := time.Now()
	var last uint64
	require.Eventually(t, func() bool {
		before := last
		last = n.Stats().Renewals
		return last == before
	}, time.Minute, 4*quick.Renew)
	require.Less(t, time.Since(start), 30*time.Second)
	g.answer(nil)
	f.says()
	require.Eventually(t, func() bool { return n.Stats().Renewals > last }, time.Minute, 20*time.Millisecond)
}

func (g *gate) refusePatches() {
	forbidden := answer(403)
	g.answer(func(r *http.Request) *http.Response {
		if r.Method == http.MethodPatch {
			return forbidden(r)
		}
		response, err := g.next.RoundTrip(r)
		if err != nil {
			return nil
		}
		return response
	})
}

func TestABurstOfAThousandReportsIsAFewWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "burst", k8s.Pace{})
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	var cidrs []string
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range 1000 {
		cidrs = append(cidrs, fmt.Sprintf("10.%d.%d.0/24", 20+i/100, i%100*2))
		n.Publish(report(cidrs...))
		<-tick.C
	}
	burst := time.Since(start)
	s := f.quiet(n)
	t.Logf("1000 reports in %v: %d writes, all said %v after the first", burst.Round(time.Millisecond), s.Writes,
		time.Since(start).Round(time.Millisecond))
	require.LessOrEqual(t, s.Writes, uint64(2+burst/(10*time.Second)), "one in ten seconds, besides the first")

	require.Eventually(t, func() bool { return time.Since(n.Stats().LastWrite) > 1100*time.Millisecond }, time.Minute, 10*time.Millisecond)
	gone := time.Now()
	n.Publish(report(cidrs[1:]...))
	require.Eventually(t, func() bool { return n.Stats().Writes > s.Writes && !n.Stats().Pending }, time.Minute, 10*time.Millisecond)
	t.Logf("a lost route was written %v after the report", time.Since(gone).Round(time.Millisecond))
	require.Less(t, n.Stats().LastWrite.Sub(gone), 5*time.Second, "it does not wait for ten seconds after the last write")
}
