package probe

import (
	"net/netip"
	"time"
)

// identity is what each message says of us.
type identity struct {
	key       Key
	port      int
	cluster   string
	clusterID uint32
	node      string
	addresses [2]netip.Addr // the node's own, by family
}

func (s Settings) identity() identity {
	return identity{s.Key, s.Port, s.Cluster, s.ClusterID, s.Node, [2]netip.Addr{s.IPv4.Node, s.IPv6.Node}}
}

// address is the node's own, of the wanted family if it has one.
func (i identity) address(six bool) netip.Addr {
	if a := i.addresses[index(six)]; a.IsValid() {
		return a
	}
	return i.addresses[index(!six)]
}

// responder answers at one address. All of it belongs to the goroutine that reads the socket.
type responder struct {
	*socket
	identity
	monitor *Monitor
	sealer  *sealer
	limit   *limiter
	buffer  [messageSize]byte
	beside  func(six bool) *socket // at the node's address
	loop    chan<- arrival
}

// take heeds one datagram or counts it.
func (r *responder) take(d []byte, from netip.AddrPort) {
	now := time.Now()
	count := &r.monitor.refused[index(!from.Addr().Is4())]
	if plausible(d) != nil {
		count.unauthentic.Add(1)
		return
	}
	if !r.limit.checks.take(now) {
		count.limited.Add(1)
		return
	}
	m, err := r.sealer.open(d)
	if err != nil {
		count.unauthentic.Add(1)
		return
	}
	if m.kind == reply {
		r.offer(r.loop, arrival{message: m, source: from.Addr(), at: now})
		return
	}
	if !r.limit.answer(from.Addr(), now) {
		count.limited.Add(1)
		return
	}
	r.answer(m, from)
}

// answer answers a request: to where it came from, and beside the way if that is wanted and the request was long enough for
// two answers. Who asks and is this very cluster's own is answered as anybody.
func (r *responder) answer(m message, from netip.AddrPort) {
	back := r.monitor.back(Asker{m.clusterID, m.from})
	a := message{
		kind: reply, flags: m.flags & aside, back: back, clusterID: r.clusterID, nonce: m.nonce,
		from: m.from, to: m.to, node: r.address(!from.Addr().Is4()), seen: from.Addr(), cluster: r.cluster, name: r.node,
	}
	_, _ = r.send(r.sealer.seal(r.buffer[:], a), from) // who hears nothing asks again
	if m.flags&alsoAside != 0 && m.length >= doubleSize && m.node.IsValid() {
		if s := r.beside(!m.node.Is4()); s != nil {
			a.flags = aside
			_, _ = s.send(r.sealer.seal(r.buffer[:], a), netip.AddrPortFrom(m.node, uint16(r.port)))
		}
	}
	select { // that somebody asked is worth knowing, and not worth waiting
	case r.loop <- arrival{message: m, source: from.Addr(), at: time.Now(), back: back}:
	default:
	}
}
