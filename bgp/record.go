package bgp

import (
	"net/netip"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// The kinds of troubles of a session, of each of which it can have one.
const (
	troubleLimit = iota // it comes near its limit of prefixes
	troubleHold         // it has no keepalives
	troubleClock        // it is deaf
	troubleKinds
)

// addSession starts the record of a peer before GoBGP knows it, so that no event is missed. One that was parked or
// refused goes on with its own.
func (t *table) addSession(p Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[p.Address]
	if s == nil {
		s = &session{endOfRIB: map[gobgp.Family]bool{}}
		t.sessions[p.Address] = s
	}
	if s.refused == "" {
		s.Since = time.Now()
	}
	s.Peer, s.Address, s.ASN, s.State, s.Established = p.Name, p.Address, p.ASN, "idle", false
	s.hold, s.limit, s.key = p.HoldTime, p.MaxPrefixes, p.Password
	s.refused, s.ParkedUntil = "", time.Time{}
}

// setLimit changes how many prefixes a peer may send.
func (t *table) setLimit(peer netip.Addr, limit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[peer]; s != nil {
		s.limit = limit
	}
}

// fault says why a peer that has a record is not in GoBGP.
func (t *table) fault(peer netip.Addr, why string) {
	t.mu.Lock()
	if s := t.sessions[peer]; s != nil {
		s.refused = why
	}
	t.mu.Unlock()
	t.poke()
}

// parkSession says of a peer that it is parked.
func (t *table) parkSession(peer netip.Addr, p *penalty) {
	t.mu.Lock()
	if s := t.sessions[peer]; s != nil {
		s.refused, s.ParkedUntil = p.why, p.until
	}
	t.mu.Unlock()
	t.poke()
}

// keepSessions ends the records of peers that are neither wanted nor in GoBGP.
func (t *table) keepSessions(wanted, present map[netip.Addr]Peer) {
	t.mu.Lock()
	var gone []netip.Addr
	for address := range t.sessions {
		_, isWanted := wanted[address]
		if _, isPresent := present[address]; !isWanted && !isPresent {
			gone = append(gone, address)
		}
	}
	t.mu.Unlock()
	for _, address := range gone {
		t.removeSession(address)
	}
}

// trouble sets a trouble of an established session, or takes it away if it is empty. It says whether there was none.
func (t *table) trouble(peer netip.Addr, kind int, what string) (isNew bool) {
	t.mu.Lock()
	s := t.sessions[peer]
	if s == nil || !s.Established || s.troubles[kind] == what {
		t.mu.Unlock()
		return false
	}
	isNew = s.troubles[kind] == ""
	s.troubles[kind] = what
	t.mu.Unlock()
	t.poke()
	return isNew
}

// told are the troubles there are.
func (s *session) told() []string {
	var list []string
	for _, trouble := range s.troubles {
		if trouble != "" {
			list = append(list, trouble)
		}
	}
	return list
}

// live are the established sessions.
func (t *table) live() []live {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]live, 0, len(t.sessions))
	for _, s := range t.sessions {
		if s.Established {
			list = append(list, live{
				name: s.Peer, peer: s.Address, ends: ends{s.Address.WithZone(""), s.ports[0], s.ports[1]},
				up: s.up, hold: s.hold, limit: s.limit, key: s.key,
			})
		}
	}
	return list
}

// wake has the tender look often until it has put itself to sleep again. The caller holds mu.
func (t *table) wake() {
	if t.awake {
		return
	}
	t.awake = true
	select {
	case t.awoken <- struct{}{}:
	default:
	}
}

// sleep has the next event wake the tender.
func (t *table) sleep() {
	t.mu.Lock()
	t.awake = false
	t.mu.Unlock()
}
