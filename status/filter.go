package status

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"net/url"
	"slices"
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
}

// Validate tells what is wrong with the filter, naming the allowed values.
func (f Filter) Validate() error {
	if f.State != "" && !slices.Contains(states(), f.State) {
		return fmt.Errorf("state %q: must be one of %s", f.State, strings.Join(states(), ", "))
	}
	if f.Family != "" && f.Family != "ipv4" && f.Family != "ipv6" {
		return fmt.Errorf("family %q: must be ipv4 or ipv6", f.Family)
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
	for key, field := range f.texts() {
		if *field != "" {
			q.Set(key, *field)
		}
	}
	return q
}

func (f *Filter) texts() map[string]*string {
	return map[string]*string{
		"state": &f.State, "verdict": &f.Verdict, "cluster": &f.Cluster, "peer": &f.Peer, "family": &f.Family,
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
		if key == "prefix" {
			p, err := ParseTarget(q.Get(key))
			if err != nil {
				return Filter{}, fmt.Errorf("parameter %q: %w", key, err)
			}
			f.Prefix = p
			continue
		}
		field, known := fields[key]
		if !known {
			return Filter{}, fmt.Errorf("parameter %q is not known; known are prefix, %s", key, strings.Join(sortedKeys(fields), ", "))
		}
		*field = q.Get(key)
	}
	return f, f.Validate()
}

// routes yields what the filter chooses.
func (f Filter) routes(t *RouteTable) iter.Seq[*Route] {
	all := t.All()
	if f.Prefix.IsValid() {
		all = t.Overlapping(f.Prefix)
	}
	return func(yield func(*Route) bool) {
		for r := range all {
			if f.matches(r) && !yield(r) {
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
		f.Family != "" && r.Prefix.Addr().Is4() != (f.Family == "ipv4"):
		return false
	}
	return true
}

func sortedKeys[V any, M ~map[string]V](m M) []string { return slices.Sorted(maps.Keys(m)) }
