package status

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// stuckAfter is how long the loop may take for one turn. The longest that is known, a new plan for a million routes,
// takes a few seconds; who ends a daemon that works is worse than who waits.
const stuckAfter = time.Minute

// aspect is one thing that a probe looks at; its problem is empty if all is well.
type aspect struct{ name, problem string }

// loopCheck says whether the daemon's loop turns. Peers, the kernel and the Kubernetes API have no say: to start the daemon
// again mends none of them. One that is still starting is alive.
func (h *handler) loopCheck() aspect {
	c := aspect{name: "loop"}
	turned := h.source.Turned()
	if still := time.Since(turned); !turned.IsZero() && still > stuckAfter {
		c.problem = fmt.Sprintf("the loop has not turned for %s", still.Round(time.Second))
	}
	return c
}

// exchangeCheck says whether the first exchange is over: what the peers had to say is in the kernel, or enough was waited for
// those that say nothing. What happens later does not take it back: a rollout waits for it, and nothing else.
func (h *handler) exchangeCheck(ctx context.Context) aspect {
	c := aspect{name: "first-exchange"}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	switch s := h.source.Summary(ctx); {
	case s == nil:
		c.problem = nothingYet
	case s.Phase == Starting || s.Phase == Learning:
		c.problem = fmt.Sprintf("the first exchange with the peers is not over: the phase is %s", s.Phase)
	}
	return c
}

func (h *handler) alive(w http.ResponseWriter, r *http.Request) {
	probe(w, r, "alive", h.loopCheck())
}

func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	probe(w, r, "ready", h.exchangeCheck(r.Context()))
}

// probe answers 200 if nothing is wrong, and 503 otherwise. With ?verbose it tells of each check, in the words of Kubernetes'
// own components.
func probe(w http.ResponseWriter, r *http.Request, is string, checks ...aspect) {
	bad := slices.IndexFunc(checks, func(c aspect) bool { return c.problem != "" })
	if !r.URL.Query().Has("verbose") {
		if bad >= 0 {
			refuse(w, http.StatusServiceUnavailable, "%s", checks[bad].problem)
			return
		}
		answer(w, health{is})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	outcome := "passed"
	if bad >= 0 {
		outcome = "failed"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	for _, c := range checks {
		if c.problem == "" {
			fmt.Fprintf(w, "[+]%s ok\n", c.name)
		} else {
			fmt.Fprintf(w, "[-]%s failed: %s\n", c.name, c.problem)
		}
	}
	fmt.Fprintf(w, "%s check %s\n", map[string]string{"alive": "livez", "ready": "readyz"}[is], outcome)
}

type health struct {
	Is string `json:"is"`
}

// Health returns nil if the daemon's loop turns and, when ready is asked for, its first exchange with the peers is over;
// else an error that says what is not so. No peer can make a daemon that works look otherwise.
func (c *Client) Health(ctx context.Context, ready bool) error {
	question := "/healthz"
	if ready {
		question = "/readyz"
	}
	return c.ask(ctx, question, url.Values{}, &health{})
}
