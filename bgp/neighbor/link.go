package neighbor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	askFast = time.Second      // between two pings while nobody is known, or somebody else is heard
	askSlow = 10 * time.Second // otherwise; as often as FRR advertises itself on such links
	settle  = askFast / 2      // how long others may answer before one that is no router is believed to be alone
	doubt   = 3*askFast + settle
	gone    = askFast + settle // the same, for a neighbour not heard since the link came up
	forget  = 3*askSlow + askFast/2
)

// link is what is known of one link and its neighbours. It has no clock of its own.
type link struct {
	name    string
	index   int          // 0: it is not there, or down
	own     []netip.Addr // our addresses, without zone
	self    netip.Addr   // the one of them that we speak from; kept while the link is down
	problem string       // why nothing can be heard
	current netip.Addr   // the neighbour, without zone
	seen    map[netip.Addr]sighting
	asked   time.Time
	eager   int // how often it is still to be asked fast
}

// sighting is when an address was heard first and last, and whether it is a router's.
type sighting struct {
	first, last time.Time
	router      bool
}

func newLink(name string) *link {
	return &link{name: name, seen: map[netip.Addr]sighting{}, problem: "not looked for yet"}
}

// state is what a look at the host says of a link.
type state struct {
	index   int
	own     []netip.Addr
	problem string
}

// place takes in what a look at the host says. A link that came back may lead elsewhere: who was heard before is not
// believed to be there.
func (l *link) place(s state) (moved bool) {
	if moved = s.index != l.index; moved {
		l.index, l.asked, l.eager = s.index, time.Time{}, greetings
		clear(l.seen)
	}
	l.own, l.problem = s.own, s.problem
	if len(l.own) > 0 && !slices.Contains(l.own, l.self) {
		l.self = l.own[0]
	}
	return moved
}

// hear notes that an address was heard.
func (l *link) hear(from netip.Addr, router bool, now time.Time) {
	if l.index == 0 || slices.Contains(l.own, from) {
		return
	}
	s, known := l.seen[from]
	if !known {
		if len(l.seen) >= maxSeen {
			return
		}
		s.first = now
	}
	s.last, s.router = now, s.router || router
	l.seen[from] = s
}

// greetings is how many advertisements go out fast once a neighbour is known: it may have come up just now and not have
// been listening (RFC 4861, section 6.2.4, has 3).
const greetings = 5

// maxSeen bounds what a link full of strangers costs.
const maxSeen = 64

// judge decides who the neighbour is.
func (l *link) judge(now time.Time) {
	for a, s := range l.seen {
		if now.Sub(s.last) > forget {
			delete(l.seen, a)
		}
	}
	if l.current.IsValid() && !l.lost(now) {
		return
	}
	next := l.candidates(now)
	if len(next) != 1 || next[0] == l.current {
		return
	}
	s := l.seen[next[0]]
	if s.router || now.Sub(s.first) >= settle {
		l.current, l.eager = next[0], greetings
	}
}

// lost says whether the neighbour is silent while others are not: it has been asked often since the first of them was
// heard.
func (l *link) lost(now time.Time) bool {
	var first time.Time
	for a, s := range l.seen {
		if a != l.current && (first.IsZero() || s.first.Before(first)) {
			first = s.first
		}
	}
	s, heard := l.seen[l.current]
	if !heard {
		return !first.IsZero() && now.Sub(first) > gone
	}
	if s.last.After(first) {
		first = s.last
	}
	return !first.IsZero() && now.Sub(first) > doubt
}

// candidates are those who may be the neighbour: the routers heard lately, or else everybody heard lately.
func (l *link) candidates(now time.Time) []netip.Addr {
	var routers, all []netip.Addr
	for a, s := range l.seen {
		if a == l.current && l.lost(now) {
			continue
		}
		all = append(all, a)
		if s.router {
			routers = append(routers, a)
		}
	}
	if len(routers) > 0 {
		all = routers
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// wants is when the link is to be looked at again.
func (l *link) wants(now time.Time) time.Time {
	pause := askSlow
	_, heard := l.seen[l.current]
	others := len(l.seen) > 1 || len(l.seen) == 1 && !heard
	switch {
	case l.index == 0:
		return now.Add(askFast)
	case !l.current.IsValid() && len(l.seen) > 0:
		return now.Add(settle / 2)
	case !heard || others || l.eager > 0:
		pause = askFast
	}
	return l.asked.Add(pause)
}

// answer is who the neighbour is, or why there is none.
func (l *link) answer(now time.Time) (Pair, string) {
	switch all := l.candidates(now); {
	case l.current.IsValid():
		return Pair{Neighbor: l.current.WithZone(l.name), Local: l.self.WithZone(l.name)}, ""
	case l.problem != "":
		return Pair{}, l.problem
	case len(all) > 1:
		list := make([]string, len(all))
		for i, a := range all {
			list[i] = a.String()
		}
		return Pair{}, fmt.Sprintf("%d neighbours on %s: %s: give the address of one, as in %s%%%s",
			len(all), l.name, strings.Join(list, ", "), all[0], l.name)
	default:
		return Pair{}, "no neighbour has been heard on " + l.name
	}
}
