package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type daemon struct {
	board  *Board
	path   string
	client *Client
	stop   func() error // cancels, waits, and gives Serve's answer
}

func serve(t *testing.T, s *Snapshot) *daemon {
	t.Helper()
	d := &daemon{board: &Board{}, path: SocketPath(runtimeDirectory(t))}
	if s != nil {
		d.board.Publish(s)
	}
	d.client = NewClient(d.path)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, d.path, d.board) }()
	d.stop = func() error {
		cancel()
		select {
		case err := <-done:
			done <- err
			return err
		case <-time.After(time.Minute):
			return errors.New("the server does not stop")
		}
	}
	t.Cleanup(func() { require.NoError(t, d.stop()) })
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", d.path)
		return err == nil && c.Close() == nil
	}, time.Minute, 10*time.Millisecond)
	return d
}

// raw sends bytes as they are and returns the answer's status and body.
func (d *daemon) raw(t *testing.T, request string) (int, string) {
	t.Helper()
	c, err := net.Dial("unix", d.path)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	go func() { _, _ = io.WriteString(c, request) }()
	text, err := io.ReadAll(c)
	if len(text) == 0 {
		require.NoError(t, err)
	}
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	var code int
	_, err = fmt.Sscanf(head, "HTTP/1.1 %d", &code)
	require.NoError(t, err, head)
	return code, body
}

func TestTheClientGetsWhatTheServerHas(t *testing.T) {
	s := sample()
	d := serve(t, s)
	ctx := t.Context()

	got, err := d.client.Status(ctx)
	require.NoError(t, err)
	want := finished(s)
	want.Table = nil
	require.Equal(t, want, got)

	peers, err := d.client.Peers(ctx, "")
	require.NoError(t, err)
	require.Equal(t, &PeerList{APIVersion: APIVersion, Kind: KindPeerList, Node: "east-1", Time: s.Time, Items: s.Sessions}, peers)
	peers, err = d.client.Peers(ctx, "tor-b")
	require.NoError(t, err)
	require.Equal(t, s.Sessions[1:2], peers.Items)
	_, err = d.client.Peers(ctx, "tor-x")
	require.EqualError(t, err, `the daemon refused: no peer is called "tor-x"; the peers are: tor-a, tor-b`)

	head, routes := readRoutes(t, d.client, Filter{})
	require.Equal(t, RouteHead{APIVersion, KindRouteList, "east-1", s.Time, want.Routes}, head)
	i := 0
	for r := range s.Table.All() {
		require.Equal(t, r, routes[i])
		i++
	}
	require.Len(t, routes, i)
}

func readRoutes(t *testing.T, c *Client, f Filter) (RouteHead, []*Route) {
	t.Helper()
	stream, err := c.Routes(t.Context(), f)
	require.NoError(t, err)
	var out []*Route
	for r, err := range stream.All() {
		require.NoError(t, err)
		out = append(out, r)
	}
	require.NoError(t, stream.Close())
	return stream.RouteHead, out
}

func TestTheClientSeesEachPublishedState(t *testing.T) {
	d := serve(t, nil)
	_, err := d.client.Status(t.Context())
	require.EqualError(t, err, "the daemon refused: the daemon is starting and has nothing to tell yet; try again")
	for _, phase := range []Phase{Starting, Learning, Ready} {
		d.board.Publish(&Snapshot{Phase: phase})
		s, err := d.client.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, phase, s.Phase)
	}
}

func TestWhatTheServerRefuses(t *testing.T) {
	d := serve(t, sample())
	for name, row := range map[string]struct {
		request string
		code    int
		says    string
	}{
		"a writing method":               {"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "this API only reads: POST is not allowed"},
		"a deletion":                     {"DELETE /v1/routes HTTP/1.1\r\nHost: x\r\n\r\n", 405, "only reads"},
		"a writing method of metrics":    {"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "this API only reads: POST is not allowed"},
		"a path that is not there":       {"GET /v2/status HTTP/1.1\r\nHost: x\r\n\r\n", 404, "/v1/status, /v1/peers, /v1/routes, /v1/advertised, /v1/explain, /v1/check, /v1/history, /v1/config, /v1/events, /metrics, /healthz, /livez and /readyz"},
		"a body":                         {"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nhalt", 413, "no body"},
		"a body of unknown length":       {"GET /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalt\r\n0\r\n\r\n", 413, "no body"},
		"a huge header":                  {"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n", 431, ""},
		"a huge address":                 {"GET /v1/routes?peer=" + strings.Repeat("x", 2*maxHeaderBytes) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, ""},
		"a parameter of status":          {"GET /v1/status?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "takes no parameters"},
		"an unknown parameter of peers":  {"GET /v1/peers?nam=a HTTP/1.1\r\nHost: x\r\n\r\n", 400, `\"nam\" is not known; known is name`},
		"an unknown parameter of routes": {"GET /v1/routes?clutser=a HTTP/1.1\r\nHost: x\r\n\r\n", 400, "known are after, limit, prefix, cluster, family, peer, state, text, verdict"},
		"a parameter twice":              {"GET /v1/routes?peer=a&peer=b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "2 times"},
		"a prefix that is none":          {"GET /v1/routes?prefix=west HTTP/1.1\r\nHost: x\r\n\r\n", 400, "neither an address nor a prefix"},
		"a state that is none":           {"GET /v1/routes?state=fine HTTP/1.1\r\nHost: x\r\n\r\n", 400, "must be one of accepted, refused"},
		"a family that is none":          {"GET /v1/routes?family=6 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "must be ipv4 or ipv6"},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := d.raw(t, strings.Replace(row.request, "Host: x\r\n", "Host: x\r\nConnection: close\r\n", 1))
			require.Equal(t, row.code, code)
			require.Contains(t, body, row.says)
		})
	}
	_, err := d.client.Status(t.Context())
	require.NoError(t, err, "and goes on answering")
}

func TestTheServerStopsAndRemovesItsSocket(t *testing.T) {
	d := serve(t, sample())
	require.NoError(t, d.stop())
	_, err := os.Stat(d.path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = d.client.Status(t.Context())
	require.ErrorIs(t, err, ErrNotRunning)
}

func TestACancelledServerDoesNotWaitForAReaderThatTakesNothing(t *testing.T) {
	d := serve(t, &Snapshot{Table: many(50_000)})
	stream, err := d.client.Routes(t.Context(), Filter{})
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, d.stop())
	require.Less(t, time.Since(began), stopTimeout+20*time.Second)
	var last error
	for _, err := range stream.All() {
		last = err
	}
	require.ErrorContains(t, last, "the list is incomplete", "nobody takes half a list for the whole")
	require.NoError(t, stream.Close())
}

func TestAReaderThatGoesAwayFreesItsPlace(t *testing.T) {
	d := serve(t, &Snapshot{Table: many(50_000)})
	for range 3 * maxRequests {
		require.Eventually(t, func() bool {
			stream, err := d.client.Routes(t.Context(), Filter{})
			if err != nil { // the last ones have not been noticed yet
				require.ErrorContains(t, err, "try again")
				return false
			}
			for _, err := range stream.All() {
				require.NoError(t, err)
				break
			}
			require.NoError(t, stream.Close())
			return true
		}, time.Minute, 10*time.Millisecond)
	}
}

// blocked is a source that says when it is asked and answers only when told.
type blocked struct{ asked, answer chan struct{} }

func (b blocked) Snapshot(context.Context) *Snapshot {
	b.asked <- struct{}{}
	<-b.answer
	return &Snapshot{}
}

func (b blocked) Summary(ctx context.Context) *Snapshot { return b.Snapshot(ctx) }
func (b blocked) Turned() time.Time                     { return time.Time{} }
func (b blocked) History() *History                     { return &History{} }

func TestTooManyRequestsAtOnceAreToldToComeBack(t *testing.T) {
	source := blocked{asked: make(chan struct{}), answer: make(chan struct{})}
	h := newHandler(t.Context(), source).all()
	codes := make(chan int, maxRequests)
	ask := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/status", nil))
		return w.Code
	}
	for range maxRequests {
		go func() { codes <- ask() }()
		<-source.asked
	}
	require.Equal(t, http.StatusServiceUnavailable, ask())
	close(source.answer)
	for range maxRequests {
		require.Equal(t, http.StatusOK, <-codes)
	}
	go func() { codes <- ask() }()
	<-source.asked
	require.Equal(t, http.StatusOK, <-codes, "the places are free again")
}
