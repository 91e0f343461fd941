package status

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
)

// ParseQuestion reads what a person writes: an address or a prefix, and maybe the address that a packet comes from.
func ParseQuestion(target, source string) (Question, error) {
	p, err := ParseTarget(target)
	if err != nil {
		return Question{}, err
	}
	q := Question{Target: p}
	if source == "" {
		return q, nil
	}
	a, err := netip.ParseAddr(source)
	if err != nil || a.Zone() != "" {
		return Question{}, fmt.Errorf("source %q: must be an address", source)
	}
	if q.Source = a.Unmap(); q.Source.Is4() != p.Addr().Is4() {
		return Question{}, fmt.Errorf("source %s and target %s: must be of one family", a, p)
	}
	return q, nil
}

// Explain asks for the way to a target.
func (c *Client) Explain(ctx context.Context, question Question) (*Explanation, error) {
	q := url.Values{"target": {question.Target.String()}}
	if question.Source.IsValid() {
		q.Set("source", question.Source.String())
	}
	e := &Explanation{}
	if err := c.ask(ctx, "/v1/explain", q, e); err != nil {
		return nil, err
	}
	return e, checkVersion(e.APIVersion)
}

func (h *handler) explain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	target, source := q.Get("target"), q.Get("source")
	q.Del("target")
	q.Del("source")
	if len(q) > 0 {
		refuse(w, http.StatusBadRequest, "parameter %q is not known; known are target and source", sortedKeys(q)[0])
		return
	}
	question, err := ParseQuestion(target, source)
	if err != nil {
		refuse(w, http.StatusBadRequest, "%s", err)
		return
	}
	explainer, can := h.source.(Explainer)
	if !can {
		notYet(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	e := explainer.Explain(ctx, question)
	if e == nil {
		notYet(w)
		return
	}
	e.APIVersion, e.Kind, e.Steps = APIVersion, KindExplanation, list(e.Steps)
	answer(w, e)
}
