package k8s

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// belief is what is held to be the Node's pod CIDRs. What the API adds is believed
// at once; what it takes away only when a second reading, a while later and past
// every cache, takes it away too: a Node that is deleted by mistake, an API server
// that lags or a store that is being restored must not cut off pods that run.
//
// It is a value with no clock of its own; Node's mutex guards it.
type belief struct {
	cidrs []netip.Prefix // sorted
	err   error          // ErrNotSynced, or entries that are no CIDR
	// doubts are the CIDRs that the API no longer names, with the time since when.
	doubts map[netip.Prefix]time.Time
	why    string // what the API says instead
	// from is where each of cidrs was read, and place where the last reading was.
	from  map[netip.Prefix]Source
	place string
	// suspect is since when the watch may not show the Node as it is: it showed one that
	// is older than the last, or was broken, and the store may be another one now.
	suspect time.Time
}

// reading is the Node's pod CIDRs by one answer of the API.
type reading struct {
	source Source
	cidrs  []netip.Prefix
	err    error  // entries that are no CIDR
	none   string // why there are no CIDRs at all
}

// known says whether the pod CIDRs are known, be it that there are none.
func (b *belief) known() bool { return !errors.Is(b.err, ErrNotSynced) }

// read takes a reading. With confirmed set it is one past every cache, and what was
// in doubt for at least that long is given up if it is not in there either. An odd
// entry may be what is missing: then nothing is given up.
func (b *belief) read(r reading, now time.Time, confirmed time.Duration) {
	b.suspect = time.Time{}
	doubts, kept := map[netip.Prefix]time.Time{}, slices.Clone(r.cidrs)
	from := make(map[netip.Prefix]Source, len(r.cidrs))
	for _, prefix := range r.cidrs {
		from[prefix] = r.source
	}
	for _, prefix := range b.cidrs {
		if slices.Contains(r.cidrs, prefix) {
			continue
		}
		since, doubted := b.doubts[prefix]
		if doubted && confirmed > 0 && now.Sub(since) >= confirmed && r.err == nil {
			continue
		}
		if !doubted || confirmed > 0 && r.err != nil { // an odd entry is not asked about without a pause
			since = now
		}
		doubts[prefix], from[prefix] = since, b.from[prefix]
		kept = append(kept, prefix)
	}
	had := len(b.cidrs) > 0
	slices.SortFunc(kept, comparePrefix)
	b.cidrs, b.doubts, b.from, b.place = kept, doubts, from, r.source.place()
	if b.why = r.none; b.why == "" && len(doubts) > 0 {
		b.why = "it has " + few(r.cidrs)
	}
	switch {
	case len(r.cidrs) > 0 || r.err != nil, had && len(kept) == 0: // confirmed: there are none
		b.err = r.err
	case !b.known():
		b.err = fmt.Errorf("%s: %w", r.none, ErrNotSynced)
	default:
		b.err = nil
	}
}

// mistrust notes that the watch may not show the Node as it is.
func (b *belief) mistrust(now time.Time) {
	if b.suspect.IsZero() {
		b.suspect = now
	}
}

// postpone notes that a reading past every cache could decide nothing: the next one is as far away
// as the first was.
func (b *belief) postpone(now time.Time) {
	b.suspect = time.Time{}
	for prefix := range b.doubts {
		b.doubts[prefix] = now
	}
}

// due returns when the next reading past every cache is to be, zero when none is.
func (b *belief) due(after time.Duration) time.Time {
	first := b.suspect
	for _, since := range b.doubts {
		if first.IsZero() || since.Before(first) {
			first = since
		}
	}
	if first.IsZero() {
		return first
	}
	return first.Add(after)
}

// doubt says what is advertised though the API does not name it; nil if nothing is.
func (b *belief) doubt() error {
	if len(b.doubts) == 0 {
		return nil
	}
	var list []netip.Prefix
	for prefix := range b.doubts {
		list = append(list, prefix)
	}
	slices.SortFunc(list, comparePrefix)
	return fmt.Errorf("pod CIDRs %s are gone from %s (%s): kept until a second reading confirms it", join(list), b.place, b.why)
}

func join(list []netip.Prefix) string {
	var texts []string
	for _, prefix := range list {
		texts = append(texts, prefix.String())
	}
	return strings.Join(texts, ", ")
}
