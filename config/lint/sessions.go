package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/mesh"
)

// peers checks each session: what one side says of it by itself, then against the other side.
func (c *checker) peers() {
	for _, n := range c.Nodes {
		c.addresses(n)
	}
	for _, s := range c.sessions {
		c.distance(s)
		c.slowBFD(s)
		switch {
		case s.To == nil && s.Router == nil:
			c.unknown("the session of %s with %s: nothing is known of %s", s.From.Name, s.Peer().Name, target(s.Peer()))
		case s.To == s.From:
			c.add(s.From.File+s.Peer().Name, Finding{
				Code: "PeerSelf", Severity: Error,
				Message: fmt.Sprintf("peer %s of node %s is the node itself", s.Peer().Name, s.From.Name),
				Places:  []Place{peerAt(s.From, s.Index, "address", s.Peer().Address)},
				Fix:     "write the address of the neighbour",
			})
		case s.To != nil:
			c.asn(s)
			c.otherSide(s)
		case s.Router.ASN != 0 && s.Router.ASN != s.Peer().ASN:
			c.add(s.From.File+s.Peer().Name, Finding{
				Code: "PeerASN", Severity: Error,
				Message: fmt.Sprintf("node %s takes %s for AS %d, which is AS %d", s.From.Name, s.Router.Name, s.Peer().ASN, s.Router.ASN),
				Places:  []Place{peerAt(s.From, s.Index, "asn", s.Peer().ASN)},
				Fix:     fmt.Sprintf("write %d", s.Router.ASN),
			})
		}
	}
}

// target is how a peer is found.
func target(p config.Peer) string {
	if p.Interface != "" {
		return "the neighbour on " + p.Interface
	}
	return p.Address.String()
}

// otherSide checks a session with a node whose file is here.
func (c *checker) otherSide(s mesh.Session) {
	if s.Back < 0 {
		if s.Certain {
			c.oneSided(s)
		} else {
			c.unknown("the session of %s with %s: which peer of %s it is depends on the address of %s", s.From.Name, s.To.Name, s.To.Name, s.From.Name)
		}
		return
	}
	if c.rank[s.From] > c.rank[s.To] {
		return // it was checked from the other side
	}
	c.connects(s)
	if s.Peer().ASN == s.To.Config.BGP.ASN && s.BackPeer().ASN == s.From.Config.BGP.ASN {
		c.gtsm(s) // else it is not clear whether this is eBGP
	}
	c.password(s)
	c.families(s)
	c.timers(s)
}

// pair says a finding of a session whose two sides are known.
func (c *checker) pair(s mesh.Session, key string, values [2]any, f Finding) {
	f.Places = both(peerAt(s.From, s.Index, key, values[0]), peerAt(s.To, s.Back, key, values[1]))
	c.add(fmt.Sprint(c.rank[s.From], s.Index, c.rank[s.To], s.Back), f)
}

func (c *checker) oneSided(s mesh.Session) {
	message := fmt.Sprintf("node %s has node %s as a peer, but %s does not have it", s.From.Name, s.To.Name, s.To.Name)
	fix := fmt.Sprintf("add %s to bgp.peers of %s, or take %s out here", s.From.Name, s.To.Name, s.To.Name)
	if s.Local.IsValid() {
		message += fmt.Sprintf(" at %s, where the session comes from", s.Local)
		fix = fmt.Sprintf("add a peer with address %s and asn %d to %s, or take %s out here", s.Local, s.From.Config.BGP.ASN, s.To.Name, s.To.Name)
	}
	c.add(s.From.File+s.Peer().Name, Finding{
		Code: "PeerOneSided", Severity: Error, Message: message, Fix: fix,
		Places: both(peerAt(s.From, s.Index, "address", s.Peer().Address), at(s.To, "bgp.peers", "")),
	})
}

// asn checks what the session says of the other side against what that says of itself.
func (c *checker) asn(s mesh.Session) {
	if own := s.To.Config.BGP.ASN; s.Peer().ASN != own {
		c.add(fmt.Sprint(c.rank[s.From], s.Index), Finding{
			Code: "PeerASN", Severity: Error,
			Message: fmt.Sprintf("node %s takes node %s for AS %d, which is AS %d", s.From.Name, s.To.Name, s.Peer().ASN, own),
			Places:  both(peerAt(s.From, s.Index, "asn", s.Peer().ASN), at(s.To, "bgp.asn", own)),
			Fix:     fmt.Sprintf("write %d", own),
		})
	}
}

// connects checks that at least one side can connect to the other.
func (c *checker) connects(s mesh.Session) {
	p, q := s.Peer(), s.BackPeer()
	there, errThere := dials(p, s.To.Config.BGP, p.Address)
	here, errHere := dials(q, s.From.Config.BGP, s.Local)
	switch {
	case !there && !here:
		c.pair(s, "passive", [2]any{p.Passive, q.Passive}, Finding{
			Code: "PeerNeverConnects", Severity: Error,
			Message: fmt.Sprintf("neither of nodes %s and %s can connect to the other: %s %s; %s %s",
				s.From.Name, s.To.Name, s.From.Name, errThere, s.To.Name, errHere),
			Fix: "let one side connect to where the other listens",
		})
	case !there && !p.Passive && errThere == wrongPort, !here && !q.Passive && errHere == wrongPort:
		c.pair(s, "port", [2]any{p.Port, q.Port}, Finding{
			Code: "PeerPort", Severity: Warning,
			Message: fmt.Sprintf("only one of nodes %s and %s connects to a port that the other listens on: %d for %d, %d for %d",
				s.From.Name, s.To.Name, p.Port, s.To.Config.BGP.Port, q.Port, s.From.Config.BGP.Port),
			Fix: "write the port that the other side listens on, or passive: true",
		})
	}
}

const wrongPort = "connects to a port that the other does not listen on"

// dials says whether a side that has p as its peer can connect to that, which listens as b says at address.
func dials(p config.Peer, b config.BGP, address netip.Addr) (ok bool, why string) {
	covers := func(a netip.Addr) bool {
		return a == address || a.IsUnspecified() && (a.Is6() || address.Is4())
	}
	switch {
	case p.Passive:
		return false, "waits (passive)"
	case b.Port == -1:
		return false, "connects to a node that does not listen (bgp.port -1)"
	case b.Port != p.Port:
		return false, wrongPort
	case len(b.ListenAddresses) > 0 && address.IsValid() && !slices.ContainsFunc(b.ListenAddresses, covers):
		return false, "connects to an address that the other does not listen on (bgp.listenAddresses)"
	}
	return true, ""
}

// ttl is what a side's packets leave with (RFC 5082, section 3; RFC 4271 leaves eBGP at 1).
func ttl(b config.BGP, p config.Peer) int {
	const system = 64
	switch {
	case p.Hops > 0:
		return 255
	case b.Internal(p):
		return system
	default:
		return max(p.Multihop, 1)
	}
}

// gtsm checks that the packets of each side pass the other's check of the TTL.
func (c *checker) gtsm(s mesh.Session) {
	p, q := s.Peer(), s.BackPeer()
	values := [2]any{p.Hops, q.Hops}
	lowHere := p.Hops > 0 && ttl(s.To.Config.BGP, q) < 256-p.Hops
	lowThere := q.Hops > 0 && ttl(s.From.Config.BGP, p) < 256-q.Hops
	switch {
	case lowHere, lowThere:
		checks, sends, its, sent := s.From, s.To, p, ttl(s.To.Config.BGP, q)
		multihop := q.Multihop
		if lowThere {
			checks, sends, its, sent, multihop = s.To, s.From, q, ttl(s.From.Config.BGP, p), p.Multihop
		}
		f := Finding{
			Code: "GTSMOneSided", Severity: Error,
			Message: fmt.Sprintf("node %s drops the packets of node %s: it wants a TTL of %d or more (hops: %d), and they leave with %d",
				checks.Name, sends.Name, 256-its.Hops, its.Hops, sent),
			Fix: fmt.Sprintf("write hops: %d on both sides, or hops: 0 on both", its.Hops),
		}
		if multihop > 0 {
			f.Fix = fmt.Sprintf("write hops: N on both sides, N being how many hops they are apart, and no multihop; or multihop: %d and hops: 0 on both", multihop)
		}
		c.pair(s, "hops", values, f)
	case p.Hops > 0 && q.Hops > 0 && p.Hops != q.Hops:
		c.pair(s, "hops", values, Finding{
			Code: "GTSMHops", Severity: Warning,
			Message: fmt.Sprintf("nodes %s and %s do not agree how many hops they are apart: %d and %d", s.From.Name, s.To.Name, p.Hops, q.Hops),
			Fix:     "write the same on both sides: the greater one lets in packets from further away than needed, or the lesser one none",
		})
	case ttl(s.From.Config.BGP, p) != ttl(s.To.Config.BGP, q) && min(ttl(s.From.Config.BGP, p), ttl(s.To.Config.BGP, q)) == 1:
		c.pair(s, "multihop", [2]any{p.Multihop, q.Multihop}, Finding{
			Code: "MultihopOneSided", Severity: Error,
			Message: fmt.Sprintf("the session between nodes %s and %s is multihop on one side only: the other's packets do not leave the link", s.From.Name, s.To.Name),
			Fix:     "write the same multihop on both sides",
		})
	}
}

func (c *checker) password(s mesh.Session) {
	p, q := s.Peer(), s.BackPeer()
	if (p.PasswordFile == "") == (q.PasswordFile == "") {
		return
	}
	c.pair(s, "passwordFile", [2]any{p.PasswordFile, q.PasswordFile}, Finding{
		Code: "PasswordOneSided", Severity: Error,
		Message: fmt.Sprintf("the session between nodes %s and %s has a password on one side only: its packets are dropped without an answer (RFC 2385)", s.From.Name, s.To.Name),
		Fix:     "give both sides the same key, or none",
	})
}

// families checks that the two sides carry the same families, on this session or on another one between them.
func (c *checker) families(s mesh.Session) {
	p, q := s.Peer(), s.BackPeer()
	values := [2]any{list(p.Families), list(q.Families)}
	meet := slices.ContainsFunc(p.Families, func(f config.Family) bool { return slices.Contains(q.Families, f) })
	if !meet {
		c.pair(s, "families", values, Finding{
			Code: "FamiliesDoNotMeet", Severity: Error,
			Message: fmt.Sprintf("the session between nodes %s and %s carries nothing: one side has %s, the other %s", s.From.Name, s.To.Name, values[0], values[1]),
			Fix:     "give both sides the same families",
		})
		return
	}
	for _, f := range []config.Family{config.IPv4, config.IPv6} {
		if slices.Contains(p.Families, f) != slices.Contains(q.Families, f) && !c.carried(s, f) {
			c.pair(s, "families", values, Finding{
				Code: "FamilyOneSided", Severity: Warning,
				Message: fmt.Sprintf("nodes %s and %s exchange no %s: only one side of their session has it", s.From.Name, s.To.Name, f),
				Fix:     "give both sides the same families",
			})
		}
	}
}

// carried says whether another session between the same two nodes carries a family on both sides.
func (c *checker) carried(s mesh.Session, f config.Family) bool {
	return slices.ContainsFunc(c.sessions, func(o mesh.Session) bool {
		return o.From == s.From && o.To == s.To && o.Index != s.Index && o.Back >= 0 &&
			slices.Contains(o.Peer().Families, f) && slices.Contains(o.BackPeer().Families, f)
	})
}
