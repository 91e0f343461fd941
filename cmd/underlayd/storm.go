package main

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"
)

const (
	stormBurst   = 100              // lines of one message that may come at once
	stormRate    = rate.Limit(5)    // and as many a second after them
	stormWindow  = 10 * time.Second // how often is said what was left out
	stormKinds   = 512              // messages that are told apart; all others share one allowance
	stormMessage = "lines were left out of the log: too many with this message"
)

// stormGuard keeps one message from filling the log: a thousand sessions that go down with a switch are a thousand lines
// each time it flaps. Lines have the same message if what differs is in their fields. What is left out is counted, and
// the count is logged; the history and the metrics have all of it. What is asked for with the level debug is never left out.
type stormGuard struct {
	logrus.Formatter
	log *logrus.Logger

	mu      sync.Mutex // guards all below
	said    map[string]*allowance
	waiting *time.Timer // until what was left out is said; nil: nothing was
}

// allowance is what one message may still say.
type allowance struct {
	limit *rate.Limiter
	left  int          // lines left out and not yet told
	level logrus.Level // of the worst of them
}

// guardStorms puts a guard before what log writes. The returned function says at once what was left out.
func guardStorms(log *logrus.Logger) (settle func()) {
	g := &stormGuard{Formatter: log.Formatter, log: log, said: map[string]*allowance{}}
	log.SetFormatter(g)
	return g.settle
}

// Format implements logrus.Formatter; nothing is written of a line that is left out.
func (g *stormGuard) Format(e *logrus.Entry) ([]byte, error) {
	if e.Level < logrus.DebugLevel && e.Message != stormMessage && !g.allow(e) {
		return nil, nil
	}
	return g.Formatter.Format(e)
}

func (g *stormGuard) allow(e *logrus.Entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := e.Message
	if g.said[key] == nil && len(g.said) >= stormKinds {
		key = ""
	}
	a := g.said[key]
	if a == nil {
		a = &allowance{limit: rate.NewLimiter(stormRate, stormBurst)}
		g.said[key] = a
	}
	if a.limit.AllowN(e.Time, 1) {
		return true
	}
	if a.left == 0 || e.Level < a.level {
		a.level = e.Level
	}
	a.left++
	if g.waiting == nil {
		g.waiting = time.AfterFunc(stormWindow, g.settle)
	}
	return false
}

// settle logs what was left out since it last did.
func (g *stormGuard) settle() {
	for message, a := range g.take() {
		g.log.WithFields(logrus.Fields{"message": message, "lines": a.left}).Log(a.level, stormMessage)
	}
}

func (g *stormGuard) take() map[string]allowance {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting != nil {
		g.waiting.Stop()
		g.waiting = nil
	}
	out := map[string]allowance{}
	for message, a := range g.said {
		if a.left > 0 {
			out[message] = *a
			a.left = 0
		}
	}
	return out
}
