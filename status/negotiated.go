package status

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// SessionEnd is how a session ended last.
type SessionEnd struct {
	By     string `json:"by"`     // us, peer, or network: nobody said anything
	Reason string `json:"reason"` // in a word, such as NotificationReceived or HoldTimerExpired
	// Code and Subcode are those of the NOTIFICATION (RFC 4271, section 4.5), if there was one.
	Code    uint8  `json:"code,omitempty"`
	Subcode uint8  `json:"subcode,omitempty"`
	Words   string `json:"words"`
}

// Negotiated is what both sides of an established session agreed on by their capabilities (RFC 5492), beside the families,
// extended next hops and graceful restart.
type Negotiated struct {
	FourOctetAS          bool     `json:"fourOctetAS"`
	RouteRefresh         bool     `json:"routeRefresh"`
	EnhancedRouteRefresh bool     `json:"enhancedRouteRefresh"`
	ExtendedMessages     bool     `json:"extendedMessages"`
	AddPathsReceived     []string `json:"addPathsReceived,omitempty"` // families of which the peer sends several paths for one prefix
	AddPathsSent         []string `json:"addPathsSent,omitempty"`     // families of which it gets them
	// PeerRestart is what the peer said of its graceful restart (RFC 4724); nil if not both sides announced it.
	PeerRestart      *PeerRestart `json:"peerRestart,omitempty"`
	PeerCapabilities []string     `json:"peerCapabilities"` // all that it announced
}

// PeerRestart is what a peer says of its restarts.
type PeerRestart struct {
	Seconds      int      `json:"seconds"`              // for how long it asks to keep its routes
	Restarted    bool     `json:"restarted"`            // it had just restarted when the session came up
	Notification bool     `json:"notification"`         // a NOTIFICATION does not end it either (RFC 8538)
	Families     []string `json:"families,omitempty"`   // whose routes it keeps
	Forwarding   []string `json:"forwarding,omitempty"` // those of them of which it says that it went on forwarding
}

// SessionTraffic is what came and went over a session.
type SessionTraffic struct {
	HoldSeconds      int       `json:"holdSeconds"`      // agreed; 0: none
	KeepaliveSeconds int       `json:"keepaliveSeconds"` // likewise
	LastHeard        time.Time `json:"lastHeard,omitzero"`
	// Messages are counted since the peer was configured.
	MessagesReceived uint64 `json:"messagesReceived"`
	MessagesSent     uint64 `json:"messagesSent"`
	UpdatesReceived  uint64 `json:"updatesReceived"`
	UpdatesSent      uint64 `json:"updatesSent"`
}

// FamilyCounts are prefixes of one family on one session.
type FamilyCounts struct {
	Received   int `json:"received"`
	Accepted   int `json:"accepted"`
	Installed  int `json:"installed"` // in the kernel, with a next hop of this peer's
	Advertised int `json:"advertised"`
}

// WritePeer writes all that is known of the sessions of a list, one after the other.
func WritePeer(w io.Writer, l *PeerList, o Options) error {
	if o.Format == JSON {
		return writeJSON(w, l)
	}
	p := newPage(w, o)
	for i := range l.Items {
		if i > 0 {
			p.line("")
		}
		p.session(&l.Items[i])
	}
	return p.flush()
}

// wideSessions is a second table, with what one line has no room for.
func (p *page) wideSessions(list []Session) {
	if len(list) == 0 {
		return
	}
	p.line("")
	t := p.table("PEER", "LOCAL", "ROUTER ID", "HOLD", "HEARD", "PREFIXES IPV4", "PREFIXES IPV6", "BFD", "TTL SECURITY", "MD5", "LAST END")
	for i := range list {
		s := &list[i]
		hold, heard, reach, end := "", "", "", ""
		if x := s.Traffic; x != nil {
			hold, heard = fmt.Sprintf("%ds", x.HoldSeconds), p.since(x.LastHeard)
		}
		if s.BFD != nil {
			reach = s.BFD.State
		}
		if s.LastEnd != nil {
			end = s.LastEnd.Reason
		}
		t.row(s.Peer, text(s.LocalAddress), text(s.RouterID), hold, heard, s.counts("ipv4"), s.counts("ipv6"), reach, yes(s.TTLSecurity), yes(s.MD5), end)
	}
	t.end()
}

// counts are the prefixes of a family: received, accepted, installed and advertised.
func (p *Session) counts(family string) string {
	c, counted := p.Prefixes[family]
	if !counted {
		return ""
	}
	return fmt.Sprintf("%d/%d/%d/%d", c.Received, c.Accepted, c.Installed, c.Advertised)
}

func (p *page) session(s *Session) {
	p.line("%s is %s for %s: %s, AS %d.", clean(s.Peer), stateName(s.State), p.since(s.Since), s.where(), s.ASN)
	t := p.table()
	if s.State == Established {
		t.row("  Local", socketOf(s.LocalAddress, s.LocalPort))
		t.row("  Peer", socketOf(s.Address, s.PeerPort)+", router id "+text(s.RouterID))
		t.row("  Initial routes", map[bool]string{true: "all have arrived", false: "still arriving"}[s.Complete])
	}
	t.row("  Protection", "TTL security "+yes(s.TTLSecurity)+", TCP MD5 "+yes(s.MD5))
	p.traffic(t, s)
	p.capabilities(t, s)
	for _, family := range sortedKeys(s.Prefixes) {
		c := s.Prefixes[family]
		t.row("  Prefixes, "+family, fmt.Sprintf("%d received, %d accepted, %d installed, %d advertised", c.Received, c.Accepted, c.Installed, c.Advertised))
	}
	for _, reason := range sortedKeys(s.RefusedTotal) {
		t.row("  Refused since the start", fmt.Sprintf("%d %s", s.RefusedTotal[reason], reason))
	}
	if b := s.BFD; b != nil {
		t.row("  BFD", fmt.Sprintf("%s for %s, %s, every %s, lost after %s%s", b.State, p.since(b.Since), count(b.Losses, "loss", "losses"), b.Interval, b.DetectionTime,
			after(": ", cmp.Or(b.Problem, b.Diagnostic))))
	}
	t.row("  Lost", count(s.Flaps, "time", "times"))
	if e := s.LastEnd; e != nil {
		t.row("  Last end", e.sentence())
	}
	if !s.ParkedUntil.IsZero() {
		t.row("  Parked until", p.moment(s.ParkedUntil))
	}
	t.end()
}

func (p *page) traffic(t *table, s *Session) {
	x := s.Traffic
	if x == nil || s.State != Established {
		return
	}
	timers := "none agreed"
	if x.HoldSeconds > 0 {
		timers = fmt.Sprintf("hold %ds, keepalive %ds", x.HoldSeconds, x.KeepaliveSeconds)
	}
	t.row("  Timers", timers)
	if !x.LastHeard.IsZero() {
		t.row("  Heard", p.since(x.LastHeard)+" ago")
	}
	t.row("  Messages", fmt.Sprintf("%d received (%d updates), %d sent (%d updates)", x.MessagesReceived, x.UpdatesReceived, x.MessagesSent, x.UpdatesSent))
}

func (p *page) capabilities(t *table, s *Session) {
	n := s.Negotiated
	if n == nil {
		return
	}
	agreed := strings.Join(s.Families, ", ")
	for _, x := range []struct {
		is   bool
		what string
	}{
		{n.FourOctetAS, "4-octet AS numbers"}, {n.RouteRefresh, "route refresh"}, {n.EnhancedRouteRefresh, "enhanced route refresh"},
		{n.ExtendedMessages, "extended messages"}, {s.ExtendedNextHop, "IPv6 next hops for IPv4"}, {s.GracefulRestart, "graceful restart"},
		{len(n.AddPathsReceived) > 0, "several paths received (" + strings.Join(n.AddPathsReceived, ", ") + ")"},
		{len(n.AddPathsSent) > 0, "several paths sent (" + strings.Join(n.AddPathsSent, ", ") + ")"},
	} {
		if x.is {
			agreed += after(", ", x.what)
		}
	}
	t.row("  Agreed", agreed)
	if r := n.PeerRestart; r != nil {
		words := fmt.Sprintf("keeps %s for %ds", cmp.Or(strings.Join(r.Families, ", "), "nothing"), r.Seconds)
		if r.Notification {
			words += ", after a NOTIFICATION too"
		}
		if r.Restarted {
			words += ", had just restarted; went on forwarding " + cmp.Or(strings.Join(r.Forwarding, ", "), "nothing")
		}
		t.row("  Its restart", words)
	}
	t.row("  It announced", strings.Join(n.PeerCapabilities, ", "))
}

func (e *SessionEnd) sentence() string {
	by := map[string]string{"us": "by us", "peer": "by the peer"}[e.By]
	code := ""
	if e.Code != 0 {
		code = fmt.Sprintf(" (code %d, subcode %d)", e.Code, e.Subcode)
	}
	return cmp.Or(by, "the connection was lost") + ", " + e.Reason + code + after(": ", e.Words)
}

func socketOf(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
