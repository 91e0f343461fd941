package status

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

var screenshots = flag.Bool("screenshots", false, "write the pictures of docs/looking-glass.md again")

// shape gives the window a size and a colour scheme.
func shape(width, height int64, dark bool) chromedp.Action[chromedp.Void] {
	var window []chromedp.EmulateViewportOption
	if width < 640 { // a phone lays its scroll bars over the page
		window = append(window, chromedp.EmulateMobile)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: map[bool]string{false: "light", true: "dark"}[dark]}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	return chromedp.Steps(chromedp.EmulateViewport(width, height, window...), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, media)
		return err
	}))
}

// TestScreenshots writes docs/images/glass-*.png with -screenshots: what people see of a node in trouble.
func TestScreenshots(t *testing.T) {
	if !*screenshots {
		return
	}
	b := openBrowser(t)
	source := troubled("administrative shutdown: maintenance of rack 7, back at 14:00")
	well := nodeAt(t, glassOf(t, published(healthy()), "127.0.0.1:9179"))
	address, _ := onGlass(t, source, well, silentNode(t))
	folder := filepath.Join("..", "docs", "images")
	for _, row := range []struct {
		name, anchor  string
		width, height int64
		dark          bool
	}{
		{"state", "", 1280, 900, false},
		{"state-dark", "", 1280, 900, true},
		{"routes", "routes", 1280, 640, false},
		{"explain", "explain", 1280, 760, false},
		{"explain-dark", "explain", 1280, 760, true},
		{"history", "history", 1280, 640, true},
		{"phone", "", 390, 844, false},
		{"phone-topology", "topology", 390, 844, false},
		{"phone-sessions", "sessions", 390, 844, true},
		{"phone-explain", "explain", 390, 844, true},
	} {
		b.run(shape(row.width, row.height, row.dark))
		b.open(address)
		b.until(`!document.getElementById("fleet").hidden`)
		b.do(`document.querySelector('#route-table [data-key="10.20.3.0/24"]').click()`)
		b.until(`document.querySelector('#explain-way li[aria-current="step"]') !== null`)
		b.do(fmt.Sprintf(`document.activeElement.blur(); (document.getElementById(%q) ?? document.body).scrollIntoView()`, row.anchor))
		picture, err := chromedp.Run(b, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		small := fewColours(t, picture)
		require.Less(t, len(small), 150_000, row.name)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "glass-"+row.name+".png"), small, 0o600))
	}
}

// fewColours writes a PNG again with 256 colours, which is a third of its size.
func fewColours(t *testing.T, text []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(text))
	require.NoError(t, err)
	area := full.Bounds()
	count := map[color.RGBA]int{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			r, g, b, _ := full.At(x, y).RGBA()
			count[color.RGBA{R: uint8(r >> 8), G: uint8(g >> 8), B: uint8(b >> 8), A: 255}]++
		}
	}
	var palette color.Palette
	seen := map[[3]uint8]bool{} // of colours that nobody can tell from one another, the one that there is most of
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] }) {
		alike := [3]uint8{c.R >> 4, c.G >> 4, c.B >> 4}
		if len(palette) < 256 && !seen[alike] {
			seen[alike] = true
			palette = append(palette, c)
		}
	}
	few := image.NewPaletted(area, palette)
	draw.Draw(few, area, full, area.Min, draw.Src)
	var out bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few))
	return out.Bytes()
}
