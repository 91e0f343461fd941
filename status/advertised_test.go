package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// telling is a source that tells what its peers are told. The scenarios ask a real one.
type telling struct {
	*Board
	all  []*Advertisement
	err  error         // after all
	gate chan struct{} // nil: open
}

func (s telling) Advertised(ctx context.Context, peer string) ([]AdvertisedPeer, iter.Seq2[*Advertisement, error]) {
	return []AdvertisedPeer{{Peer: "tor-a", State: Established}, {Peer: "tor-b", State: "idle"}}, func(yield func(*Advertisement, error) bool) {
		if s.gate != nil {
			select {
			case <-s.gate:
			case <-ctx.Done():
			}
		}
		for _, x := range s.all {
			if (peer == "" || x.Peer == peer) && !yield(x, nil) {
				return
			}
		}
		if s.err != nil {
			yield(nil, s.err)
		}
	}
}

func tellingSource() telling {
	s := telling{Board: &Board{}}
	s.Publish(sample())
	for _, p := range []string{"10.10.0.0/16", "10.10.1.0/24", "10.11.0.0/24", "fd00:10::/64"} {
		s.all = append(s.all, &Advertisement{Peer: "tor-a", Address: addr("172.16.0.1"), Prefix: prefix(p), NextHop: addr("172.16.0.10"), ASPath: []uint32{64512}, LargeCommunities: []string{"64512:1:1"}})
	}
	return s
}

func askAdvertised(t *testing.T, h http.Handler, query string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/advertised"+query, nil))
	return w.Code, w.Body.String()
}

func TestWhatPeersAreToldIsChosenByTheFilter(t *testing.T) {
	h := newHandler(t.Context(), tellingSource()).all()
	for query, want := range map[string]string{
		"":                                 "10.10.0.0/16 10.10.1.0/24 10.11.0.0/24 fd00:10::/64",
		"?prefix=10.10.1.7":                "10.10.0.0/16 10.10.1.0/24",
		"?prefix=10.8.0.0/13":              "10.10.0.0/16 10.10.1.0/24 10.11.0.0/24",
		"?family=ipv6":                     "fd00:10::/64",
		"?limit=2":                         "10.10.0.0/16 10.10.1.0/24",
		"?peer=tor-a&after=10.10.1.0/24":   "10.11.0.0/24 fd00:10::/64",
		"?peer=tor-a&after=10.10.9.0/24":   "10.11.0.0/24 fd00:10::/64",
		"?peer=tor-b":                      "",
		"?family=ipv4&limit=1&peer=tor-a":  "10.10.0.0/16",
		"?prefix=fd00:10::/32&family=ipv4": "",
	} {
		code, text := askAdvertised(t, h, query)
		require.Equal(t, http.StatusOK, code, text)
		require.NoError(t, judged(t, strict(t, KindAdvertisedList), []byte(text)), query)
		var l AdvertisedList
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		var got []string
		for _, x := range l.Items {
			got = append(got, x.Prefix.String())
		}
		require.Equal(t, want, strings.Join(got, " "), query)
	}
	for query, want := range map[string]string{
		"?peer=nobody":       "404 the peers are: tor-a, tor-b",
		"?state=installed":   "400 choose nothing of what is advertised",
		"?cluster=west":      "400 choose nothing of what is advertised",
		"?after=10.0.0.0/8":  "400 after needs a peer",
		"?colour=blue":       "400 colour",
		"?prefix=10.0.0.0/x": "400 neither an address nor a prefix",
	} {
		code, text := askAdvertised(t, h, query)
		status, words, _ := strings.Cut(want, " ")
		require.Equal(t, status, fmt.Sprint(code), query)
		require.Contains(t, text, words, query)
	}
}

func TestAListOfWhatPeersAreToldThatFailsIsNotTakenForComplete(t *testing.T) {
	s := tellingSource()
	s.err = errors.New("the speaker does not answer")
	_, text := askAdvertised(t, newHandler(t.Context(), s).all(), "")
	require.False(t, json.Valid([]byte(text)))
}

func TestFewAreAskedAtOnceWhatPeersAreTold(t *testing.T) {
	s := tellingSource()
	s.gate = make(chan struct{})
	handler := newHandler(t.Context(), s)
	h := handler.all()
	answers := make(chan int)
	for range maxAdvertised {
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/advertised", nil))
			answers <- w.Code
		}()
	}
	require.Eventually(t, func() bool { return len(handler.advertising) == maxAdvertised }, time.Minute, 10*time.Millisecond)
	code, text := askAdvertised(t, h, "")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, text, "try again")
	close(s.gate)
	for range maxAdvertised {
		require.Equal(t, http.StatusOK, <-answers)
	}
	code, _ = askAdvertised(t, h, "")
	require.Equal(t, http.StatusOK, code)
}

func TestWhatPeersAreToldIsWrittenForPeople(t *testing.T) {
	var b bytes.Buffer
	s := tellingSource()
	peers, all := s.Advertised(t.Context(), "")
	require.NoError(t, WriteAdvertised(&b, AdvertisedHead{Peers: peers}, all, Options{Format: Table}))
	require.Equal(t, `tor-b is told nothing: its session is Idle.
PEER   PREFIX        NEXT HOP     AS PATH  LARGE COMMUNITIES
tor-a  10.10.0.0/16  172.16.0.10  64512    64512:1:1
tor-a  10.10.1.0/24  172.16.0.10  64512    64512:1:1
tor-a  10.11.0.0/24  172.16.0.10  64512    64512:1:1
tor-a  fd00:10::/64  172.16.0.10  64512    64512:1:1
`, b.String())
}
