// Package glass is the page of the looking glass: plain HTML, CSS and JavaScript modules, built into the program. It asks the
// server that it came from and nobody else, and shows what it is told as text.
package glass

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// policy lets the page run and load its own files alone: nothing inline, nothing from elsewhere, and no other page around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"

// SetHeaders sets what each answer of the looking glass has, whatever else it says.
func SetHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for what is older than frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// Page serves the page at / and its files under /glass/.
type Page struct{ files map[string]file }

type file struct {
	text []byte
	kind string // Content-Type
	tag  string // ETag
}

// NewPage makes a Page of the files that were built in.
func NewPage() *Page {
	p := &Page{files: map[string]file{}}
	entries, err := files.ReadDir("page")
	if err != nil { // they were built in
		return p
	}
	for _, e := range entries {
		text, err := files.ReadFile("page/" + e.Name())
		if err != nil {
			continue
		}
		sum := sha256.Sum256(text)
		p.files[e.Name()] = file{text: text, kind: kindOf(e.Name()), tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return p
}

// kindOf does not leave to the machine's own list what a browser must not guess.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// ServeHTTP implements http.Handler. A browser may keep the files, and asks each time whether they are still the same: a daemon
// that was upgraded is never looked at through an older page.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/glass/")
	if r.URL.Path == "/" {
		name = "index.html"
	}
	f, found := p.files[name]
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("ETag", f.tag)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.text))
}
