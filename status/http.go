package status

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
)

// listenRetry is how long after a failure to listen it is tried again.
const listenRetry = 5 * time.Second

// Web serves over TCP what other machines need: metrics and probes. It is no part of routing: when the port is taken it
// waits for it, and says so. Nothing of it writes, and nobody is asked who they are.
//
//	GET /metrics             the state in Prometheus' text format
//	GET /livez, /readyz      200 or 503; with ?verbose what was looked at, as Kubernetes' own do
type Web struct {
	address netip.AddrPort
	handler func(context.Context) http.Handler
	log     logrus.FieldLogger
	problem atomic.Pointer[Problem]
}

// NewWeb makes a Web for an address; one that is not valid is for one that serves nothing.
func NewWeb(address netip.AddrPort, source Source, log logrus.FieldLogger, more ...prometheus.Collector) *Web {
	return &Web{address: address, log: log, handler: func(ctx context.Context) http.Handler { return newHandler(ctx, source, more...).web() }}
}

// Problem says why nothing is served though it should be; nil if all is well.
func (w *Web) Problem() *Problem { return w.problem.Load() }

// Run serves until ctx is cancelled and then returns nil.
func (w *Web) Run(ctx context.Context) error {
	if !w.address.IsValid() {
		return nil
	}
	var lc net.ListenConfig
	for {
		l, err := lc.Listen(ctx, "tcp", w.address.String())
		if err == nil {
			w.problem.Store(nil)
			w.log.WithField("address", w.address.String()).Info("metrics and probes are served over HTTP")
			err = answerOn(ctx, l, w.handler(ctx))
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it ends with ctx, whatever else it says
		}
		if w.problem.Load() == nil {
			w.log.WithError(err).Warn("metrics and probes are not served; trying again")
		}
		w.problem.Store(&Problem{Severity: Warning, Subject: "http", Message: fmt.Sprintf("metrics and probes are not served: %s", err), Since: time.Now()})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenRetry):
		}
	}
}

// answerOn answers on l until ctx is cancelled, which is no error.
func answerOn(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	var err error
	select {
	case err = <-done:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if server.Shutdown(limit) != nil { // somebody does not take the answer
		err = server.Close()
	}
	if ended := <-done; err == nil && !errors.Is(ended, http.ErrServerClosed) {
		err = ended
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
