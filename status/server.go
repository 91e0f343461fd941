package status

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The server's limits. Everything a client can make it hold is bounded.
const (
	maxRequests    = 32               // at once; more are told to come back
	maxHeaderBytes = 16 << 10         // of a request, with its address
	headerTimeout  = 5 * time.Second  // to send a request
	idleTimeout    = time.Minute      // of a connection between requests
	stallTimeout   = 5 * time.Minute  // of a reader that takes nothing, such as a pager left open
	stopTimeout    = 2 * time.Second  // for answers under way when the daemon stops
	answerTimeout  = 10 * time.Second // for a source to come up with its snapshot
)

// Serve answers questions on the unix socket at path until ctx is cancelled, then removes the socket and
// returns nil. The socket is made with mode 0600, its directory too if it is missing; one left by a dead process
// is replaced, one of a living process is an error naming its pid. It serves:
//
//	GET /v1/status                 a Snapshot
//	GET /v1/peers[?name=]          a PeerList
//	GET /v1/routes[?prefix=&state=&verdict=&cluster=&peer=&family=&text=&limit=&after=]   a RouteHead with "items", streamed
//	GET /v1/advertised[?peer=&prefix=&family=&limit=&after=]          an AdvertisedHead with "items", streamed
//	GET /v1/history[?since=&prefix=&peer=&cluster=&limit=]            a HistoryList
//	GET /v1/events[?after=]        Events as they come, as server-sent events
//	GET /v1/explain?target=[&source=]   an Explanation
//	GET /v1/check                  a CheckList
//	GET /v1/config                 the configuration in force, as YAML
//	GET /metrics                   the state in Prometheus' text format
//	GET /healthz, /livez, /readyz  200 or 503: see Client.Health; with ?verbose in words, as Kubernetes' own
//
// Metrics are those of the state, and what more says.
// Errors are {"error": "…"} with a fitting status. There is nothing that writes.
func Serve(ctx context.Context, path string, source Source, more ...prometheus.Collector) error {
	l, err := listen(ctx, path)
	if err != nil {
		return err
	}
	if err := answerOn(ctx, l, newHandler(ctx, source, more...).all()); err != nil {
		return fmt.Errorf("status socket %s: %w", path, err)
	}
	return nil
}

type handler struct {
	stop     <-chan struct{} // closed when the daemon stops: ends long answers
	source   Source
	slots    chan struct{}
	surveyor surveyor
	metrics  http.Handler
	watchers chan struct{}
	// advertising has places for those who ask what peers are told.
	advertising chan struct{}
}

func newHandler(ctx context.Context, source Source, more ...prometheus.Collector) *handler {
	h := &handler{stop: ctx.Done(), source: source, slots: make(chan struct{}, maxRequests), watchers: make(chan struct{}, maxWatchers), advertising: make(chan struct{}, maxAdvertised)}
	h.metrics = newMetrics(source, &h.surveyor, more)
	return h
}

// all is what the owner of the socket may ask.
func (h *handler) all() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("GET /v1/peers", h.peers)
	mux.HandleFunc("GET /v1/routes", h.routes)
	mux.HandleFunc("GET /v1/advertised", h.tellAdvertised)
	mux.HandleFunc("GET /v1/explain", h.explain)
	mux.HandleFunc("GET /v1/check", h.check)
	mux.HandleFunc("GET /v1/history", h.history)
	mux.HandleFunc("GET /v1/config", h.configuration)
	mux.HandleFunc("/", unknown(" /v1/status, /v1/peers, /v1/routes, /v1/advertised, /v1/explain, /v1/check, /v1/history, /v1/config, /v1/events,"))
	questions := h.bounded(h.public(mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/v1/events" && r.ContentLength == 0 { // as long as somebody looks: it has places of its own
			h.events(w, r)
			return
		}
		questions.ServeHTTP(w, r)
	})
}

// web is what anybody may ask who can connect.
func (h *handler) web() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", unknown(""))
	return h.bounded(h.public(mux))
}

// public adds what is told to everybody.
func (h *handler) public(mux *http.ServeMux) *http.ServeMux {
	mux.Handle("GET /metrics", h.metrics)
	mux.HandleFunc("GET /healthz", h.alive)
	mux.HandleFunc("GET /livez", h.alive)
	mux.HandleFunc("GET /readyz", h.ready)
	return mux
}

// bounded keeps requests few and small, and gives each answer's first write its deadline.
func (h *handler) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			refuse(w, http.StatusServiceUnavailable, "%d requests are being answered; try again", maxRequests)
			return
		}
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			refuse(w, http.StatusRequestEntityTooLarge, "a request has no body here")
			return
		}
		next.ServeHTTP(&patient{ResponseWriter: w, control: http.NewResponseController(w)}, r)
	})
}

// snapshot gets the state or answers that there is none.
func (h *handler) snapshot(w http.ResponseWriter, r *http.Request) *Snapshot {
	return orNotYet(w, r, h.source.Snapshot)
}

// summary does the same with what costs less.
func (h *handler) summary(w http.ResponseWriter, r *http.Request) *Snapshot {
	return orNotYet(w, r, h.source.Summary)
}

func orNotYet(w http.ResponseWriter, r *http.Request, ask func(context.Context) *Snapshot) *Snapshot {
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	s := ask(ctx)
	if s == nil {
		notYet(w)
	}
	return s
}

const nothingYet = "the daemon is starting and has nothing to tell yet; try again"

func notYet(w http.ResponseWriter) {
	refuse(w, http.StatusServiceUnavailable, nothingYet)
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.RawQuery) > 0 {
		refuse(w, http.StatusBadRequest, "status takes no parameters")
		return
	}
	if s := h.snapshot(w, r); s != nil {
		answer(w, s.finish(h.surveyor.survey(s.Table)))
	}
}

func (h *handler) peers(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name := q.Get("name")
	q.Del("name")
	if len(q) > 0 {
		refuse(w, http.StatusBadRequest, "parameter %q is not known; known is name", sortedKeys(q)[0])
		return
	}
	s := h.snapshot(w, r)
	if s == nil {
		return
	}
	items := s.Sessions
	if name != "" {
		if items = s.peersCalled(name); len(items) == 0 {
			noPeer(w, s, name)
			return
		}
	}
	answer(w, PeerList{APIVersion: APIVersion, Kind: KindPeerList, Node: s.Node, Time: s.Time, Items: list(items)})
}

// peersCalled returns the sessions with the peer of a name.
func (s *Snapshot) peersCalled(name string) (all []Session) {
	for _, p := range s.Sessions {
		if p.Peer == name {
			all = append(all, p)
		}
	}
	return all
}

func noPeer(w http.ResponseWriter, s *Snapshot, name string) {
	known := make([]string, len(s.Sessions))
	for i, p := range s.Sessions {
		known[i] = p.Peer
	}
	refuse(w, http.StatusNotFound, "no peer is called %q; the peers are: %s", name, strings.Join(known, ", "))
}

func (h *handler) routes(w http.ResponseWriter, r *http.Request) {
	filter, err := parseFilter(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, "%s", err)
		return
	}
	s := h.summary(w, r)
	if s == nil {
		return
	}
	head := RouteHead{APIVersion: APIVersion, Kind: KindRouteList, Node: s.Node, Time: s.Time, Summary: h.surveyor.survey(s.Table).summary}
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, bufferSize)
	// An error here is the reader's going away or our stopping: the answer stays visibly unfinished.
	if encodeList(out, head, until(r.Context(), h.stop, sure(filter.routes(s.Table)))) == nil {
		_ = out.Flush()
	}
}

// unknown answers all that is not there; more are the paths of this listener beside those that each one has.
func unknown(more string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "this API only reads: %s is not allowed", r.Method)
			return
		}
		refuse(w, http.StatusNotFound, "there is no %q here; there are%s /metrics, /healthz, /livez and /readyz", r.URL.Path, more)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the types always encode: an error is the reader's going away
}

func refuse(w http.ResponseWriter, code int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(problemBody{Error: fmt.Sprintf(format, args...)})
}

type problemBody struct {
	Error string `json:"error"`
}

// patient gives every write a deadline of its own: an answer may take long as a whole, as long as its reader
// keeps reading.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	// Not every ResponseWriter has deadlines (a test's recorder has not); then there is nothing to bound.
	if err := p.control.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}
