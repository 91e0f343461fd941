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

// Web serves over TCP what other machines need: metrics and probes, and people if they are let, a looking glass. It is no part of
// routing: when the port is taken it waits for it, and says so. Nothing of it writes, and nobody is asked who they are.
//
//	GET /metrics             the state in Prometheus' text format
//	GET /livez, /readyz      200 or 503; with ?verbose what was looked at, as Kubernetes' own do
//
// What the looking glass has beside these is told where it is made.
type Web struct {
	WebConfig
	problem atomic.Pointer[Problem]
}

// WebConfig is what a Web serves, and where.
type WebConfig struct {
	Listen       netip.AddrPort // not valid: nothing is served
	LookingGlass bool
	Fleet        []netip.AddrPort // whom the looking glass asks beside Source
	Source       Source
	Log          logrus.FieldLogger
	Metrics      []prometheus.Collector // beside those of the state
}

// NewWeb makes a Web.
func NewWeb(c WebConfig) *Web { return &Web{WebConfig: c} }

func (w *Web) handler(ctx context.Context) http.Handler {
	h := newHandler(ctx, w.Source, w.Metrics...)
	if !w.LookingGlass {
		return h.web()
	}
	return newLookingGlass(h, w.WebConfig).beside(h.web())
}

// Problem says why nothing is served though it should be; nil if all is well.
func (w *Web) Problem() *Problem { return w.problem.Load() }

// Run serves until ctx is cancelled and then returns nil.
func (w *Web) Run(ctx context.Context) error {
	if !w.Listen.IsValid() {
		if w.LookingGlass {
			w.Log.Warn("http.lookingGlass is set and http.listen is not: the looking glass is served nowhere")
		}
		return nil
	}
	var lc net.ListenConfig
	for {
		l, err := lc.Listen(ctx, "tcp", w.Listen.String())
		if err == nil {
			w.problem.Store(nil)
			w.Log.WithField("address", w.Listen.String()).Info(w.what() + " are served over HTTP")
			err = answerOn(ctx, l, w.handler(ctx))
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it ends with ctx, whatever else it says
		}
		if w.problem.Load() == nil {
			w.Log.WithError(err).Warn(w.what() + " are not served; trying again")
		}
		w.problem.Store(&Problem{Severity: Warning, Subject: "http", Message: fmt.Sprintf("%s are not served: %s", w.what(), err), Since: time.Now()})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenRetry):
		}
	}
}

// what is served, for people.
func (w *Web) what() string {
	if w.LookingGlass {
		return "metrics, probes and the looking glass"
	}
	return "metrics and probes"
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
