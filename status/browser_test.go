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
	}, time.Minute, 20*time.Millisecond)
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
	var text string
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
	for deadline := time.Now().Add(time.Minute); !value[bool](b, expression); {
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
	}, time.Minute, 20*time.Millisecond)
}
