package status

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// scrape reads the metrics as Prometheus would, or curl --unix-socket.
func (d *daemon) scrape(t *testing.T) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.path)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/metrics", nil)
	require.NoError(t, err)
	answer, err := transport.RoundTrip(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text)
}

func TestMetricsLookLikeTheGoldenFiles(t *testing.T) {
	for name, s := range map[string]*Snapshot{"healthy": healthy(), "degraded": sample(), "empty": {Node: "east-1", Cluster: Cluster{Name: "east", ID: 1}, Phase: Starting}} {
		t.Run(name, func(t *testing.T) {
			code, text := serve(t, s).scrape(t)
			require.Equal(t, http.StatusOK, code, text)
			golden(t, "metrics-"+name+".txt", []byte(text))
			registry := prometheus.NewPedanticRegistry()
			require.NoError(t, registry.Register(collector{finished(s)}))
			problems, err := testutil.GatherAndLint(registry)
			require.NoError(t, err)
			require.Empty(t, problems)
		})
	}
}

func TestEveryProblemIsInTheMetrics(t *testing.T) {
	s := sample()
	_, text := serve(t, s).scrape(t)
	want := map[string]int{}
	for _, p := range finished(s).Problems {
		want[fmt.Sprintf(`underlayd_problems{severity="%s",subject="%s"}`, p.Severity, p.Subject)]++
	}
	require.Greater(t, len(want), 8)
	for line, n := range want {
		require.Contains(t, text, fmt.Sprintf("%s %d\n", line, n))
	}
	require.Equal(t, len(want), strings.Count(text, "\nunderlayd_problems{"))
}

func TestMetricsAreThereOnceThereIsSomethingToTell(t *testing.T) {
	d := serve(t, nil)
	code, text := d.scrape(t)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, text, "nothing to tell yet")
	d.board.Publish(healthy())
	code, text = d.scrape(t)
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, `underlayd_phase{phase="Ready"} 1`)
}

// TestNothingThatOthersSayBecomesALabel: what peers and the fabric say would make a new series each time.
func TestNothingThatOthersSayBecomesALabel(t *testing.T) {
	s := sample()
	_, text := serve(t, s).scrape(t)
	for _, said := range []string{"10.20.1.0", "bye", "64599", "static", "connection refused", "12:8"} {
		require.NotContains(t, text, said)
	}
}

// TestANameThatIsNoTextDoesNotEndTheMetrics: the kernel takes almost any bytes for the name of a link.
func TestANameThatIsNoTextDoesNotEndTheMetrics(t *testing.T) {
	s := sample()
	for _, link := range []string{"eth\xff", "eth\xfe"} {
		s.Problems = append(s.Problems, Problem{Severity: Error, Subject: "host, net.ipv4.conf." + link + ".forwarding", Message: "is 0"})
	}
	code, text := serve(t, s).scrape(t)
	require.Equal(t, http.StatusOK, code, text)
	require.Contains(t, text, `underlayd_problems{severity="error",subject="host, net.ipv4.conf.eth`+"\uFFFD"+`.forwarding"} 2`)
}

func BenchmarkScrape(b *testing.B) {
	s := healthy()
	s.Table = many(100_000)
	board := &Board{}
	board.Publish(s)
	m := metrics{source: board, surveyor: &surveyor{}}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		m.ServeHTTP(nowhere{http.Header{}}, r)
	}
}

// nowhere is a ResponseWriter that forgets.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// TestTheMetricsAreDocumented: each of ours with its labels, as a table.
func TestTheMetricsAreDocumented(t *testing.T) {
	const mark = "<!-- metrics: made by go test ./status -run Metrics -update -->\n"
	help, labels := map[string]string{}, map[string][]string{}
	for _, s := range []*Snapshot{healthy(), sample()} {
		registry := prometheus.NewRegistry()
		require.NoError(t, registry.Register(collector{finished(s)}))
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			name := f.GetName()
			help[name] = f.GetHelp()
			for _, l := range f.GetMetric()[0].GetLabel() {
				if !slices.Contains(labels[name], l.GetName()) {
					labels[name] = append(labels[name], l.GetName())
				}
			}
		}
	}
	table := "\n| metric | labels | |\n|---|---|---|\n"
	for _, name := range sortedKeys(help) {
		table += fmt.Sprintf("| `%s` | %s | %s |\n", name, strings.Join(labels[name], ", "), help[name])
	}
	const file = "../docs/metrics.md"
	doc, err := os.ReadFile(file)
	require.NoError(t, err)
	text, old, found := strings.Cut(string(doc), mark)
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text+mark+table), 0o600))
		return
	}
	require.Equal(t, table, old, "with -update the table is made again")
}
