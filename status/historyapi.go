package status

import (
	"context"
	"net/http"
	"time"
)

// history answers with what happened.
func (h *handler) history(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	filter, err := parseHistoryFilter(r.URL.Query(), now)
	if err != nil {
		refuse(w, http.StatusBadRequest, "%s", err)
		return
	}
	s := h.summary(w, r)
	if s == nil {
		return
	}
	past := h.source.History()
	l := HistoryList{APIVersion: APIVersion, Kind: KindHistoryList, Node: s.Node, Time: now, Since: past.remembers()}
	l.Items, l.Omitted = past.Entries(filter)
	l.Items = list(l.Items)
	answer(w, l)
}

// History asks for what happened.
func (c *Client) History(ctx context.Context, f HistoryFilter) (*HistoryList, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	l := &HistoryList{}
	if err := c.ask(ctx, "/v1/history", f.query(), l); err != nil {
		return nil, err
	}
	return l, checkVersion(l.APIVersion)
}
