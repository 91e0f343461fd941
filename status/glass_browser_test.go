package status

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
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
			require.NotContains(t, b.text("#session-table"), "RTT", "no peer is probed itself")
			require.Contains(t, b.text("#cluster-table"), "Ok 1.00 ms", "the mean of what was answered")
			require.Equal(t, []string{"Established · 0.42 ms", "Active"}, b.draw(`s.probes.results[0].nodes = [{nodeAddress: "172.16.0.1", state: "Ok", avgNanoseconds: 420000}]`))
			many := b.draw(`s.sessions = Array.from({length: 100}, (_, i) => ({...s.sessions[i === 99 ? 1 : 0], peer: "peer-" + i}))`)
			require.Len(t, many, 25)
			require.Equal(t, []string{"Active", "and 76 more peers"}, []string{many[0], many[24]}, "what is not well is not left out")
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

// draw shows the picture of the node's state with a change, and returns its labels.
func (b *browser) draw(change string) []string {
	b.t.Helper()
	b.do(`window.drawn = undefined; Promise.all([import("/glass/topology.js"), fetch("/v1/status").then((r) => r.json())]).then(([m, s]) => {
		` + change + `; m.showTopology(s);
		window.drawn = [...document.querySelectorAll("#picture .label, #picture .rest")].map((x) => x.textContent);
	})`)
	b.until(`window.drawn !== undefined`)
	return value[[]string](b, `window.drawn`)
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
