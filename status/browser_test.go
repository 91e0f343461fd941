package status

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	lab "github.com/underlayd/underlayd/containerlab"
)

// explaining is a source that has one explanation ready.
type explaining struct {
	*Board
	answer *Explanation
}

func (e explaining) Explain(_ context.Context, q Question) *Explanation {
	out := *e.answer
	out.Target = q.Target
	return &out
}

// onGlass runs a Web with a looking glass on a free port of the loopback; stop ends it.
func onGlass(t *testing.T, source Source, fleet ...netip.AddrPort) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address = l.Addr().String()
	require.NoError(t, l.Close())
	return address, glassAt(t, address, source, fleet...)
}

func glassAt(t *testing.T, address string, source Source, fleet ...netip.AddrPort) (stop func()) {
	t.Helper()
	quiet := logrus.New()
	quiet.SetOutput(t.Output())
	web := NewWeb(WebConfig{Listen: netip.MustParseAddrPort(address), LookingGlass: true, Fleet: fleet, Source: source, Log: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- web.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-done) })
	t.Cleanup(stop)
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	}, 5*time.Second, 10*time.Millisecond)
	return stop
}

// browser is headless Chromium with one tab, which writes down what the page complains of.
type browser struct {
	context.Context
	t *testing.T

	mu         sync.Mutex // guards what follows
	complaints []string
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	lab.Require(t, "chromium")
	profile, err := os.MkdirTemp("", "glass")
	require.NoError(t, err)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("no-proxy-server", true), chromedp.Flag("hide-scrollbars", false))
	limit, cancelLimit := context.WithTimeout(context.Background(), 3*time.Minute)
	started, cancelStart := chromedp.NewExecAllocator(limit, options...)
	ctx, cancel := chromedp.NewContext(started)
	b := &browser{Context: ctx, t: t}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // ends the browser and waits for it
		cancel()
		cancelStart()
		cancelLimit()
		require.NoError(t, os.RemoveAll(profile))
	})
	require.NoError(t, chromedp.Listen(ctx, b.note))
	b.run(chromedp.EmulateViewport(1280, 900))
	return b
}

func (b *browser) note(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = "exception: " + fmt.Sprintf("%+v", e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		text = fmt.Sprint("console: ", e.Type, e.Args)
	case *log.EventEntryAdded: // violations of the policy, and what could not be loaded
		text = fmt.Sprint("log: ", e.Entry.Level, " ", e.Entry.Text, " ", e.Entry.URL)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b, actions...))
}

// do runs a statement of JavaScript.
func (b *browser) do(statement string) {
	b.t.Helper()
	b.run(chromedp.Evaluate[chromedp.Void](statement))
}

// value evaluates an expression of JavaScript.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	out, err := chromedp.Run(b, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return out
}

// until waits until an expression is true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !value[bool](b, expression); {
		require.True(b.t, time.Now().Before(deadline), "never true: %s\n%s", expression, b.text("main"))
		<-time.After(20 * time.Millisecond)
	}
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

// open loads the page and waits for the state and the routes.
func (b *browser) open(address string) {
	b.t.Helper()
	b.run(chromedp.Navigate("http://" + address + "/"))
	b.until(`document.getElementById("rollup").textContent !== "" && document.getElementById("route-count").textContent !== "" && document.getElementById("link").classList.contains("on")`)
}

// search types a text and waits for another answer than the last one.
func (b *browser) search(text string) {
	b.t.Helper()
	b.do(fmt.Sprintf(`{const i = document.getElementById("route-text"); i.value = %q; i.dispatchEvent(new Event("input", {bubbles: true})); document.getElementById("route-count").textContent = ""}`, text))
	b.until(`/in all/.test(document.getElementById("route-count").textContent)`)
}

// press presses a key so often until an expression is true.
func (b *browser) press(key, expression string, most int) {
	b.t.Helper()
	for range most {
		b.run(chromedp.KeyEvent(key))
		if value[bool](b, expression) {
			return
		}
	}
	require.Fail(b.t, "the keyboard does not get there", "%s; the focus is on %s", expression, value[string](b, `document.activeElement.outerHTML`))
}

const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`

// hostileNode is a node in trouble whose peers say what is not meant well.
func hostileNode() explaining {
	source := troubled(hostile)
	s := *source.Snapshot(context.Background())
	s.Table = s.Table.With([]Row{
		refused("10.66.0.0/24", "NoContract", hostile),
		accepted("10.67.0.0/24", hostile, path("tor-\u202egpj.exe", "172.16.0.1", 65000, 64513)),
	}, nil)
	source.Publish(&s)
	return source
}

// troubled is a node with an explanation that fails, a history, and words of a peer.
func troubled(words string) explaining {
	s := sample()
	s.Sessions[1].LastError = words
	s.Sessions[0].Clusters = []string{"west"}
	s.Sessions[1].Clusters = []string{"west", "south"}
	p := path("tor-a", "172.31.0.1", 65000, 64513)
	route := kernel(accepted("10.20.3.0/24", "west", p), Failed, "next hop 172.31.0.1 is not on-link")
	e := &Explanation{
		Node: s.Node, Time: s.Time, Answer: "10.20.3.7 is not reachable: its next hop 172.31.0.1 is on no link of this node.", Cluster: "west", Fault: "NextHopNotOnLink",
		Steps: []Step{
			{Name: StepTarget, Result: StepOK, Range: prefix("10.20.0.0/16"), Sentence: "it lies in 10.20.0.0/16 of cluster west"},
			{Name: StepReceived, Result: StepOK, Sentence: "tor-a announces 10.20.3.0/24, tor-b is down", Paths: []ExplainedPath{{Prefix: prefix("10.20.3.0/24"), Path: p, Used: true}}, Sessions: s.Sessions[:1], Findings: []string{"tor-b says: " + words}},
			{Name: StepPolicy, Result: StepOK, Sentence: "the contract of cluster west allows it", Route: route},
			{Name: StepChoice, Result: StepOK, Sentence: "one path is used", Paths: []ExplainedPath{{Prefix: prefix("10.20.3.0/24"), Path: p, Used: true}}},
			{
				Name: StepNextHop, Result: StepFailed, Reason: "NextHopNotOnLink", Sentence: "172.31.0.1 is on no link of this node; the kernel would send to it by the default route",
				NextHops: []Packet{{Destination: addr("172.31.0.1"), Fate: "unicast", Link: "eth0", Gateway: addr("172.16.0.254"), Table: 254, Neighbour: "REACHABLE"}},
				Remedy: &Remedy{
					Action: "have tor-a announce itself as the next hop, or let next hops behind gateways be used", Key: "kernel.resolve", Value: "routes",
					Command: "ip route get 172.31.0.1", Doc: "docs/operations.md#next-hops-behind-gateways",
				},
			},
			{Name: StepKernel, Result: StepFailed, Reason: "Failed", Sentence: "our route is not in the kernel", Route: route},
			{Name: StepLookup, Result: StepWarning, Reason: "DefaultRoute", Sentence: "packets leave by the default route", Packets: []Packet{{Destination: addr("10.20.3.7"), Fate: "unicast", Link: "eth0", Gateway: addr("172.16.0.254"), Table: 254}}},
			{Name: StepNAT, Result: StepSkipped, Sentence: "nothing comes so far"},
			{Name: StepHost, Result: StepOK, Sentence: "nothing on this host stands in the way"},
			{Name: StepNode, Result: StepWarning, Sentence: "the Node says UnderlayRoutesReady=False (InstallFailed)"},
		},
	}
	board := published(s)
	past, at := board.History(), time.Now().Add(-10*time.Minute)
	for i, n := range []Note{
		{Kind: DaemonStarted, Detail: "v0.1.0"}, {Kind: SessionUp, Peer: "tor-a"}, {Kind: SessionUp, Peer: "tor-b"},
		{Kind: KernelFailed, Cluster: "west", Cause: "NextHopNotOnLink", Detail: "next hop 172.31.0.1 is not on-link", Prefix: prefix("10.20.3.0/24")},
		{Kind: SessionDown, Peer: "tor-b", Cause: "PeerShutDown", Detail: words}, {Kind: ClusterChanged, Cluster: "west", Cause: "Partial"},
	} {
		past.Note(at.Add(time.Duration(i)*7*time.Second), &n)
		past.Publish(at.Add(time.Duration(i) * 7 * time.Second))
	}
	return explaining{board, e}
}

func TestTheLookingGlassInABrowser(t *testing.T) {
	b := openBrowser(t)
	source := hostileNode()
	down, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, down.Close())
	well := nodeAt(t, glassOf(t, published(healthy()), "127.0.0.1:9179"))
	address, stop := onGlass(t, source, well, netip.MustParseAddrPort(down.Addr().String()))
	b.open(address)

	for _, row := range []struct {
		when string
		look func(t *testing.T)
	}{
		{"what is wrong comes first", func(t *testing.T) {
			require.Contains(t, b.text("#rollup"), "east-1 of cluster east is Degraded: 1 of 2 peers established")
			require.Contains(t, b.text("#problems"), "10.20.3.0/24: next hop 172.31.0.1 is not on-link")
			require.True(t, value[bool](b, `document.getElementById("rollup").getBoundingClientRect().bottom < innerHeight`))
		}},
		{"sessions are drawn with the words for their states", func(t *testing.T) {
			b.until(`document.querySelectorAll("#picture .edge").length === 2`)
			labels := value[[]string](b, `[...document.querySelectorAll("#picture .label")].map((x) => x.textContent)`)
			require.Equal(t, []string{"Established", "Active"}, labels)
			require.NotEqual(t, value[string](b, `getComputedStyle(document.querySelector(".edge.ok")).stroke`), value[string](b, `getComputedStyle(document.querySelector(".edge.bad")).stroke`))
			require.Equal(t, 3, value[int](b, `document.querySelectorAll("#picture .may").length`), "tor-a may announce west, tor-b west and south")
			require.NotContains(t, b.text("#session-table"), "RTT", "nothing is measured")
		}},
		{"a filter finds a route", func(t *testing.T) {
			b.search("10.20.6")
			require.Equal(t, []string{"10.20.6.0/24"}, value[[]string](b, `[...document.querySelectorAll("#route-table tbody th")].map((x) => x.textContent)`))
			b.search("no such thing")
			require.Contains(t, b.text("#route-count"), "No route matches")
			b.search("")
		}},
		{"hostile words are words", func(t *testing.T) { sameWords(t, b) }},
		{"the step that fails is marked, with what to do", func(t *testing.T) {
			b.do(`document.querySelector('#route-table [data-key="10.20.3.0/24"]').click()`)
			b.until(`document.getElementById("explain-answer").textContent !== ""`)
			require.Equal(t, "Next hop", value[string](b, `document.querySelector('#explain-way li[aria-current="step"] strong').textContent`))
			require.Contains(t, b.text(`#explain-way li[aria-current="step"]`), "kernel.resolve: routes")
			require.Equal(t, "5 ✕", value[string](b, `[...document.querySelectorAll(".strip .stop")].map((x, i) => (i + 1) + " " + x.querySelector(".mark").textContent).find((x) => x.includes("✕"))`), "in the drawing, too")
			require.Equal(t, 1, value[int](b, `document.querySelectorAll(".remedy").length`))
			require.Contains(t, b.text("#explain-way"), "tor-b says: "+hostile)
		}},
		{"what happens is seen at once", func(t *testing.T) {
			b.do(`window.same = true`)
			source.History().Note(time.Now(), &Note{Kind: SessionDown, Peer: "tor-a", Cause: "HoldTimerExpired"})
			source.History().Publish(time.Now())
			b.until(`document.querySelector("#history-table tbody tr").innerText.includes("HoldTimerExpired")`)
			s := *source.Snapshot(t.Context())
			s.Time, s.Sessions = s.Time.Add(time.Minute), append([]Session{}, s.Sessions...)
			s.Sessions[0].State = "idle"
			source.Publish(&s)
			b.until(`document.getElementById("rollup").textContent.includes("0 of 2 peers established")`)
			require.True(t, value[bool](b, `window.same`), "without loading the page again")
		}},
		{"the fleet with who does not answer", func(t *testing.T) {
			b.until(`!document.getElementById("fleet").hidden`)
			require.Contains(t, b.text("#fleet-count"), "2 of 3 nodes answered; this is a part of the fleet")
			require.Contains(t, b.text("#fleet-table"), "connection refused")
		}},
		{"the keyboard alone will do", func(t *testing.T) { byKeyboard(t, b, address) }},
	} {
		t.Run(row.when, row.look)
	}
	for _, dark := range []bool{false, true} {
		for _, width := range []int64{1280, 390} {
			t.Run(fmt.Sprintf("to be read with %d pixels, dark %v", width, dark), func(t *testing.T) { readable(t, b, width, dark) })
		}
	}
	require.Empty(t, b.complaints, "no violation of the policy, no error on the console")
	t.Run("that the daemon is gone is told, and that it is back", func(t *testing.T) {
		stop()
		b.until(`document.getElementById("link").textContent.includes("not connected")`)
		glassAt(t, address, source)
		b.until(`document.getElementById("link").textContent.trim().endsWith("live")`)
	})
}

func sameWords(t *testing.T, b *browser) {
	b.search("10.66.0")
	require.Contains(t, b.text("#route-table"), hostile)
	b.search("10.67.0")
	require.Contains(t, b.text("#route-table"), "tor-?gpj.exe", "nothing turns the direction of writing")
	require.Contains(t, b.text("#session-table"), hostile)
	require.Contains(t, b.text("#history-table"), hostile)
	require.Zero(t, value[int](b, `document.querySelectorAll("img, main script, main [onerror]").length`))
	require.NotEqual(t, "owned", value[string](b, `document.title`))
	require.Equal(t, "TypeError", value[string](b, `(() => { try { document.createElement("p").innerHTML = "<b>x</b>"; return "taken" } catch (e) { return e.name } })()`), "the browser itself takes no text for HTML")
	b.forget("TrustedHTML")
	b.search("")
}

// forget drops the complaint that a test has provoked, which must be there.
func (b *browser) forget(about string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		before := len(b.complaints)
		kept := b.complaints[:0]
		for _, c := range b.complaints {
			if !strings.Contains(c, about) {
				kept = append(kept, c)
			}
		}
		b.complaints = kept
		return len(kept) < before
	}, 5*time.Second, 10*time.Millisecond)
}

// byKeyboard goes from the top of the page to a route and its explanation.
func byKeyboard(t *testing.T, b *browser, address string) {
	b.open(address)
	tab, enter := "\t", "\r"
	focus := func(condition string) string {
		return `(() => { const a = document.activeElement; return ` + condition + ` })()`
	}
	b.press(tab, focus(`a.className === "skip" && a.getBoundingClientRect().left >= 0`), 1)
	b.press(enter, focus(`a.id === "main"`), 1)
	b.press(tab, focus(`a.id === "route-text"`), 8)
	require.True(t, value[bool](b, focus(`getComputedStyle(a).outlineStyle !== "none" && parseFloat(getComputedStyle(a).outlineWidth) >= 2`)), "one sees where one is")
	b.run(chromedp.KeyEvent("10.20.3.0"))
	b.until(`document.querySelectorAll("#route-table tbody tr").length === 1`)
	b.press(tab, focus(`a.dataset.key === "10.20.3.0/24"`), 8)
	b.press(enter, focus(`a.id === "explain-target"`), 1)
	b.until(`document.querySelector('#explain-way li[aria-current="step"]') !== null`)
	for _, landmark := range []string{"header", "nav[aria-label]", "main", "footer", "form[role=search]"} {
		require.True(t, value[bool](b, fmt.Sprintf(`document.querySelector(%q) !== null`, landmark)), landmark)
	}
	require.Zero(t, value[int](b, `[...document.querySelectorAll("input, select")].filter((x) => x.labels.length === 0).length`), "each field has its label")
	require.Zero(t, value[int](b, `document.querySelectorAll("th:not([scope])").length`))
}

// contrasts returns the texts with the contrast between their colour and what is behind them below 4.5 (WCAG 2.2, 1.4.3).
const contrasts = `(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith("color(") ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const behind = (n) => {
    const shape = n.closest("g")?.querySelector("rect, circle");
    if (shape && n.ownerSVGElement && !(n.closest(".strip") && !n.classList.contains("mark"))) return parse(getComputedStyle(shape).fill);
    for (let p = n; p; p = p.parentElement) { const c = parse(getComputedStyle(p).backgroundColor); if (c[3] === 1) return c; }
    return [255, 255, 255];
  };
  const out = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walk.nextNode()) {
    const n = walk.currentNode.parentElement, s = getComputedStyle(n);
    if (!walk.currentNode.data.trim() || !n.checkVisibility() || n.closest("noscript, title, option, :disabled, .unseen")) continue;
    seen++;
    const a = light(parse(n.ownerSVGElement ? s.fill : s.color)), b = light(behind(n));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) out.push(ratio.toFixed(2) + " " + walk.currentNode.data.slice(0, 40) + " " + n.outerHTML.slice(0, 80));
  }
  return seen < 100 ? ["only " + seen + " texts were seen"] : out;
})()`

// readable looks at contrast and width, and writes the pictures of the documentation where it is asked to.
func readable(t *testing.T, b *browser, width int64, dark bool) {
	b.run(shape(width, 900, dark))
	b.until(fmt.Sprintf(`innerWidth === %d && document.querySelector("#picture svg").getBoundingClientRect().width <= innerWidth`, width))
	require.Equal(t, dark, value[bool](b, `matchMedia("(prefers-color-scheme: dark)").matches`))
	require.Empty(t, value[[]string](b, contrasts))
	require.LessOrEqual(t, value[int](b, `document.documentElement.scrollWidth`), int(width), "nothing sticks out")
}

// TestALargeTableIsQuickInABrowser prints how long people wait.
func TestALargeTableIsQuickInABrowser(t *testing.T) {
	b := openBrowser(t)
	s := healthy()
	s.Table = many(100_000)
	address, _ := onGlass(t, published(s))
	b.run(chromedp.Navigate("about:blank"))
	began := time.Now()
	b.open(address)
	b.until(`document.querySelectorAll("#route-table tbody tr").length === 100`)
	t.Logf("100,000 routes: first view after %d ms", time.Since(began).Milliseconds())
	for _, text := range []string{"20.1.134.0/24", "tor-a", "1.134.1", "no such thing"} {
		began = time.Now()
		b.search(text)
		t.Logf("100,000 routes: %q found after %d ms, 150 of them to wait for the next letter: %s", text, time.Since(began).Milliseconds(), b.text("#route-count"))
	}
	require.Contains(t, b.text("#route-count"), "No route matches")
	require.Less(t, value[int](b, `document.querySelectorAll("*").length`), 5000, "the page has a page of routes, not all of them")
	require.Empty(t, b.complaints)
}
