package probe

import (
	"net/netip"
	"slices"
	"time"
)

const (
	searchEvery = 10 * time.Minute // when nothing has changed
	searchAgain = time.Minute      // after one that found nothing
	searchTries = 3                // packets of one length that have to be lost
)

// floor is what every path of a family carries (RFC 791 and RFC 8200, section 5): the least that is looked for.
func floor(a netip.Addr) int {
	if a.Is4() {
		return 576
	}
	return 1280
}

// overhead is what comes before a message: the headers of IP and UDP.
func overhead(a netip.Addr) int {
	if a.Is4() {
		return 28
	}
	return 48
}

// search looks for the largest packet that arrives: what the link carries, then the least there is, then by halves. It only
// decides what to try; its owner sends.
type search struct {
	due    time.Time // of the next one
	active bool
	links  []int // MTUs of our links that have not been ruled out, the greatest first
	lo, hi int   // lo arrives, more than hi does not; lo 0: not known yet
	size   int   // under trial
	tries  int

	found int // 0: nothing yet
	link  int // what the link to it carries
}

// begin starts a search. The kernel refuses what is longer than the link towards the target at once, so that no packet is
// needed to find that out.
func (s *search) begin(links []int, least int) {
	slices.Sort(links)
	slices.Reverse(links)
	s.links = slices.DeleteFunc(slices.Compact(links), func(mtu int) bool { return mtu < least || mtu > 65535 })
	s.active, s.lo, s.hi, s.tries = len(s.links) > 0, 0, 0, 0
	if s.active {
		s.size = s.links[0]
	}
}

// tooLong says that the kernel did not send the size under trial.
func (s *search) tooLong() {
	if s.hi > 0 { // the link has changed under us
		s.active = false
		return
	}
	s.links = s.links[1:]
	if s.active = len(s.links) > 0; s.active {
		s.size, s.tries = s.links[0], 0
	}
}

// answered says that the size under trial arrives.
func (s *search) answered(least int) {
	s.tries = 0
	if s.hi == 0 { // the whole link
		s.hi, s.link = s.size, s.size
	}
	s.lo = s.size
	s.step(least)
}

// lost says that one of the size under trial did not.
func (s *search) lost(least int) {
	if s.tries++; s.tries < searchTries {
		return
	}
	s.tries = 0
	if s.hi == 0 {
		s.link = s.size
	}
	s.hi = s.size - 1
	s.step(least)
}

// step chooses the next size, or ends the search.
func (s *search) step(least int) {
	switch {
	case s.lo == 0 && s.hi < least: // not even the least arrives: it is not the length
		s.active = false
	case s.lo == 0:
		s.size = least
	case s.lo >= s.hi:
		s.active, s.found = false, s.lo
	default:
		s.size = (s.lo + s.hi + 1) / 2
	}
}
