package status

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Filter chooses routes; the zero value chooses all. Every field that is set must match.
type Filter struct {
	Prefix  netip.Prefix // routes that cover it or lie inside it
	State   string       // one of the State constants
	Verdict string       // exactly this reason
	Cluster string
	Peer    string // announced by it
	Family  string // ipv4 or ipv6
	// Text is part of the prefix, of the cluster, of the verdict, or of the name or next hop of a peer that announces it, in upper or
	// lower case.
	Text string
	// Limit ends the list after so many routes; 0 for all. After begins it with what comes next to a prefix: that of the last
	// route of the page before, whether the route is still there or not.
	Limit int
	After netip.Prefix
}

// Validate tells what is wrong with the filter, naming the allowed values.
func (f Filter) Validate() error {
	if f.State != "" && !slices.Contains(filterStates(), f.State) {
		return fmt.Errorf("state %q: must be one of %s", f.State, strings.Join(filterStates(), ", "))
	}
	if f.Family != "" && f.Family != "ipv4" && f.Family != "ipv6" {
		return fmt.Errorf("family %q: must be ipv4 or ipv6", f.Family)
	}
	if f.Limit < 0 {
		return fmt.Errorf("limit %d: must be a number above 0", f.Limit)
	}
	return nil
}

// ParseTarget reads what a person writes to name routes: a prefix, with or without host bits, or an address.
func ParseTarget(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a prefix such as 10.20.0.0/16", s)
	}
	return p.Masked(), nil
}

// query writes the filter as the parameters of a request; parseFilter reads them back.
func (f Filter) query() url.Values {
	q := url.Values{}
	if f.Prefix.IsValid() {
		q.Set("prefix", f.Prefix.String())
	}
	if f.After.IsValid() {
		q.Set("after", f.After.String())
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	for key, field := range f.texts() {
		if *field != "" {
			q.Set(key, *field)
		}
	}
	return q
}

func (f *Filter) texts() map[string]*string {
	return map[string]*string{
		"state": &f.State, "verdict": &f.Verdict, "cluster": &f.Cluster, "peer": &f.Peer, "family": &f.Family, "text": &f.Text,
	}
}

// parseFilter refuses parameters it does not know: a filter that is ignored gives a wrong answer.
func parseFilter(q url.Values) (Filter, error) {
	var f Filter
	fields := f.texts()
	for _, key := range sortedKeys(q) {
		if len(q[key]) != 1 {
			return Filter{}, fmt.Errorf("parameter %q is given %d times", key, len(q[key]))
		}
		if read, err := f.readPage(key, q.Get(key)); err != nil {
			return Filter{}, fmt.Errorf("parameter %q: %w", key, err)
		} else if read {
			continue
		}
		field, known := fields[key]
		if !known {
			return Filter{}, fmt.Errorf("parameter %q is not known; known are after, limit, prefix, %s", key, strings.Join(sortedKeys(fields), ", "))
		}
		*field = q.Get(key)
	}
	return f, f.Validate()
}

// readPage reads a parameter that is not a text; false if it is none of these.
func (f *Filter) readPage(key, value string) (read bool, err error) {
	switch key {
	case "prefix":
		f.Prefix, err = ParseTarget(value)
	case "after":
		f.After, err = ParseTarget(value)
	case "limit":
		f.Limit, err = parseLimit(value)
	default:
		return false, nil
	}
	return true, err
}

// routes yields what the filter chooses. A page costs what is on it and what is passed over inside it.
func (f Filter) routes(t *RouteTable) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		n := 0
		for r := range f.candidates(t) {
			if !f.matches(r) {
				continue
			}
			if n++; !yield(r) || n == f.Limit {
				return
			}
		}
	}
}

// candidates yields what Prefix and After choose, which takes no look at the rest.
func (f Filter) candidates(t *RouteTable) iter.Seq[*Route] {
	all := t.All()
	switch {
	case f.Prefix.IsValid() && f.After.Compare(f.Prefix) > 0: // what covers it comes before
		all = worked(t.insideAfter(f.Prefix, f.After))
	case f.Prefix.IsValid():
		all = t.Overlapping(f.Prefix)
	case f.After.IsValid():
		all = worked(t.from(f.After))
	}
	if !f.After.IsValid() {
		return all
	}
	return func(yield func(*Route) bool) {
		for r := range all {
			if r.Prefix.Compare(f.After) > 0 && !yield(r) {
				return
			}
		}
	}
}

func (f Filter) matches(r *Route) bool {
	switch {
	case f.State != "" && !r.is(f.State),
		f.Verdict != "" && r.Verdict != f.Verdict,
		f.Cluster != "" && r.Cluster != f.Cluster,
		f.Peer != "" && !slices.ContainsFunc(r.Paths, func(p Path) bool { return p.Peer == f.Peer }),
		f.Family != "" && r.Prefix.Addr().Is4() != (f.Family == "ipv4"),
		f.Text != "" && !r.says(strings.ToLower(f.Text)):
		return false
	}
	return true
}

// says whether a text in lower case is part of what the route is known by.
func (r *Route) says(text string) bool {
	part := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	if part(r.Prefix.String()) || part(r.Cluster) || part(r.Verdict) {
		return true
	}
	return slices.ContainsFunc(r.Paths, func(p Path) bool {
		return part(p.Peer) || p.NextHop.IsValid() && part(p.NextHop.String())
	})
}

func sortedKeys[V any, M ~map[string]V](m M) []string { return slices.Sorted(maps.Keys(m)) }
