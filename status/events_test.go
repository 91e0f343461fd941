package status

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// watching starts to watch and returns what comes. All has ended when the test ends.
func watching(t *testing.T, d *daemon) <-chan *Event {
	t.Helper()
	events, done := make(chan *Event, 100), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for e, err := range d.client.Watch(ctx) {
			if err != nil {
				return
			}
			events <- e
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return events
}

func next(t *testing.T, events <-chan *Event) *Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(time.Minute):
		require.Fail(t, "nothing came")
		return nil
	}
}

func TestWhoWatchesIsToldWhatHappens(t *testing.T) {
	d := serve(t, healthy())
	d.board.History().Note(now, &Note{Kind: SessionUp, Peer: "before"})
	d.board.History().Publish(now)
	events := watching(t, d)
	first := next(t, events)
	require.Equal(t, &Pulse{Time: now, Phase: Ready, Peers: 1, PeersUp: 1, Accepted: 3, Refused: 1, Installed: 3, Advertised: 2}, first.Status, "how things are comes first")

	var lines bytes.Buffer
	for range 2 {
		d.board.History().Note(now, &Note{Kind: PrefixWithdrawn, Peer: "tor-a", Cluster: "west", Cause: "SessionLost", Prefix: prefix("10.20.1.0/24")})
		d.board.History().Publish(now)
		e := next(t, events)
		require.Equal(t, []string{APIVersion, KindEvent}, []string{e.APIVersion, e.Kind})
		require.NoError(t, WriteEvent(&lines, e, Options{Format: Table, Location: time.UTC}))
	}
	s := sample()
	s.Time = now.Add(time.Second)
	d.board.Publish(s)
	e := next(t, events)
	require.NoError(t, WriteEvent(&lines, e, Options{Format: Table, Location: time.UTC}))
	require.Equal(t, `2026-11-20 12:00:00.000  PrefixWithdrawn peer tor-a cluster west 10.20.1.0/24: SessionLost
2026-11-20 12:00:00.000  PrefixWithdrawn peer tor-a cluster west 10.20.1.0/24 (2): SessionLost
2026-11-20 12:00:01.000  Degraded: 1 of 2 peers established, 5 of 8 accepted prefixes in the kernel, 5 refused, 13 things wrong
`, lines.String())
	lines.Reset()
	require.NoError(t, WriteEvent(&lines, e, Options{Format: JSON}))
	require.True(t, json.Valid(lines.Bytes()))
	require.Equal(t, 1, bytes.Count(lines.Bytes(), []byte("\n")), "one line for each event")
}

func TestTheEndOfTheDaemonEndsTheView(t *testing.T) {
	d := serve(t, healthy())
	var last error
	seen := 0
	for _, err := range d.client.Watch(t.Context()) {
		if last = err; err == nil && seen == 0 {
			seen++
			go func() { _ = d.stop() }()
		}
	}
	require.Equal(t, 1, seen)
	require.ErrorContains(t, last, "the daemon has ended the view")
}

func TestOnlySoManyWatchAndNobodyElseWaitsForThem(t *testing.T) {
	d := serve(t, healthy())
	for range maxWatchers {
		next(t, watching(t, d))
	}
	for _, err := range d.client.Watch(t.Context()) {
		require.ErrorContains(t, err, "16 clients are watching")
	}
	_, err := d.client.Status(t.Context())
	require.NoError(t, err)
	code, body := d.raw(t, "GET /v1/events?before=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, body, "not known")
}

// TestWhoDoesNotReadIsDropped: nothing is held for such a client.
func TestWhoDoesNotReadIsDropped(t *testing.T) {
	d := serve(t, healthy())
	c, err := net.Dial("unix", d.path)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	words := strings.Repeat("x", detailBytes)
	past, began, i := d.board.History(), time.Now(), 0
	for time.Since(began) < eventStall+5*time.Second {
		for range 1000 {
			i++
			past.Note(now, &Note{Kind: SessionDown, Cause: numbered(i).String(), Detail: words})
		}
		past.Publish(now)
		<-time.After(eventLook)
	}
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = io.Copy(io.Discard, c)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is closed")
}
