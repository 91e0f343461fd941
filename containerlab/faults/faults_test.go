package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// The most important rows; `make faults` plays all of them.
func TestFaults(t *testing.T) {
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "bird", "birdc", "gobgpd", "gobgp", "ip", "ss", "nft", "go")
	folder, janitor, err := containerlab.Scratch("faults-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, janitor.Close()) })
	o := options{root: filepath.Join("..", ".."), here: ".", folder: folder, underlayd: filepath.Join(folder, "underlayd"), labs: 3}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", o.underlayd, "./cmd/underlayd")
	build.Dir, build.Env = o.root, append(build.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	rows := slices.DeleteFunc(catalogue(), func(r row) bool { return !r.fast })
	b := &bench{options: o, progress: t.Output()}
	results, err := b.run(t.Context(), rows)
	require.NoError(t, err)
	for _, r := range results {
		t.Run(r.Area+"/"+r.Fault, func(t *testing.T) {
			if !r.ok() {
				explain(t.Output(), r)
				t.Fail()
			}
		})
	}
}

func TestEveryRowSaysWhatItIs(t *testing.T) {
	names := map[string]bool{}
	for _, r := range catalogue() {
		require.NotEmpty(t, r.required, r.name)
		require.NotNil(t, r.inject, r.name)
		require.False(t, names[r.name], "two rows are called %q", r.name)
		names[r.name] = true
		for _, peer := range r.touches {
			require.True(t, peer == everyone || neighbourOf(peer).name == peer, "%s: %s", r.name, peer)
		}
	}
	require.GreaterOrEqual(t, len(names), 150)
}

func TestATallyCountsWhatDidNotArrive(t *testing.T) {
	f := &flow{peer: "frr", out: true}
	f.begin()
	start := time.Now()
	for i := range 10 {
		f.sent, f.got = append(f.sent, start.Add(time.Duration(i)*time.Millisecond)), append(f.got, false)
	}
	for _, i := range []uint32{0, 1, 5, 7, 8} {
		f.receive(f.epoch, i)
	}
	f.receive(f.epoch-1, 3) // of the row before
	f.receive(f.epoch, 99)
	got := f.tally(start.Add(8 * time.Millisecond))
	require.Equal(t, tally{Flow: "→ frr IPv4", Sent: 9, Lost: 4, Gap: 3 * time.Millisecond, peer: "frr", out: true}, got)
	got = f.tally(start.Add(time.Second))
	require.Equal(t, 5, got.Lost)
	require.Equal(t, time.Second-9*time.Millisecond, got.Gap, "it still lasts")
}

func TestPrefixesKnowTheirPlace(t *testing.T) {
	for _, p := range parse("10.20.1.0/24 10.20.0.0/16 fd00:20:0:1::/64 10.30.1.0/24") {
		require.True(t, inContracts(p), p)
	}
	for _, p := range parse("10.0.0.0/8 0.0.0.0/0 10.10.1.0/24 fd00::/16 fd00:10::/48 192.168.1.2/32") {
		require.False(t, inContracts(p), p)
	}
	require.Equal(t, "frr", announcer(parse("10.20.1.0/24")[0]))
	require.Equal(t, "bird", announcer(parse("10.30.1.0/24")[0]))
	require.Empty(t, announcer(parse("10.20.99.0/24")[0]))
	require.Equal(t, parse("10.20.0.0/28 10.20.0.16/28 10.20.0.32/28"), many("10.20.0.0/28", 3))
}

func TestMetricsAreSummedUp(t *testing.T) {
	text := []byte("# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\nb 0\n")
	v, found := metricValue(text, "a_total{")
	require.True(t, found)
	require.InDelta(t, 5.0, v, 0)
	_, found = metricValue(text, "c")
	require.False(t, found)
}

func TestWhatStatusSaysIsLookedForInTheMetrics(t *testing.T) {
	text := `# HELP underlayd_problems x
underlayd_condition_reason{condition="UnderlayRoutesReady",reason="PartialPeers"} 1
underlayd_problems{severity="error",subject="peer frr"} 2
underlayd_problems{severity="warning",subject="refused, NoContract"} 0
underlayd_routes{state="failed"} 1
`
	require.Equal(t, []string{"PartialPeers", "peer frr"}, subjects(text))
	for complaint, want := range map[string]string{
		"peer frr: the session is not established: idle": "peer frr",
		"host, rp_filter: it is 1":                       "host, rp_filter",
		"condition True PartialPeers: some: others":      "PartialPeers",
	} {
		require.Equal(t, want, subject(complaint))
	}
}

func TestAProxyAnswersForTheAPI(t *testing.T) {
	passed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		<-r.Context().Done()
	})
	p := &proxy{next: passed, changed: make(chan struct{})}
	ended := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		ended <- w.Code
	}()
	require.Eventually(t, func() bool { // the request may come later than the answer
		p.answer(0)
		select {
		case code := <-ended:
			return code == http.StatusTeapot
		default:
			return false
		}
	}, time.Minute, 10*time.Millisecond, "what is under way ends")
	p.answer(http.StatusConflict)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	require.Equal(t, http.StatusConflict, w.Code)
	require.JSONEq(t, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "the bench says so", "reason": "Conflict", "code": 409}`, w.Body.String())
}
