package status

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/underlayd/underlayd/status/glass"
)

// The limits of the looking glass, which anybody may look into who can connect. Its places are its own: however many look, probes
// and metrics are answered.
const (
	maxGlances   = 8                // answers in the making
	sharedRest   = 20               // an answer that is shared is as old as that many times what it took to make
	glanceTime   = 15 * time.Second // to take an answer, which was made before
	pageRoutes   = 100              // on a page of routes, unless the question says otherwise
	maxPage      = 500
	maxPassed    = 20_000 // routes that one question looks at; the answer says where to go on
	maxRecalled  = 500    // entries of the history
	maxHeadlines = 5      // problems in a NodeSummary
)

// lookingGlass shows what the socket tells its owner to people with a browser, over TCP:
//
//	GET /, /glass/…            the page
//	GET /v1/status             as on the socket
//	GET /v1/peers[?name=]      likewise
//	GET /v1/explain            likewise
//	GET /v1/events             likewise; as many as on the socket look at the same time
//	GET /v1/history            likewise, with a limit of 1 to 500
//	GET /v1/routes             likewise, with a limit of 1 to 500, and "next" before the items where the list goes on
//	GET /v1/summary            a NodeSummary
//	GET /v1/fleet              a FleetList
//
// It has no /v1/config, /v1/check and /v1/advertised. Other sites' pages can neither ask nor embed it, and no name but localhost leads to
// it: see admit.
type lookingGlass struct {
	*handler
	local bool // nobody but this host can connect
	fleet *fleet
	page  *glass.Page
	slots chan struct{}
	// asking are the places for who waits for the fleet's answers.
	asking chan struct{}
}

func newLookingGlass(h *handler, c WebConfig) *lookingGlass {
	return &lookingGlass{
		handler: h, local: c.Listen.Addr().IsLoopback(), fleet: newFleet(c.Fleet), page: glass.NewPage(), slots: make(chan struct{}, maxGlances),
		asking: make(chan struct{}, maxGlances),
	}
}

// beside answers for the looking glass, and leaves to next what was there without it.
func (g *lookingGlass) beside(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", g.page)
	mux.Handle("GET /glass/", g.page)
	mux.Handle("GET /v1/status", &shared{next: http.HandlerFunc(g.status)})
	mux.HandleFunc("GET /v1/peers", g.peers)
	mux.HandleFunc("GET /v1/explain", g.explain)
	mux.HandleFunc("GET /v1/history", g.recall)
	mux.HandleFunc("GET /v1/routes", g.routePage)
	mux.HandleFunc("GET /v1/summary", g.tellSummary)
	mux.HandleFunc("/", unknown(" /, /v1/status, /v1/peers, /v1/routes, /v1/explain, /v1/history, /v1/events, /v1/summary, /v1/fleet,"))
	answers, fleet := prepared(g.slots, mux), prepared(g.asking, http.HandlerFunc(g.tellFleet))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics", "/healthz", "/livez", "/readyz":
			next.ServeHTTP(w, r)
			return
		}
		glass.SetHeaders(w.Header())
		switch {
		case !g.admit(w, r):
		case r.URL.Path == "/v1/events" && r.Method == http.MethodGet:
			g.events(w, r)
		case r.URL.Path == "/v1/fleet" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			fleet.ServeHTTP(w, r)
		default:
			answers.ServeHTTP(w, r)
		}
	})
}

// admit refuses what no page of ours asks. A name of somebody's own that leads to our address (DNS rebinding) would make a browser take his
// page for ours: we are called by an address or localhost, and on the loopback by the loopback's.
func (g *lookingGlass) admit(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.ContentLength != 0:
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusRequestEntityTooLarge, "a request has no body here")
	case !g.calledBy(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "the looking glass is called by the node's address or localhost, not by the name %q", r.Host)
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.URL.Path != "/":
		refuse(w, http.StatusForbidden, "pages of other sites may not ask")
	default:
		return true
	}
	return false
}

func (g *lookingGlass) calledBy(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && (!g.local || a.Unmap().IsLoopback())
}

// prepared makes each answer as a whole, in one of few places, and then gives it to whoever asked at his own pace: who reads slowly
// keeps nobody waiting.
func prepared(slots chan struct{}, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
		default:
			refuse(w, http.StatusServiceUnavailable, "%d questions are being answered; try again", maxGlances)
			return
		}
		whole := &wholeAnswer{header: w.Header(), code: http.StatusOK}
		func() {
			defer func() { <-slots }()
			next.ServeHTTP(whole, r)
		}()
		err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(glanceTime))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		w.WriteHeader(whole.code)
		_, _ = w.Write(whole.body.Bytes()) // an error is the reader's going away
	})
}

// shared gives the last answer again until sharedRest times what it took have passed: that many look at a busy node costs no more
// than that one does. The answer says of when it is.
type shared struct {
	next http.Handler

	mu    sync.Mutex // guards what follows, and has those wait who ask at the same time
	last  *wholeAnswer
	until time.Time
}

// ServeHTTP implements http.Handler for questions without parameters; others are not shared.
func (s *shared) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		s.next.ServeHTTP(w, r)
		return
	}
	last := s.answer(r)
	for key, values := range last.header {
		w.Header()[key] = values
	}
	w.WriteHeader(last.code)
	_, _ = w.Write(last.body.Bytes()) // into memory
}

func (s *shared) answer(r *http.Request) *wholeAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && time.Now().Before(s.until) {
		return s.last
	}
	began := time.Now()
	s.last = &wholeAnswer{header: http.Header{}, code: http.StatusOK}
	s.next.ServeHTTP(s.last, r.WithContext(context.WithoutCancel(r.Context()))) // it is for others too
	s.until = time.Now().Add(sharedRest * time.Since(began))
	if s.last.code != http.StatusOK {
		s.until = began
	}
	return s.last
}

// wholeAnswer is an answer in the making.
type wholeAnswer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *wholeAnswer) Header() http.Header         { return a.header }
func (a *wholeAnswer) WriteHeader(code int)        { a.code = code }
func (a *wholeAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// recall is history with a bound.
func (g *lookingGlass) recall(w http.ResponseWriter, r *http.Request) {
	if f, err := parseHistoryFilter(r.URL.Query(), time.Now()); err == nil && f.Limit > maxRecalled {
		refuse(w, http.StatusBadRequest, "limit %d: must be 1..%d", f.Limit, maxRecalled)
		return
	}
	g.history(w, r)
}

// routePageHead is the part of a page of routes that comes before its items.
type routePageHead struct {
	RouteHead
	// Next is where the list goes on, as the parameter after has it; absent: that was all. The page may have fewer items than asked for,
	// even none, where much was passed over.
	Next netip.Prefix `json:"next,omitzero"`
}

// routePage answers with one page, at a bounded cost. A text that is an address or a prefix asks for what covers it and lies inside it.
func (g *lookingGlass) routePage(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if f.Limit == 0 {
		f.Limit = pageRoutes
	}
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "%s", err)
		return
	case f.Limit > maxPage:
		refuse(w, http.StatusBadRequest, "limit %d: must be 1..%d", f.Limit, maxPage)
		return
	}
	if p, err := ParseTarget(f.Text); err == nil && !f.Prefix.IsValid() {
		f.Prefix, f.Text = p, ""
	}
	s := g.summary(w, r)
	if s == nil {
		return
	}
	head := routePageHead{RouteHead: RouteHead{APIVersion: APIVersion, Kind: KindRouteList, Node: s.Node, Time: s.Time, Summary: g.surveyor.survey(s.Table).summary}}
	var items []*Route
	items, head.Next = f.page(r.Context(), s.Table)
	w.Header().Set("Content-Type", "application/json")
	_ = encodeList(w, head, sure(slices.Values(items))) // into memory
}

// page returns the routes of one page, and where the list goes on after maxPassed routes or f.Limit that match; ctx ends it early.
func (f Filter) page(ctx context.Context, t *RouteTable) (items []*Route, next netip.Prefix) {
	passed := 0
	var last netip.Prefix
	for r := range f.candidates(t) {
		if len(items) == f.Limit || passed == maxPassed || ctx.Err() != nil {
			return items, last
		}
		passed++
		if last = r.Prefix; f.matches(r) {
			items = append(items, r)
		}
	}
	return items, netip.Prefix{}
}
