package probe

import (
	"net/netip"
	"slices"
	"time"
)

// State is what is wrong with the way to a node or a cluster, the worst first.
type State string

// The states. The zero State says that too little is known yet.
const (
	Silent State = "Silent" // no answer, and no sign that our packets arrive
	OneWay State = "OneWay" // our packets arrive, the answers don't
	NAT    State = "NAT"    // the source is rewritten on the way
	MTU    State = "MTU"    // packets as long as the link carries do not arrive
	Loss   State = "Loss"   // some are lost
	OK     State = "Ok"
)

// Arrival says whether our packets arrive where answers do not come from.
type Arrival uint8

// The arrivals.
const (
	ArrivalUnknown Arrival = iota
	Arrives                // an answer came beside the way
	DoesNotArrive          // the node answers beside the way, and not to what went by the way
)

// How many in a row it takes: what is told to others must not follow each packet.
const (
	window    = 32 // outcomes that are remembered
	toFail    = 3  // lost in a row
	toRecover = 2  // answered in a row
	toRewrite = 2  // answers in a row that saw another source, or ours again
	toLose    = 3  // of the window: loss
	lossShare = 10 // percent of the window, at least
)

// outcome is that of one request. One that was lost has no round trip time.
type outcome struct{ rtt time.Duration }

func (o outcome) lost() bool { return o.rtt == 0 }

// record is what is known of one target.
type record struct {
	target   Target
	outcomes [window]outcome
	count    int // of outcomes
	next     int
	streak   int  // answered in a row, or lost if negative
	strange  int  // answers in a row that saw another source, or ours if negative
	known    bool // it answered in a row
	failing  bool
	rewrites bool
	lossy    bool

	last    time.Time // that something was answered
	source  netip.Addr
	seen    netip.Addr
	arrival Arrival
	back    Back
	node    string     // its name
	address netip.Addr // its node address; invalid: not known
	problem string     // why nothing could be sent
	mtu     search
}

func (r *record) put(o outcome) {
	r.outcomes[r.next] = o
	r.next = (r.next + 1) % window
	r.count = min(r.count+1, window)
}

// answered takes an answer that came by the way.
func (r *record) answered(rtt time.Duration, m message, now time.Time) {
	r.streak = max(r.streak, 0) + 1
	if r.failing && r.streak >= toRecover {
		r.failing, r.count, r.next = false, 0, 0 // what was lost in an outage is no loss from now on
		r.mtu.due = now
	}
	r.put(outcome{max(rtt, 1)})
	r.last, r.back, r.node, r.seen, r.source, r.problem = now, m.back, m.name, m.seen, m.from, ""
	r.known = r.known || r.streak >= toRecover
	if !r.failing {
		r.arrival = Arrives
	}
	if m.node.IsValid() {
		r.address = m.node
	}
	if m.seen != m.from {
		r.strange = max(r.strange, 0) + 1
	} else {
		r.strange = min(r.strange, 0) - 1
	}
	if r.strange >= toRewrite || r.strange <= -toRewrite {
		r.rewrites = r.strange > 0
	}
	r.judgeLoss()
}

// lost takes one that nothing came back of by the way.
func (r *record) lost(a Arrival) {
	r.streak = min(r.streak, 0) - 1
	if r.streak == -1 {
		r.arrival = ArrivalUnknown
	}
	if a != ArrivalUnknown {
		r.arrival = a
	}
	r.failing = r.failing || r.streak <= -toFail
	r.put(outcome{})
	r.judgeLoss()
}

// judgeLoss begins to call it loss from some on, and ends when at most one is left of them.
func (r *record) judgeLoss() {
	n := r.losses()
	if r.lossy {
		r.lossy = n > 1
		return
	}
	r.lossy = n >= toLose && n*100 >= lossShare*r.count
}

func (r *record) losses() int {
	n := 0
	for _, o := range r.outcomes[:r.count] {
		if o.lost() {
			n++
		}
	}
	return n
}

// state judges, given how long packets may be at least; 0: as long as the link carries.
func (r *record) state(enough int) State {
	switch {
	case r.failing && r.arrival == Arrives:
		return OneWay
	case r.failing:
		return Silent
	case !r.known:
		return ""
	case r.rewrites:
		return NAT
	case r.short(enough):
		return MTU
	case r.lossy:
		return Loss
	}
	return OK
}

// short says that less arrives than it has to.
func (r *record) short(enough int) bool {
	wanted := r.mtu.link
	if enough > 0 {
		wanted = min(wanted, enough)
	}
	return r.mtu.found > 0 && r.mtu.found < wanted
}

// times returns the sorted round trip times of the window.
func (r *record) times() []time.Duration {
	var out []time.Duration
	for _, o := range r.outcomes[:r.count] {
		if !o.lost() {
			out = append(out, o.rtt)
		}
	}
	slices.Sort(out)
	return out
}

// result is what is told of it.
func (r *record) result(enough int) Node {
	n := Node{
		Target: r.target, Name: r.node, State: r.state(enough), Sent: r.count, Lost: r.losses(), Last: r.last,
		Source: r.source, Seen: r.seen, Arrival: r.arrival, Back: r.back, MTU: r.mtu.found, LinkMTU: r.mtu.link,
		NodeAddress: r.address, Problem: r.problem,
	}
	if t := r.times(); len(t) > 0 {
		var sum time.Duration
		for _, d := range t {
			sum += d
		}
		n.Min, n.Avg, n.P99 = t[0], sum/time.Duration(len(t)), t[(len(t)*99+99)/100-1]
	}
	return n
}
