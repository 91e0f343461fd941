package status

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// stuckAfter is how long the loop may take for one turn. The longest that is known, a new plan for a million routes,
// takes a few seconds; who ends a daemon that works is worse than who waits.
const stuckAfter = time.Minute

// alive says whether the daemon's loop turns. Peers, the kernel and the Kubernetes API have no say: to start the daemon
// again mends none of them. One that is still starting is alive.
func (h *handler) alive(w http.ResponseWriter, _ *http.Request) {
	turned := h.source.Turned()
	if still := time.Since(turned); !turned.IsZero() && still > stuckAfter {
		refuse(w, http.StatusServiceUnavailable, "the loop has not turned for %s", still.Round(time.Second))
		return
	}
	answer(w, health{"alive"})
}

// ready says whether the first exchange is over: what the peers had to say is in the kernel, or enough was waited for
// those that say nothing. What happens later does not take it back: a rollout waits for it, and nothing else.
func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	s := h.source.Summary(ctx)
	switch {
	case s == nil:
		notYet(w)
	case s.Phase == Starting || s.Phase == Learning:
		refuse(w, http.StatusServiceUnavailable, "the first exchange with the peers is not over: the phase is %s", s.Phase)
	default:
		answer(w, health{"ready"})
	}
}

type health struct {
	Is string `json:"is"`
}

// Health returns nil if the daemon's loop turns and, when ready is asked for, its first exchange with the peers is over;
// else an error that says what is not so. No peer can make a daemon that works look otherwise.
func (c *Client) Health(ctx context.Context, ready bool) error {
	path := "/healthz"
	if ready {
		path = "/readyz"
	}
	return c.ask(ctx, path, url.Values{}, &health{})
}
