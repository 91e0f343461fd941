package status

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The limits of an answer about the history.
const (
	defaultHistory = 200
	maxHistory     = historyEntries
)

// HistoryList is the answer about what happened, the oldest first.
type HistoryList struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Node       string    `json:"node"`
	Time       time.Time `json:"time"`
	// Since is from when on nothing is forgotten; zero if nothing is. Omitted says how many entries did not fit in the limit:
	// older ones than these.
	Since   time.Time `json:"since,omitzero"`
	Omitted int       `json:"omitted,omitempty"`
	Items   []Entry   `json:"items"`
}

// HistoryFilter chooses entries; the zero value chooses the last defaultHistory of all. Every field that is set must match.
type HistoryFilter struct {
	Since   time.Time    // what happened then or later
	Prefix  netip.Prefix // each time that something happened to a prefix that covers it or lies inside it, for itself
	Peer    string
	Cluster string
	Limit   int // at most maxHistory; 0 is defaultHistory
}

// Validate tells what is wrong with the filter.
func (f HistoryFilter) Validate() error {
	if f.Limit < 0 || f.Limit > maxHistory {
		return fmt.Errorf("limit %d: must be 1..%d", f.Limit, maxHistory)
	}
	return nil
}

// ParseSince reads a moment as people write it: a duration that counts back from now, as 10m, or a time as of RFC 3339.
func ParseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a duration such as 10m nor a time such as %s", s, time.RFC3339)
	}
	return t, nil
}

func (f HistoryFilter) query() url.Values {
	q := url.Values{}
	set := func(key, value string, is bool) {
		if is {
			q.Set(key, value)
		}
	}
	set("since", f.Since.Format(time.RFC3339Nano), !f.Since.IsZero())
	set("prefix", f.Prefix.String(), f.Prefix.IsValid())
	set("peer", f.Peer, f.Peer != "")
	set("cluster", f.Cluster, f.Cluster != "")
	set("limit", strconv.Itoa(f.Limit), f.Limit > 0)
	return q
}

// parseHistoryFilter refuses parameters it does not know.
func parseHistoryFilter(q url.Values, now time.Time) (HistoryFilter, error) {
	var f HistoryFilter
	for _, key := range sortedKeys(q) {
		if len(q[key]) != 1 {
			return HistoryFilter{}, fmt.Errorf("parameter %q is given %d times", key, len(q[key]))
		}
		value, err := q.Get(key), error(nil)
		switch key {
		case "since":
			f.Since, err = ParseSince(value, now)
		case "prefix":
			f.Prefix, err = ParseTarget(value)
		case "peer":
			f.Peer = value
		case "cluster":
			f.Cluster = value
		case "limit":
			f.Limit, err = parseLimit(value)
		default:
			return HistoryFilter{}, fmt.Errorf("parameter %q is not known; known are cluster, limit, peer, prefix, since", key)
		}
		if err != nil {
			return HistoryFilter{}, fmt.Errorf("parameter %q: %w", key, err)
		}
	}
	return f, f.Validate()
}

func parseLimit(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q: must be a number above 0", s)
	}
	return n, nil
}

// Entries returns what the filter chooses, the oldest first, and how many older ones did not fit in its limit.
func (h *History) Entries(f HistoryFilter) (entries []Entry, omitted int) {
	if f.Prefix.IsValid() {
		entries = h.about(f)
	} else {
		for _, e := range h.all() {
			if f.matches(e) {
				entries = append(entries, *e)
			}
		}
	}
	if omitted = len(entries) - cmp.Or(f.Limit, defaultHistory); omitted <= 0 {
		return entries, 0
	}
	return entries[omitted:], omitted
}

// all returns what there is, by ID.
func (h *History) all() []*Entry {
	end := h.next.Load()
	var out []*Entry
	for id := max(end, historyEntries) - historyEntries + 1; id <= end; id++ {
		if e := h.entry(id); e != nil {
			out = append(out, e)
		}
	}
	return out
}

// entry returns the entry of an ID; nil for one that is forgotten, or not published yet.
func (h *History) entry(id uint64) *Entry {
	if e := h.ring[id%historyEntries].Load(); e != nil && e.ID == id {
		return e
	}
	return nil
}

// remembers returns from when on nothing is forgotten; the zero time if nothing is.
func (h *History) remembers() time.Time {
	if h.next.Load() <= historyEntries {
		return time.Time{}
	}
	if all := h.all(); len(all) > 0 {
		return all[0].Time
	}
	return time.Time{}
}

// after returns what is newer than a revision, in the order of their revisions.
func (h *History) after(revision uint64) []*Entry {
	if h.revised.Load() <= revision {
		return nil
	}
	out := slices.DeleteFunc(h.all(), func(e *Entry) bool { return e.Revision <= revision })
	slices.SortFunc(out, func(a, b *Entry) int { return cmp.Compare(a.Revision, b.Revision) })
	return out
}

func (f HistoryFilter) matches(e *Entry) bool {
	switch {
	case !f.Since.IsZero() && e.latest().Before(f.Since),
		f.Peer != "" && e.Peer != f.Peer,
		f.Cluster != "" && e.Cluster != f.Cluster:
		return false
	}
	return true
}

func (e *Entry) latest() time.Time {
	if e.Last.IsZero() {
		return e.Time
	}
	return e.Last
}

// about returns each step of the prefixes as an entry for itself, and the storms that they may have been part of.
func (h *History) about(f HistoryFilter) []Entry {
	var out []Entry
	told := map[uint64]bool{}
	h.trail.about(f.Prefix, func(s step) {
		e := h.entry(s.entry)
		if e == nil {
			return
		}
		told[e.ID] = true
		one := *e
		one.Time, one.Last, one.Count, one.Prefixes = time.Unix(0, s.at), time.Time{}, 1, []netip.Prefix{s.prefix}
		if len(e.Prefixes) > 0 && s.prefix != e.Prefixes[0] && strings.Contains(one.Detail, e.Prefixes[0].String()) {
			one.Detail = "" // it tells of another prefix
		}
		if f.matches(&one) {
			out = append(out, one)
		}
	})
	for _, e := range h.all() {
		if e.partly && !told[e.ID] && f.matches(e) && e.spans(f.Prefix) {
			one := *e
			one.Unsure = true
			out = append(out, one)
		}
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	return out
}

// spans says whether something that overlaps a prefix may be between the first and the last prefix of an entry.
func (e *Entry) spans(p netip.Prefix) bool {
	return e.first.Overlaps(p) || e.last.Overlaps(p) || e.first.Compare(p) <= 0 && p.Compare(e.last) <= 0
}
