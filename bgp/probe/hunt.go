package probe

import "time"

// hunt is the one search for a path's largest packet that is going on.
type hunt struct {
	*search
	record *record
	from   *sender
	known  int  // what was found before
	waits  bool // for an answer
}

// followHunt goes on with the search there is, or begins the next one that is due.
func (l *loop) followHunt(now time.Time) {
	if l.hunted == nil {
		l.beginHunt(now)
	}
	h := l.hunted
	if h == nil {
		return
	}
	if l.records[h.record.target.Address] != h.record || h.record.failing {
		l.dropHunt()
		return
	}
	to := h.record.target.Address
	for h.active && !h.waits && l.allowed.take(now) {
		h.waits = true
		p := l.send(&pending{record: h.record, from: h.from, hunt: h, request: message{
			kind: request, clusterID: l.ClusterID, from: h.from.local.Addr(), to: to, node: h.from.address(!to.Is4()),
			cluster: l.Cluster, name: l.Node, length: uint16(h.size - overhead(to)),
		}}, now)
		if times := h.record.times(); h.waits && len(times) > 0 { // to wait longer for what is lost only takes longer
			p.until = now.Add(min(answerLimit, 4*times[len(times)-1]+300*time.Millisecond))
		}
	}
	if !h.active {
		l.endHunt(now)
	}
}

// beginHunt takes the one that has been due for longest, of those that are answered at all.
func (l *loop) beginHunt(now time.Time) {
	var next *record
	for _, r := range l.records {
		if !r.failing && r.streak >= toRecover && !now.Before(r.mtu.due) && (next == nil || r.mtu.due.Before(next.mtu.due)) {
			next = r
		}
	}
	if next == nil || !l.on() {
		return
	}
	from := l.newSender(!next.target.Address.Is4())
	if from == nil {
		return
	}
	next.mtu.begin(linkMTUs(), floor(next.target.Address))
	l.hunted = &hunt{search: &next.mtu, record: next, from: from, known: next.mtu.found}
}

func (l *loop) endHunt(now time.Time) {
	h := l.hunted
	h.due = now.Add(searchEvery)
	if h.lo == 0 || h.found == 0 {
		h.due = now.Add(searchAgain)
	}
	l.restless = l.restless || h.found != h.known
	h.from.retire()
	l.hunted = nil
}

// dropHunt gives up the search there is.
func (l *loop) dropHunt() {
	if l.hunted != nil {
		l.hunted.active = false
		l.hunted.from.retire()
		l.hunted = nil
	}
}
