package probe

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// pending is a request that waits for its answer.
type pending struct {
	record  *record
	sent    time.Time
	until   time.Time
	from    *sender // nil: it went beside the way
	request message

	hunt  *hunt    // of a length that is tried
	goes  *pending // of a question beside the way: the request that it goes with
	aside *message // what came beside the way
	alive *message // what the question beside the way brought
}

// round begins one: other sockets, and a request to each node of the sample.
func (l *loop) round(now time.Time) {
	l.next = now.Add(l.Interval)
	if len(l.problems) > 0 {
		l.listen()
	}
	if l.rounds++; l.rounds%turnEvery == 0 {
		for _, r := range l.rings {
			r.turn()
		}
	}
	l.sample()
	if len(l.queue) == 0 { // what the rate did not let out yet goes first
		for i := range l.senders {
			l.senders[i].retire()
			l.senders[i] = l.newSender(i == 1)
		}
		l.queue = slices.SortedFunc(maps.Values(l.records), func(a, b *record) int {
			return cmp.Compare(place(l.Node, a.target.Address), place(l.Node, b.target.Address))
		})
	}
	l.publish(now)
}

// sample says which targets have a record: those of the sample, and some that fail, until they don't.
func (l *loop) sample() {
	wanted := map[netip.Addr]Target{}
	for _, r := range l.rings {
		for _, t := range r.sample(l.Sample) {
			wanted[t.Address] = t
		}
		extra := 0
		for _, m := range r.members {
			known := l.records[m.target.Address]
			if _, already := wanted[m.target.Address]; known != nil && known.failing && !already && extra < l.Sample {
				wanted[m.target.Address] = m.target
				extra++
			}
		}
	}
	maps.DeleteFunc(l.records, func(a netip.Addr, _ *record) bool { _, ok := wanted[a]; return !ok })
	for a, t := range wanted {
		r := l.records[a]
		if r == nil {
			r = &record{address: l.nodes[a]}
			l.records[a] = r
		}
		r.target = t
	}
}

// ask sends a request, and where the last one was lost asks for more about it.
func (l *loop) ask(r *record, now time.Time) {
	six := !r.target.Address.Is4()
	from, sum := l.senders[index(six)], l.sums[group{r.target.Cluster, six}]
	if from == nil || sum == nil || l.records[r.target.Address] != r {
		return
	}
	m := message{
		kind: request, clusterID: l.ClusterID, from: from.local.Addr(), to: r.target.Address, node: from.address(six),
		cluster: l.Cluster, name: l.Node,
	}
	if r.streak < 0 {
		m.flags, m.length = alsoAside, doubleSize
	}
	p := l.send(&pending{record: r, from: from, request: m}, now)
	sum.sent++
	if r.streak >= 0 {
		return
	}
	node := r.address
	if !node.IsValid() {
		node = r.target.Ask
	}
	if !node.IsValid() || l.beside[index(!node.Is4())].Load() == nil {
		return
	}
	m.flags, m.length = aside, 0
	l.allowed.left-- // paid by what follows
	l.send(&pending{record: r, request: m, goes: p}, now)
}

// send sends a request and waits for its answer.
func (l *loop) send(p *pending, now time.Time) *pending {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails, see there
	p.request.nonce = binary.BigEndian.Uint64(raw[:])
	p.sent, p.until = now, now.Add(min(l.Interval, answerLimit))
	through, to := p.from.way(), p.request.to
	if p.goes != nil {
		to = p.record.address
		if !to.IsValid() {
			to = p.record.target.Ask
		}
		through = l.beside[index(!to.Is4())].Load()
	}
	if p.from != nil {
		p.from.uses++
	}
	l.waiting[p.request.nonce] = p
	tooLong, err := through.send(l.sealer.seal(l.buffer, p.request), netip.AddrPortFrom(to, uint16(l.Port)))
	switch {
	case tooLong && p.hunt != nil:
		l.settle(p.request.nonce, p)
		p.hunt.waits = false
		p.hunt.tooLong()
	case err != nil && p.goes == nil:
		p.record.problem = err.Error() // it is lost in time
	}
	return p
}

func (s *sender) way() *socket {
	if s == nil {
		return nil
	}
	return s.socket
}

// settle takes a request off those that wait.
func (l *loop) settle(nonce uint64, p *pending) {
	delete(l.waiting, nonce)
	p.from.release()
}

// expire takes one that got no answer by the way.
func (l *loop) expire(p *pending) {
	switch {
	case p.goes != nil:
		return
	case p.hunt != nil:
		p.hunt.waits = false
		p.hunt.lost(floor(p.request.to))
		return
	}
	sum := l.sums[group{p.record.target.Cluster, !p.request.to.Is4()}]
	if sum != nil {
		sum.lost++
	}
	before := p.record.state(l.MTU)
	a := ArrivalUnknown
	for _, m := range []*message{p.alive, p.aside} {
		if m == nil {
			continue
		}
		p.record.back, p.record.node = m.back, m.name
		a = Arrives
		if m == p.alive {
			a = DoesNotArrive
		}
	}
	p.record.lost(a)
	l.restless = l.restless || before != p.record.state(l.MTU)
}

// take takes what was read.
func (l *loop) take(a arrival) {
	if a.kind == request {
		l.hear(a)
		return
	}
	p := l.waiting[a.nonce]
	if p == nil || a.to != p.request.to || a.from != p.request.from {
		return
	}
	switch beside := a.flags&aside != 0; {
	case p.goes != nil && beside:
		p.goes.alive = &a.message
		l.settle(a.nonce, p)
	case p.goes != nil:
	case beside:
		p.aside = &a.message
	case p.hunt != nil:
		l.settle(a.nonce, p)
		p.hunt.waits = false
		p.hunt.answered(floor(p.request.to))
	default:
		l.settle(a.nonce, p)
		l.answered(p, a)
	}
}

func (l *loop) answered(p *pending, a arrival) {
	before := p.record.state(l.MTU)
	rtt := a.at.Sub(p.sent)
	p.record.answered(rtt, a.message, a.at)
	if a.node.IsValid() {
		l.nodes[a.to] = a.node
	}
	l.restless = l.restless || before != p.record.state(l.MTU)
	if sum := l.sums[group{p.record.target.Cluster, !a.to.Is4()}]; sum != nil {
		i, _ := slices.BinarySearch(Buckets(), rtt.Seconds())
		sum.rtt[i]++
		sum.rttSum += rtt
	}
}

// hear notes who asked, and where it may be asked beside the way: only of targets, by the address that it sends from.
func (l *loop) hear(a arrival) {
	if r := l.records[a.from]; r != nil && a.node.IsValid() {
		r.address = a.node
	}
	if l.targeted(a.from) && a.node.IsValid() {
		l.nodes[a.from] = a.node
	}
	h := l.heard[a.clusterID]
	if h == nil {
		if len(l.heard) >= heardLimit || a.clusterID == l.ClusterID {
			return
		}
		h = &Heard{ClusterID: a.clusterID}
		l.heard[a.clusterID] = h
		l.restless = true
	}
	// Nodes of one cluster may have different prefixes: that one of them has no contract is not forgotten for the next one.
	if h.Back == BackNoContract && a.back != BackNoContract && a.at.Sub(h.Last) < heardFor/5 {
		return
	}
	h.Cluster, h.Node, h.From, h.Seen, h.Back, h.Last = a.cluster, a.name, a.from, a.source, a.back, a.at
	if a.flags&aside != 0 {
		h.Seen = netip.Addr{}
	}
}

// targeted says whether an address is a target, of those that are probed now or not.
func (l *loop) targeted(a netip.Addr) bool {
	at := place(l.Node, a)
	for g, r := range l.rings {
		if g.six == a.Is4() {
			continue
		}
		i, found := slices.BinarySearchFunc(r.members, at, func(m member, at uint64) int { return cmp.Compare(m.place, at) })
		if found && r.members[i].target.Address == a {
			return true
		}
	}
	return false
}
