package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestADaemonThatDoesNotRunIsNamedWithWhatStartsIt(t *testing.T) {
	directory := runtimeDirectory(t)
	c := NewClient(SocketPath(directory))
	want := "underlayd is not running: nobody answers on " + SocketPath(directory) +
		"; start it with 'underlayd run', or look at this node's underlayd pod if Kubernetes starts it"

	_, err := c.Status(t.Context())
	require.ErrorIs(t, err, ErrNotRunning)
	require.EqualError(t, err, want, "no socket")

	start(t, "serve", directory).kill()
	_, err = c.Peers(t.Context(), "")
	require.ErrorIs(t, err, ErrNotRunning)
	require.EqualError(t, err, want, "a socket that nobody listens on")
	_, err = c.Routes(t.Context(), Filter{})
	require.ErrorIs(t, err, ErrNotRunning)
}

// TestAnotherUserIsToldToBeRoot runs itself again as nobody, since root may open every socket.
func TestAnotherUserIsToldToBeRoot(t *testing.T) {
	const variable = "UNDERLAYD_STATUS_TEST_SOCKET"
	if path := os.Getenv(variable); path != "" {
		_, err := NewClient(path).Status(t.Context())
		require.ErrorIs(t, err, ErrNotPermitted)
		require.EqualError(t, err, "permission denied: "+path+" is for root only; run this as root")
		return
	}
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "this test must run as root")
		t.Skip("only root can become another user")
	}
	directory := runtimeDirectory(t)
	require.NoError(t, os.Chmod(strings.TrimSuffix(directory, "/run"), 0o755))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, SocketPath(directory), &Board{}) }()
	require.Eventually(t, func() bool { _, err := os.Stat(SocketPath(directory)); return err == nil }, time.Minute, 10*time.Millisecond)
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })

	self, err := os.Open("/proc/self/exe") // the test binary may lie where nobody can reach it
	require.NoError(t, err)
	defer self.Close()
	c := exec.CommandContext(t.Context(), "/proc/self/fd/3", "-test.run", "^TestAnotherUserIsToldToBeRoot$", "-test.v")
	c.ExtraFiles = []*os.File{self}
	c.Dir = "/"
	c.Env = []string{variable + "=" + SocketPath(directory)}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS")
}

func TestAClientGivesUpWithItsContext(t *testing.T) {
	d := serve(t, sample())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.client.Status(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTheClientUnderstandsAServerThatIsNotOurs(t *testing.T) {
	for name, row := range map[string]struct{ body, says string }{
		"another version":       {`{"apiVersion":"underlayd.io/v9","items":[]}`, `the daemon speaks "underlayd.io/v9", this command "underlayd.io/v1"`},
		"something else's JSON": {`{"hello":{"a":[1]}}`, "read the daemon's answer: the answer has no items"},
		"no JSON":               {`hello`, "read the daemon's answer"},
		"an empty answer":       {``, "read the daemon's answer"},
	} {
		t.Run(name, func(t *testing.T) {
			path := SocketPath(t.TempDir())
			l, err := net.Listen("unix", path)
			require.NoError(t, err)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, row.body) })}
			done := make(chan error, 1)
			go func() { done <- server.Serve(l) }()
			_, err = NewClient(path).Routes(t.Context(), Filter{})
			require.ErrorContains(t, err, row.says)
			require.NoError(t, server.Close())
			<-done
		})
	}
}

func ok(routes iter.Seq[*Route]) iter.Seq2[*Route, error] {
	return func(yield func(*Route, error) bool) {
		for r := range routes {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func encoded(t *testing.T, s *Snapshot) string {
	t.Helper()
	var b bytes.Buffer
	head := RouteHead{APIVersion: APIVersion, Kind: KindRouteList, Node: s.Node, Time: s.Time, Summary: finished(s).Routes}
	require.NoError(t, encodeList(&b, head, ok(s.Table.All())))
	return b.String()
}

func TestARouteListIsOneValidDocument(t *testing.T) {
	for _, s := range []*Snapshot{sample(), {}} {
		var document struct {
			RouteHead
			Items []Route `json:"items"`
		}
		require.NoError(t, json.Unmarshal([]byte(encoded(t, s)), &document))
		require.Len(t, document.Items, s.Table.Len())
		require.Equal(t, KindRouteList, document.Kind)
	}
}

func TestAListThatIsCutAnywhereIsNeverTakenForComplete(t *testing.T) {
	whole := strings.TrimRight(encoded(t, sample()), "\n")
	for n := range len(whole) {
		d := json.NewDecoder(strings.NewReader(whole[:n]))
		last := decodeHead(d, new(RouteHead).fields())
		if last == nil {
			for _, err := range decodeItems[Route](d) {
				last = err
			}
		}
		require.Error(t, last, "cut after %d bytes: %s", n, whole[:n])
	}
}

func TestUnknownKeysOfANewerDaemonAreSkipped(t *testing.T) {
	text := strings.Replace(encoded(t, sample()), `"kind"`, `"new":{"deep":[1,{"items":[]}]},"kind"`, 1)
	d := json.NewDecoder(strings.NewReader(text))
	var head RouteHead
	err := decodeHead(d, head.fields())
	require.NoError(t, err)
	require.Equal(t, KindRouteList, head.Kind)
	n := 0
	for _, err := range decodeItems[Route](d) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, sample().Table.Len(), n)
}

func TestARouteThatCannotBeReadLeavesTheListUnfinished(t *testing.T) {
	var b bytes.Buffer
	broken := errors.New("no more")
	err := encodeList(&b, RouteHead{}, func(yield func(*Route, error) bool) {
		_ = yield(&Route{Prefix: prefix("10.0.0.0/24")}, nil) && yield(nil, broken)
	})
	require.ErrorIs(t, err, broken)
	require.False(t, json.Valid(b.Bytes()))
}

func TestTheFilterChooses(t *testing.T) {
	table := sample().Table
	for name, row := range map[string]struct {
		filter Filter
		found  []string
	}{
		"everything":            {Filter{}, collect(table.All())},
		"what is refused":       {Filter{State: StateRefused}, []string{"10.10.2.0/24", "10.40.0.0/24", "10.41.0.0/24", "10.42.0.0/24", "10.43.0.0/24"}},
		"what failed":           {Filter{State: StateFailed}, []string{"10.20.3.0/24"}},
		"what conflicts":        {Filter{State: StateConflict}, []string{"10.20.4.0/24"}},
		"what is adopted":       {Filter{State: StateAdopted}, []string{"10.30.9.0/24"}},
		"what is pending":       {Filter{State: StatePending}, []string{"10.20.5.0/24"}},
		"what is stale":         {Filter{State: StateStale}, []string{"fd00:20:0:2::/64"}},
		"one reason":            {Filter{Verdict: "OwnPrefix"}, []string{"10.10.2.0/24"}},
		"one cluster, IPv6":     {Filter{Cluster: "west", Family: "ipv6"}, []string{"fd00:20:0:1::/64", "fd00:20:0:2::/64"}},
		"one peer":              {Filter{Peer: "tor-b"}, []string{"10.20.1.0/24", "10.20.6.0/24"}},
		"around an address":     {Filter{Prefix: prefix("10.20.1.9/32")}, []string{"10.20.1.0/24"}},
		"below a prefix":        {Filter{Prefix: prefix("10.40.0.0/14"), Family: "ipv4"}, []string{"10.40.0.0/24", "10.41.0.0/24", "10.42.0.0/24", "10.43.0.0/24"}},
		"what nothing fits":     {Filter{Cluster: "west", Peer: "tor-x"}, nil},
		"installed and of west": {Filter{State: StateInstalled, Cluster: "west"}, []string{"10.20.1.0/24", "10.20.2.0/24", "10.20.6.0/24", "fd00:20:0:1::/64", "fd00:20:0:2::/64"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, row.filter.Validate())
			require.Equal(t, row.found, collect(row.filter.routes(table)))
			again, err := parseFilter(row.filter.query())
			require.NoError(t, err)
			require.Equal(t, row.filter, again, "the filter survives the way through the request")
		})
	}
}

func TestPagesTogetherAreTheList(t *testing.T) {
	table := sample().Table
	for _, f := range []Filter{{}, {State: StateInstalled}, {Prefix: prefix("10.20.0.0/16")}, {Family: "ipv6"}} {
		whole := collect(f.routes(table))
		for limit := 1; limit <= 5; limit++ {
			var pages []string
			for page := f; ; {
				page.Limit = limit
				got := collect(page.routes(table))
				require.LessOrEqual(t, len(got), limit)
				if len(got) == 0 {
					break
				}
				pages = append(pages, got...)
				page.After = prefix(got[len(got)-1])
			}
			require.Equal(t, whole, pages)
		}
	}
	gone := Filter{After: prefix("10.20.1.128/25"), Limit: 1}
	require.Equal(t, []string{"10.20.2.0/24"}, collect(gone.routes(table)), "the last route of the page before may be gone")
	again, err := parseFilter(gone.query())
	require.NoError(t, err)
	require.Equal(t, gone, again)
	require.ErrorContains(t, Filter{Limit: -1}.Validate(), "above 0")
}

func TestATargetIsAnAddressOrAPrefix(t *testing.T) {
	for in, want := range map[string]netip.Prefix{
		"10.20.1.7": prefix("10.20.1.7/32"), "10.20.1.7/24": prefix("10.20.1.0/24"), "::ffff:10.20.1.7": prefix("10.20.1.7/32"),
		"fd00:20::1": prefix("fd00:20::1/128"), "fd00:20::1/48": prefix("fd00:20::/48"), "fe80::1%eth0": prefix("fe80::1/128"),
	} {
		got, err := ParseTarget(in)
		require.NoError(t, err)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "west", "10.20.1", "10.20.1.0/33", "10.20.1.0/24/24"} {
		_, err := ParseTarget(in)
		require.ErrorContains(t, err, "neither an address nor a prefix", in)
	}
}

func Test100000RoutesAreStreamedNotGathered(t *testing.T) {
	table := many(100_000)
	d := serve(t, &Snapshot{Table: table, Time: lockTime})
	began := time.Now()
	s, err := d.client.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 100_000, s.Routes.Installed)
	t.Logf("status over the socket: %s", time.Since(began))

	began = time.Now()
	stream, err := d.client.Routes(t.Context(), Filter{})
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, peak := 0, uint64(0)
	for _, err := range stream.All() {
		require.NoError(t, err)
		if n++; n%10_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			peak = max(peak, after.HeapAlloc)
		}
	}
	require.NoError(t, stream.Close())
	require.Equal(t, 100_000, n)
	require.Less(t, peak, before.HeapAlloc+8<<20, "the whole list in text would be 30 MB")
	t.Logf("routes over the socket: %s", time.Since(began))

	began = time.Now()
	stream, err = d.client.Routes(t.Context(), Filter{})
	require.NoError(t, err)
	require.NoError(t, WriteRoutes(io.Discard, stream.RouteHead, stream.All(), Options{Format: Table, Now: lockTime}))
	require.NoError(t, stream.Close())
	t.Logf("routes as a table: %s", time.Since(began))
}
