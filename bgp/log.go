package bgp

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// repeatWindow is how long a warning of GoBGP that was logged is not logged again: one line per stray
// connection to port 179 would let a stranger fill the disk.
const repeatWindow = 30 * time.Second

// handler passes GoBGP's slog records to logrus. A record can never end the process: logrus exits on its
// Fatal and Panic levels, so nothing above Error is ever used.
type handler struct {
	log    logrus.FieldLogger
	fields logrus.Fields
	seen   *repeats
	hear   hearer
}

// hearer is told what GoBGP says in its log alone.
type hearer struct {
	down   func(peer netip.Addr, why Cause)                    // a session ended
	reason func(peer netip.Addr, meant notified, words string) // the peer said why; hostile input
	// We refused the peer before there was a session.
	refused func(peer netip.Addr, why string)
	unread  func(peer netip.Addr) // the prefixes of an UPDATE were not read
}

// repeats remembers when each warning was last logged.
type repeats struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

func newLogger(log logrus.FieldLogger, hear hearer) *slog.Logger {
	return slog.New(&handler{log: log, fields: logrus.Fields{"component": "gobgp"}, seen: &repeats{last: map[string]time.Time{}}, hear: hear})
}

// Enabled implements slog.Handler. GoBGP has several records for each path, all of them Debug: what logrus would drop
// must cost nothing.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.wanted(level)
}

// wanted says whether logrus prints records of a level.
func (h *handler) wanted(level slog.Level) bool {
	want := logrus.DebugLevel
	switch {
	case level >= slog.LevelError:
		want = logrus.ErrorLevel
	case level >= slog.LevelWarn:
		want = logrus.WarnLevel
	}
	switch log := h.log.(type) {
	case *logrus.Logger:
		return log.IsLevelEnabled(want)
	case *logrus.Entry:
		return log.Logger.IsLevelEnabled(want)
	default:
		return true
	}
}

// Handle implements slog.Handler. GoBGP's Info is our Debug: what operators need of it is in Session.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if key, ok := h.fields[downPeer].(string); ok {
		h.listen(r, key)
	}
	if !h.wanted(r.Level) {
		return nil
	}
	fields := make(logrus.Fields, len(h.fields)+r.NumAttrs())
	for k, v := range h.fields {
		fields[k] = v
	}
	r.Attrs(func(a slog.Attr) bool {
		fields[a.Key] = a.Value.Resolve().Any()
		return true
	})
	entry := h.log.WithFields(fields)
	switch {
	case r.Level < slog.LevelWarn:
		entry.Debug(r.Message)
	case h.seen.recently(r.Message, r.Time):
		entry.Debug(r.Message)
	case r.Level < slog.LevelError:
		entry.Warn(r.Message)
	default:
		entry.Error(r.Message)
	}
	return nil
}

// listen looks at a record that is about one peer.
func (h *handler) listen(r slog.Record, key string) {
	switch r.Message {
	case downMessage:
		if peer, err := netip.ParseAddr(key); err == nil {
			h.hear.down(peer, causeOf(attr(r, downReason)))
		}
	case withdrawnMessage:
		if peer, err := netip.ParseAddr(key); err == nil && unread(attr(r, withdrawnError)) {
			h.hear.unread(peer)
		}
	case reasonMessage:
		if peer, err := netip.ParseAddr(key); err == nil {
			meant, words := hardReset(r)
			h.hear.reason(peer, meant, cmp.Or(attr(r, reasonWords), words))
		}
	default:
		if peer, why, sent := refusedPeer(r, key); sent {
			h.hear.refused(peer, why)
		}
	}
}

// attr returns an attribute of a record as text, empty if it has none of that name.
func attr(r slog.Record, key string) string {
	text := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			text = a.Value.String()
		}
		return text == ""
	})
	return text
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := make(logrus.Fields, len(h.fields)+len(attrs))
	for k, v := range h.fields {
		fields[k] = v
	}
	for _, a := range attrs {
		fields[a.Key] = a.Value.Resolve().Any()
	}
	return &handler{log: h.log, fields: fields, seen: h.seen, hear: h.hear}
}

// WithGroup implements slog.Handler. GoBGP uses no groups.
func (h *handler) WithGroup(string) slog.Handler { return h }

// recently says whether this message was logged within the window; if not, it counts as logged now.
// GoBGP's messages are constants, so the map stays as small as its source.
func (r *repeats) recently(message string, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(r.last[message]) < repeatWindow {
		return true
	}
	r.last[message] = at
	return false
}
