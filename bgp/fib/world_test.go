package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// world is a kernel with other programs and cables around it: what the conformance suite does to
// the model of Linux it does to Linux, and looks at the outcome without going through Table.
type world interface {
	// open opens a table of the given mode in this world.
	open(t *testing.T, c Config, m Mode) *Table

	addLink(t *testing.T, name string, addrs ...string) // up, with carrier
	deleteLink(t *testing.T, name string)
	setUp(t *testing.T, name string, up bool)
	setCarrier(t *testing.T, name string, on bool)
	addAddr(t *testing.T, link, addr string)
	deleteAddr(t *testing.T, link, addr string)

	// What other programs do.
	add(t *testing.T, r spec)
	appendTo(t *testing.T, r spec)
	replace(t *testing.T, r spec)
	remove(t *testing.T, r spec)
	wipe(t *testing.T, protocol int)
	addNextHop(t *testing.T, id uint32, via, link string, protocol int)
	replaceGroup(t *testing.T, id uint32, protocol int, members ...uint32)
	deleteNextHop(t *testing.T, id uint32)
	// steal deletes the route of our protocol to dst, or the object if dst is empty, should it still be there.
	steal(dst string, id uint32)

	// routes returns the routes of a protocol, sorted: "10.20.0.0/24 metric 512 via 192.0.2.2 192.0.2.3".
	routes(t *testing.T, protocol int) []string
	// objects returns the next-hop objects of a protocol by id: "via 192.0.2.2", "group 11 12".
	objects(t *testing.T, protocol int) map[uint32]string
	// ruleTexts returns the rules with our mark, sorted: "-4 1000 lookup 254"; dropRule and putRule are other programs.
	ruleTexts(t *testing.T) []string
	dropRule(t *testing.T, family string, priority, table int)
	putRule(t *testing.T, family string, priority, table int)
	// writes returns how often routes, and next-hop objects, were written or deleted so far by anybody.
	writes(t *testing.T) (routes, objects int)
	// compat has the kernel announce each route of a group that is rewritten, as it does by default.
	compat(t *testing.T, on bool)
}

// spec is a route of another program.
type spec struct {
	dst, via, link   string
	metric, protocol int
	nextHop          uint32
	also             string // another gateway
	pinned           bool   // via is a neighbour on link whatever other routes say
	drops            string // what it is instead of a way: blackhole, unreachable or prohibit
}

const (
	static  = 4
	ourMark = DefaultProtocol
)

func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(all ...string) []netip.Addr {
	var list []netip.Addr
	for _, a := range all {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

func to(dst string, via ...string) Route { return Route{Dst: p(dst), NextHops: addrs(via...)} }

// scene is a world with two links, fab0 (192.0.2.0/24, 2001:db8:1::/64) and fab1
// (198.51.100.0/24, 2001:db8:2::/64), and a table.
type scene struct {
	world
	*Table
	t    *testing.T
	mode Mode
	cfg  Config
}

func newScene(t *testing.T, w world, m Mode) *scene {
	w.addLink(t, "fab0", "192.0.2.1/24", "2001:db8:1::1/64")
	w.addLink(t, "fab1", "198.51.100.1/24", "2001:db8:2::1/64")
	s := &scene{world: w, t: t, mode: m, cfg: Config{MaxNextHops: 4, Log: testLog(t)}}
	s.reopen()
	return s
}

// reopen is a restart: the old table is closed as it is, a new one knows nothing.
func (s *scene) reopen() {
	if s.Table != nil {
		require.NoError(s.t, s.Close())
	}
	table := s.open(s.t, s.cfg, s.mode)
	s.Table = table
	s.t.Cleanup(func() { require.NoError(s.t, table.Close()) })
}

func (s *scene) ensure(routes ...Route) {
	s.t.Helper()
	require.NoError(s.t, s.Ensure(s.t.Context(), routes))
}

// run runs the table until the test ends.
func (s *scene) run() {
	s.t.Helper()
	stop := runTable(s.t, s.Table)
	s.t.Cleanup(stop)
}

const (
	soon   = time.Minute // of a machine with much to do, and before all is looked at again, see DefaultResync
	glance = 20 * time.Millisecond
)

func (s *scene) wantRoutes(want ...string) {
	s.t.Helper()
	s.wantRoutesOf(ourMark, want...)
}

func (s *scene) wantRoutesOf(protocol int, want ...string) {
	s.t.Helper()
	if want == nil {
		want = []string{}
	}
	require.Equal(s.t, want, s.routes(s.t, protocol))
}

func (s *scene) eventually(want ...string) {
	s.t.Helper()
	if want == nil {
		want = []string{}
	}
	var got []string
	patient(soon, func() bool { got = s.routes(s.t, ourMark); return slices.Equal(got, want) })
	require.Equal(s.t, want, got)
}

func (s *scene) status(dst string) Status {
	st, _ := s.Lookup(p(dst))
	return st.Status
}

func (s *scene) eventuallyStatus(dst string, want Status) {
	s.t.Helper()
	patient(soon, func() bool { return s.status(dst) == want })
	require.Equal(s.t, want, s.status(dst), "%s: %s", dst, s.reason(dst))
}

func (s *scene) reason(dst string) string {
	st, _ := s.Lookup(p(dst))
	return st.Reason
}

// quiet returns after what f did is visible, and how many writes it took.
func (s *scene) quiet(f func()) (routes, objects int) {
	s.t.Helper()
	s.compat(s.t, false)
	r0, o0 := s.writes(s.t)
	f()
	r1, o1 := s.writes(s.t)
	s.compat(s.t, true)
	return r1 - r0, o1 - o0
}

// patient tries f until it says true or the time is over. Unlike require.Eventually it does so on
// the calling goroutine, whose thread is the one in the test's namespace.
func patient(limit time.Duration, f func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	pause := time.NewTicker(glance)
	defer pause.Stop()
	for !f() {
		select {
		case <-deadline.C:
			return f()
		case <-pause.C:
		}
	}
	return true
}

func within(t testing.TB, f func() bool, what string, args ...any) {
	t.Helper()
	require.True(t, patient(soon, f), "waiting for "+fmt.Sprintf(what, args...))
}

func testLog(t *testing.T) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(t.Output())
	log.SetLevel(logrus.DebugLevel)
	return log
}
