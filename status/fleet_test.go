package status

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nodeAt serves a handler on the loopback until the test ends.
func nodeAt(t *testing.T, h http.Handler) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func TestTheFleetIsAskedAndWhoDoesNotAnswerIsNamed(t *testing.T) {
	well := nodeAt(t, glassOf(t, published(healthy()), "127.0.0.1:9179"))
	without := nodeAt(t, NewWeb(WebConfig{Source: published(healthy())}).handler(t.Context()))
	elsewhere := nodeAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+well.String()+"/v1/summary", http.StatusFound)
	}))
	endless := nodeAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"node":"`, strings.Repeat("x", 1<<20)) }))
	other := nodeAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"apiVersion":"underlayd.io/v9","kind":"NodeSummary"}`)
	}))
	wordy := nodeAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"apiVersion":%q,"kind":"NodeSummary","node":"<img src=x onerror=alert(1)>%s"}`, APIVersion, strings.Repeat("x", 1000))
	}))
	silent := silentNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := netip.MustParseAddrPort(l.Addr().String())
	require.NoError(t, l.Close())

	h := glassOf(t, published(sample()), "127.0.0.1:9179", well, without, elsewhere, endless, other, wordy, silent, closed)
	began := time.Now()
	w := look(t, h, "GET /v1/fleet")
	require.Equal(t, http.StatusOK, w.Code)
	require.Less(t, time.Since(began), fleetTimeout+20*time.Second)
	require.NoError(t, judged(t, strict(t, KindFleetList), w.Body.Bytes()))
	var list FleetList
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	require.Len(t, list.Items, 9)
	own, ok := list.Items[0], list.Items[1]
	require.Equal(t, "east-1", own.Summary.Node)
	require.Equal(t, []int{2, 1, 13, maxHeadlines}, []int{own.Summary.Peers, own.Summary.PeersUp, own.Summary.Problems, len(own.Summary.Headlines)})
	require.Equal(t, []any{well, Ready, 0}, []any{ok.Address, ok.Summary.Phase, ok.Summary.Problems})
	for i, says := range map[int]string{2: "404 Not Found: there is no", 3: "302 Found", 4: "read its answer", 5: "underlayd.io/v9", 7: "no answer within 2s", 8: "connection refused"} {
		require.Nil(t, list.Items[i].Summary)
		require.Contains(t, list.Items[i].Error, says)
	}
	require.Less(t, len(list.Items[6].Summary.Node), fleetWord+10)

	again := look(t, h, "GET /v1/fleet")
	var second FleetList
	require.NoError(t, json.Unmarshal(again.Body.Bytes(), &second))
	require.Equal(t, list.Time, second.Time, "who comes soon after is told the same")
}

// silentNode takes connections and says nothing.
func silentNode(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}
