package status

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// onWeb runs a Web on a free port of the loopback until the test ends.
func onWeb(t *testing.T, source Source) (web *Web, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address = l.Addr().String()
	require.NoError(t, l.Close())
	return runWeb(t, source, address), address
}

func runWeb(t *testing.T, source Source, address string) *Web {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	web := NewWeb(WebConfig{Listen: netip.MustParseAddrPort(address), Source: source, Log: log, Metrics: ProcessMetrics()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- web.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		http.DefaultClient.CloseIdleConnections()
	})
	return web
}

func get(t *testing.T, method, url string) (code int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

func TestWhatIsServedOverTCP(t *testing.T) {
	board := &Board{}
	board.Turn(time.Now())
	web, address := onWeb(t, board)
	require.Eventually(t, func() bool { code, _ := get(t, "GET", "http://"+address+"/livez"); return code == http.StatusOK }, time.Minute, 10*time.Millisecond)
	require.Nil(t, web.Problem())
	learning, ready := *healthy(), *healthy()
	learning.Phase, ready.Phase = Learning, Ready
	for _, row := range []struct {
		when         string
		board        *Snapshot
		method, path string
		code         int
		says         string
	}{
		{"it is alive before there is anything to tell", nil, "GET", "/livez", 200, "{\"is\":\"alive\"}\n"},
		{"in words", nil, "GET", "/livez?verbose", 200, "[+]loop ok\nlivez check passed\n"},
		{"and not ready", nil, "GET", "/readyz", 503, "{\"error\":\"" + nothingYet + "\"}\n"},
		{"a first exchange that is not over is not ready", &learning, "GET", "/readyz?verbose", 503,
			"[-]first-exchange failed: the first exchange with the peers is not over: the phase is Learning\nreadyz check failed\n"},
		{"one that is over is", &ready, "GET", "/readyz?verbose", 200, "[+]first-exchange ok\nreadyz check passed\n"},
		{"the state is not told to everybody", &ready, "GET", "/v1/status", 404,
			"{\"error\":\"there is no \\\"/v1/status\\\" here; there are /metrics, /healthz, /livez and /readyz\"}\n"},
		{"nor what changes", &ready, "GET", "/v1/events", 404,
			"{\"error\":\"there is no \\\"/v1/events\\\" here; there are /metrics, /healthz, /livez and /readyz\"}\n"},
		{"nothing writes", &ready, "POST", "/metrics", 405, "{\"error\":\"this API only reads: POST is not allowed\"}\n"},
	} {
		t.Run(row.when, func(t *testing.T) {
			board.Publish(row.board)
			code, text := get(t, row.method, "http://"+address+row.path)
			require.Equal(t, row.says, text)
			require.Equal(t, row.code, code)
		})
	}
	_, text := get(t, "GET", "http://"+address+"/metrics")
	for _, family := range []string{"\nunderlayd_build_info{", "\ngo_goroutines ", "\nprocess_resident_memory_bytes "} {
		require.Contains(t, text, family)
	}
}

// TestAPortThatIsTakenIsWaitedFor: it is no reason to end a daemon that routes.
func TestAPortThatIsTakenIsWaitedFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := runWeb(t, &Board{}, l.Addr().String())
	require.Eventually(t, func() bool { return web.Problem() != nil }, time.Minute, 10*time.Millisecond)
	require.Contains(t, web.Problem().Message, "metrics and probes are not served: listen tcp "+l.Addr().String()+": bind: address already in use")
	address := l.Addr().String()
	require.NoError(t, l.Close())
	require.Eventually(t, func() bool { return web.Problem() == nil }, time.Minute, 10*time.Millisecond)
	code, _ := get(t, "GET", "http://"+address+"/livez")
	require.Equal(t, http.StatusOK, code)
}
