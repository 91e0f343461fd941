package status

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// glassOf makes the handler of a Web with a looking glass on an address.
func glassOf(t *testing.T, source Source, listen string, fleet ...netip.AddrPort) http.Handler {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	web := NewWeb(WebConfig{Listen: netip.MustParseAddrPort(listen), LookingGlass: true, Fleet: fleet, Source: source, Log: log})
	return web.handler(t.Context())
}

// look asks as a browser at 127.0.0.1 does, with more headers in pairs; Host is one of them.
func look(t *testing.T, h http.Handler, question string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	method, path, _ := strings.Cut(question, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Host = "127.0.0.1:9179"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func published(s *Snapshot) *Board {
	b := &Board{}
	b.Turn(time.Now())
	b.Publish(s)
	return b
}

func TestWhatTheLookingGlassAnswers(t *testing.T) {
	h := glassOf(t, published(sample()), "127.0.0.1:9179")
	for _, row := range []struct {
		when, question string
		code           int
		says           string
	}{
		{"the page", "GET /", 200, "<main"},
		{"its head alone", "HEAD /", 200, ""},
		{"a module", "GET /glass/main.js", 200, "import"},
		{"the style", "GET /glass/style.css", 200, "prefers-color-scheme"},
		{"the state", "GET /v1/status", 200, `"kind":"Status"`},
		{"the sessions", "GET /v1/peers?name=tor-a", 200, `"peer":"tor-a"`},
		{"routes", "GET /v1/routes", 200, `"kind":"RouteList"`},
		{"the history", "GET /v1/history", 200, `"kind":"HistoryList"`},
		{"the node in short", "GET /v1/summary", 200, `"kind":"NodeSummary"`},
		{"the fleet", "GET /v1/fleet", 200, `"kind":"FleetList"`},
		{"the probes are still there", "GET /livez", 200, "alive"},
		{"and metrics", "GET /metrics", 200, "underlayd_node_info"},
		{"no configuration", "GET /v1/config", 404, "there is no"},
		{"no check", "GET /v1/check", 404, "there is no"},
		{"nothing that is told to peers", "GET /v1/advertised", 404, "there is no"},
		{"no file beside the page's", "GET /glass/../glass.go", 307, ""},
		{"nor of another name", "GET /glass/none.js", 404, ""},
		{"nothing is posted", "POST /v1/status", 405, "only reads"},
		{"not even to the page", "POST /", 405, "only reads"},
		{"nor to the events", "DELETE /v1/events", 405, "only reads"},
		{"a page of routes is bounded", "GET /v1/routes?limit=501", 400, "must be 1..500"},
		{"and of the history", "GET /v1/history?limit=501", 400, "must be 1..500"},
		{"a filter that is none", "GET /v1/routes?colour=red", 400, "colour"},
	} {
		t.Run(row.when, func(t *testing.T) {
			w := look(t, h, row.question)
			require.Equal(t, row.code, w.Code, w.Body.String())
			require.Contains(t, w.Body.String(), row.says)
		})
	}
}

func TestEveryAnswerOfTheLookingGlassHasItsHeaders(t *testing.T) {
	h := glassOf(t, published(sample()), "127.0.0.1:9179")
	for _, question := range []string{"GET /", "GET /glass/main.js", "GET /v1/status", "GET /v1/none", "POST /", "GET /v1/routes?limit=0"} {
		got := look(t, h, question).Header()
		policy := got.Get("Content-Security-Policy")
		for _, part := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
		} {
			require.Contains(t, policy, part, question)
		}
		require.NotContains(t, policy, "unsafe", question)
		require.Equal(t, "nosniff", got.Get("X-Content-Type-Options"), question)
		require.Equal(t, "no-referrer", got.Get("Referrer-Policy"), question)
		require.Equal(t, "same-origin", got.Get("Cross-Origin-Resource-Policy"), question)
		require.Empty(t, got.Get("Access-Control-Allow-Origin"), question)
	}
	require.Equal(t, "no-store", look(t, h, "GET /v1/status").Header().Get("Cache-Control"))
	module := look(t, h, "GET /glass/main.js").Header()
	require.Equal(t, []string{"no-cache", "text/javascript; charset=utf-8"}, []string{module.Get("Cache-Control"), module.Get("Content-Type")})
	again := look(t, h, "GET /glass/main.js", "If-None-Match", module.Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.Code)
	require.Empty(t, look(t, h, "GET /metrics").Header().Get("Content-Security-Policy"), "metrics are as they were")
}

func TestByWhatNameTheLookingGlassIsCalled(t *testing.T) {
	for _, row := range []struct {
		when, listen, host string
		code               int
	}{
		{"the loopback by its address", "127.0.0.1:9179", "127.0.0.1:9179", 200},
		{"by another one of its addresses", "127.0.0.1:9179", "[::1]:9179", 200},
		{"by localhost, through a forwarded port", "127.0.0.1:9179", "localhost:8080", 200},
		{"in upper case", "[::1]:9179", "LOCALHOST", 200},
		{"not by a name that leads to it", "127.0.0.1:9179", "attacker.example:9179", 421},
		{"nor by one that looks alike", "127.0.0.1:9179", "localhost.attacker.example", 421},
		{"nor by the address of another host", "127.0.0.1:9179", "192.0.2.7:9179", 421},
		{"nor by nothing", "127.0.0.1:9179", "", 421},
		{"a node by its address", "[::]:9179", "192.0.2.7:9179", 200},
		{"by its IPv6 address", "[::]:9179", "[2001:db8::7]:9179", 200},
		{"by localhost", "[::]:9179", "localhost:9179", 200},
		{"not by a name", "[::]:9179", "attacker.example", 421},
	} {
		t.Run(row.when, func(t *testing.T) {
			h := glassOf(t, published(sample()), row.listen)
			for _, question := range []string{"GET /", "GET /v1/status", "GET /glass/main.js"} {
				require.Equal(t, row.code, look(t, h, question, "Host", row.host).Code, question)
			}
			if row.code != http.StatusOK {
				require.Equal(t, row.code, look(t, h, "GET /v1/events", "Host", row.host).Code)
			}
			require.Equal(t, http.StatusOK, look(t, h, "GET /livez", "Host", row.host).Code, "a probe may call as it likes")
		})
	}
	h := glassOf(t, published(sample()), "127.0.0.1:9179")
	require.Equal(t, http.StatusForbidden, look(t, h, "GET /v1/status", "Sec-Fetch-Site", "cross-site").Code, "another site's page asks")
	require.Equal(t, http.StatusForbidden, look(t, h, "GET /v1/events", "Sec-Fetch-Site", "cross-site").Code)
	require.Equal(t, http.StatusOK, look(t, h, "GET /", "Sec-Fetch-Site", "cross-site").Code, "a link leads here")
}

func TestWithoutItsKeyThereIsNoLookingGlass(t *testing.T) {
	web := NewWeb(WebConfig{Listen: netip.MustParseAddrPort("127.0.0.1:9179"), Source: published(sample())})
	h := web.handler(t.Context())
	for _, question := range []string{"GET /", "GET /glass/main.js", "GET /v1/status", "GET /v1/summary", "GET /v1/fleet", "GET /v1/events"} {
		require.Equal(t, http.StatusNotFound, look(t, h, question).Code, question)
	}
}

// TestManyLooksLeaveProbesTheirPlaces: whoever looks can't keep the kubelet from its answer.
func TestManyLooksLeaveProbesTheirPlaces(t *testing.T) {
	source := blocked{asked: make(chan struct{}), answer: make(chan struct{})}
	h := glassOf(t, source, "127.0.0.1:9179")
	done := make(chan int, maxGlances)
	for range maxGlances {
		go func() { done <- look(t, h, "GET /v1/peers").Code }()
		<-source.asked
	}
	w := look(t, h, "GET /v1/peers")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "try again")
	require.Equal(t, http.StatusOK, look(t, h, "GET /livez").Code)
	close(source.answer)
	for range maxGlances {
		require.Equal(t, http.StatusOK, <-done)
	}
}

// counting is a source that counts how often it is asked for everything.
type counting struct {
	*Board
	asked atomic.Int64
}

func (c *counting) Snapshot(ctx context.Context) *Snapshot {
	c.asked.Add(1)
	<-time.After(10 * time.Millisecond) // as long as a large one takes
	return c.Board.Snapshot(ctx)
}

func TestThatManyLookCostsWhatOneLookCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &counting{Board: published(sample())}
		h := glassOf(t, source, "127.0.0.1:9179")
		for range 100 {
			require.Equal(t, http.StatusOK, look(t, h, "GET /v1/status").Code)
		}
		require.EqualValues(t, 1, source.asked.Load())
		<-time.After(sharedRest * 20 * time.Millisecond)
		require.Contains(t, look(t, h, "GET /v1/status").Body.String(), `"kind":"Status"`)
		require.EqualValues(t, 2, source.asked.Load())
	})
}

// pageOf is what a page of routes has, for a test.
func pageOf(t *testing.T, h http.Handler, query string) (prefixes []string, next string) {
	t.Helper()
	w := look(t, h, "GET /v1/routes?"+query)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var answer struct {
		Next  string
		Items []*Route
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	for _, r := range answer.Items {
		prefixes = append(prefixes, r.Prefix.String())
	}
	return prefixes, answer.Next
}

func TestRoutesArePagedAtABoundedCost(t *testing.T) {
	const routes = 100_000
	h := glassOf(t, published(&Snapshot{Table: many(routes)}), "127.0.0.1:9179")
	first, next := pageOf(t, h, "")
	require.Len(t, first, pageRoutes)
	require.Equal(t, first[pageRoutes-1], next)
	second, _ := pageOf(t, h, "after="+next)
	require.Len(t, second, pageRoutes)
	require.NotContains(t, first, second[0])

	questions := 1
	_, next = pageOf(t, h, "text=nobody")
	require.NotEmpty(t, next, "one question does not look at all routes")
	for next != "" {
		var found []string
		found, next = pageOf(t, h, "text=nobody&after="+next)
		require.Empty(t, found)
		questions++
	}
	require.Equal(t, routes/maxPassed, questions)

	inside := "prefix=20.0.0.0/8&limit=500"
	_, next = pageOf(t, h, inside)
	page, _ := pageOf(t, h, inside+"&after="+next)
	require.Equal(t, "20.1.244.0/24", page[0], "a page inside a prefix goes on where the last one ended")
}

func TestATextFindsWhatPeopleKnowARouteBy(t *testing.T) {
	h := glassOf(t, published(sample()), "127.0.0.1:9179")
	for _, row := range []struct{ when, text, finds string }{
		{"an address: what covers it", "10.20.1.7", "10.20.1.0/24"},
		{"a prefix: what lies in it", "10.20.0.0/16", "10.20.6.0/24"},
		{"part of a prefix", "20.6", "10.20.6.0/24"},
		{"a cluster in upper case", "WEST", "10.20.1.0/24"},
		{"a verdict", "nocontract", "10.40.0.0/24"},
		{"a peer", "tor-b", "10.20.6.0/24"},
		{"a next hop", "172.31.0", "10.20.3.0/24"},
	} {
		found, _ := pageOf(t, h, "text="+row.text)
		require.Contains(t, found, row.finds, row.when)
	}
	found, _ := pageOf(t, h, "text=%3Cscript%3E")
	require.Empty(t, found)
}

func TestALookIsServedOverTCPWithItsEvents(t *testing.T) {
	board := published(healthy())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	log := logrus.New()
	log.SetOutput(t.Output())
	web := NewWeb(WebConfig{Listen: netip.MustParseAddrPort(address), LookingGlass: true, Source: board, Log: log})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- web.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done); http.DefaultClient.CloseIdleConnections() })
	require.Eventually(t, func() bool { code, _ := get(t, "GET", "http://"+address+"/"); return code == http.StatusOK }, time.Minute, 20*time.Millisecond)

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/events", nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	text := make([]byte, 13)
	_, err = io.ReadFull(answer.Body, text)
	require.NoError(t, err)
	require.Equal(t, "event: status", string(text))
}
