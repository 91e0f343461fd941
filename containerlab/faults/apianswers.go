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
	code    int           // what it answers; 0: nothing
	changed chan struct{} // closed and replaced when code is another
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

// answer has the proxy answer all requests with a code, those that are under way too; 0 passes them on again.
func (p *proxy) answer(code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code = code
	close(p.changed)
	p.changed = make(chan struct{})
}

// ServeHTTP implements http.Handler. It answers as the API does, by a Status.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	code, changed := p.code, p.changed
	p.mu.Unlock()
	if code != 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		reason := strings.ReplaceAll(http.StatusText(code), " ", "")
		fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "the bench says so", "reason": %q, "code": %d}`, reason, code)
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
