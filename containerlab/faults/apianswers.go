package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answerRows are about an API, or what stands in front of it, that answers and does not do what it is asked for.
func answerRows() []row {
	var rows []row
	for _, code := range []int{http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable} {
		rows = append(rows, row{
			name: fmt.Sprintf("the API answers everything with %d for 5 s", code), required: "nothing happens, and it is named",
			says:    []string{"kubernetes: .*routing is not affected"},
			prepare: proxied,
			inject: func(ctx context.Context, s *scene) error {
				s.proxy.answer(code)
				err := errors.Join(s.says(ctx, 15*time.Second, "kubernetes: "), pause(ctx, 5*time.Second))
				s.proxy.answer(0)
				return err
			},
		})
	}
	return rows
}

// proxied is kubernetes with a proxy in between that answers for the API.
func proxied(ctx context.Context, s *scene) error {
	return s.kubernetes(ctx, func(ctx context.Context) (string, error) {
		if _, err := s.startAPI(ctx); err != nil {
			return "", err
		}
		if s.proxy == nil {
			proxy, err := s.startProxy(ctx)
			if err != nil {
				return "", err
			}
			s.proxy = proxy
		}
		return "http://" + s.proxy.listener.Addr().String(), nil
	})
}

// proxy is an API server to the node: it passes everything on, or answers itself.
type proxy struct {
	listener net.Listener
	server   *http.Server
	next     http.Handler

	mu      sync.Mutex    // guards what follows
	says    reply         // what it answers; with code 0 nothing
	refused int           // requests answered so since that is what it says
	changed chan struct{} // closed and replaced when it says something else
}

// reply is what a proxy answers in place of the API.
type reply struct {
	code   int
	method string // to these requests; empty: to all
	after  int    // seconds of Retry-After; 0: without
}

// startProxy has the node under test find the API on its own loopback.
func (s *scene) startProxy(ctx context.Context) (*proxy, error) {
	agent, err := s.api.Agent(ctx, "east-1")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.api.Admin().CAData)
	next := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "https", Host: s.api.Address()})
		r.Out.Header.Set("Authorization", "Bearer "+agent.BearerToken) // which the agent says to nobody in the clear
	}}
	next.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	next.FlushInterval, next.ErrorLog = -1, slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p := &proxy{next: next, changed: make(chan struct{})}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: patience, ErrorLog: next.ErrorLog}
	err = s.east.Do(func() (err error) {
		p.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		return nil, err
	}
	go func() { _ = p.server.Serve(p.listener) }() // until close
	return p, nil
}

// answer has the proxy answer all requests with a code; 0 passes them on again.
func (p *proxy) answer(code int) { p.reply(reply{code: code}) }

// reply has the proxy answer in place of the API. Requests that are under way end.
func (p *proxy) reply(with reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.says = with; with.code != 0 {
		p.refused = 0
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// count is how many requests were answered in place of the API since it began the last time.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// ServeHTTP implements http.Handler. It answers as the API does, by a Status.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	says, changed := p.says, p.changed
	mine := says.code != 0 && (says.method == "" || says.method == r.Method)
	if mine {
		p.refused++
	}
	p.mu.Unlock()
	if mine {
		w.Header().Set("Content-Type", "application/json")
		if says.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(says.after))
		}
		w.WriteHeader(says.code)
		reason := strings.ReplaceAll(http.StatusText(says.code), " ", "")
		fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "the bench says so", "reason": %q, "code": %d}`, reason, says.code)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	p.next.ServeHTTP(w, r.WithContext(ctx))
}

func (p *proxy) close() error { return p.server.Close() }
