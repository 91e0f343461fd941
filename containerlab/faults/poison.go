package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// poison is a message that no speaker should ever get.
type poison struct {
	fault   string
	message []byte
	// first sends it in a connection of its own, before any OPEN; otherwise it comes in the established session.
	first bool
	// stays says that the session has to survive it (RFC 7606).
	stays bool
	fast  bool
}

// message makes a BGP message.
func message(kind byte, body ...byte) []byte {
	b := make([]byte, 0, 19+len(body))
	for range 16 {
		b = append(b, 0xff)
	}
	n := 19 + len(body)
	return append(append(b, byte(n>>8), byte(n), kind), body...)
}

// update makes an UPDATE of attributes and 10.20.80.0/24.
func update(attributes ...[]byte) []byte {
	var all []byte
	for _, a := range attributes {
		all = append(all, a...)
	}
	body := append([]byte{0, 0, byte(len(all) >> 8), byte(len(all))}, all...)
	return message(2, append(body, 24, 10, 20, 80)...)
}

// The path attributes of an announcement that is in order (RFC 4271, section 4.3).
func origin() []byte  { return []byte{0x40, 1, 1, 0} }
func asPath() []byte  { return []byte{0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xed} }
func nextHop() []byte { return []byte{0x40, 3, 4, 192, 168, 5, 2} }

func poisons() []poison {
	long := make([]byte, 4)
	return []poison{
		{fault: "a message of no known type, before any OPEN", first: true, fast: true, message: message(0xff)},
		{fault: "noise instead of BGP", first: true, message: []byte(strings.Repeat("GET / HTTP/1.1\r\n", 20))},
		{fault: "a message that claims to have 65,535 bytes", first: true, message: append(message(1)[:16], 0xff, 0xff, 1)},
		{fault: "a message shorter than a header", first: true, message: append(message(1)[:16], 0, 1, 1)},
		{fault: "an OPEN in an established session", fast: true, message: message(1, 4, 0xfd, 0xed, 0, 90, 192, 168, 5, 2, 0)},
		{fault: "an UPDATE whose lengths contradict each other", message: message(2, 0xff, 0xff, 0xff, 0xff)},
		{fault: "an ORIGIN of no known value", stays: true, message: update([]byte{0x40, 1, 1, 9}, asPath(), nextHop())},
		{fault: "an UPDATE without AS_PATH", stays: true, message: update(origin(), nextHop())},
		{fault: "an AS_PATH that is cut short", stays: true, message: update(origin(), []byte{0x40, 2, 6, 2, 9, 0, 0, 0xfd, 0xed}, nextHop())},
		{fault: "a NEXT_HOP of three bytes", stays: true, message: update(origin(), asPath(), []byte{0x40, 3, 3, 192, 168, 5})},
		{fault: "a community of three bytes", stays: true, message: update(origin(), asPath(), nextHop(), []byte{0xc0, 8, 3, 1, 2, 3})},
		{fault: "a large community of seven bytes", stays: true, message: update(origin(), asPath(), nextHop(), []byte{0xc0, 32, 7, 1, 2, 3, 4, 5, 6, 7})},
		{fault: "MP_REACH_NLRI of three bytes", message: update(origin(), asPath(), nextHop(), []byte{0x80, 14, 3, 0, 2, 1})},
		{fault: "MP_REACH_NLRI of a family that was not agreed on", message: update(origin(), asPath(), nextHop(), append([]byte{0x80, 14, 9, 0x40, 0x04, 71, 4}, long...))},
		{fault: "AS4_PATH before AS_PATH", message: update(origin(), []byte{0xc0, 17, 6, 2, 1, 0, 0, 0xfd, 0xed}, asPath(), nextHop())},
		{fault: "PREFIX_SID with an empty SRv6 TLV", message: update(origin(), asPath(), nextHop(), []byte{0xc0, 40, 3, 5, 0, 0})},
		{fault: "an unknown well-known attribute", message: update(origin(), asPath(), nextHop(), []byte{0x40, 99, 1, 0})},
	}
}

// poisonRows are about peers that do not speak BGP as one should.
func poisonRows() []row {
	var rows []row
	for _, p := range poisons() {
		r := row{
			name: p.fault, fast: p.fast, required: "the daemon lives, at most this session is reset, no other is touched",
			touches: []string{"raw"}, rewrites: true, lost: unlimited,
			inject: func(ctx context.Context, s *scene) error { return s.poison(ctx, p) },
		}
		if p.stays {
			r.required, r.lost = "the prefix counts as withdrawn, the session stays (RFC 7606)", 0
			r.touches = nil
		}
		if p.first {
			r.required = "the connection is closed, and the peer is taken when it speaks BGP again"
		}
		rows = append(rows, r)
	}
	return rows
}

// poison sends the message, then asks the daemon for a sign of life: that it takes a legal prefix.
func (s *scene) poison(ctx context.Context, p poison) error {
	var err error
	switch {
	case p.first:
		err = s.firstWords(ctx, p.message)
	case p.stays: // it had been announced properly before
		err = errors.Join(s.raw.write(announce(nil, nil, netip.MustParsePrefix("10.20.80.0/24"))), s.route(ctx, "10.20.80.0/24", true),
			s.raw.write(p.message), s.route(ctx, "10.20.80.0/24", false))
	default:
		err = errors.Join(s.raw.write(p.message), pause(ctx, 500*time.Millisecond))
	}
	if err != nil {
		return err
	}
	if _, err := s.until(ctx, patience, "a session", func(context.Context) error { return s.raw.write(nil) }); err != nil {
		return err
	}
	sign := netip.MustParsePrefix(legal4)
	_, err = s.until(ctx, patience, "a sign of life", func(context.Context) error {
		if err := s.raw.write(announce(nil, nil, sign)); err != nil {
			return err
		}
		return s.hasRoute(legal4, true)
	})
	return errors.Join(err, s.raw.write(withdraw(sign, netip.MustParsePrefix("10.20.80.0/24"))))
}

// firstWords sends something in a new connection from the peer's address, while there is no session, and waits until
// the daemon ends it.
func (s *scene) firstWords(ctx context.Context, text []byte) error {
	if err := s.waiting(ctx); err != nil {
		return err
	}
	defer s.raw.resume()
	conn, err := s.dialDaemon(ctx, "raw", neighbourOf("raw").address(false))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(text); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	for in := bufio.NewReader(conn); ; {
		if _, err := in.ReadByte(); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return errors.New("the daemon keeps the connection")
			}
			return nil
		}
	}
}

// dialDaemon connects to the BGP port from an address of a neighbour's, with a direct neighbour's TTL.
func (s *scene) dialDaemon(ctx context.Context, peer string, from netip.Addr) (net.Conn, error) {
	p := neighbourOf(peer)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return wire.Peer{Local: from, Remote: netip.AddrPortFrom(p.node(), bgpPort), Enter: s.Node(peer).Do}.Connect(ctx)
}

// route waits until the kernel has a route of ours for a prefix, or none.
func (s *scene) route(ctx context.Context, prefix string, there bool) error {
	_, err := s.until(ctx, 5*time.Second, "the route "+prefix, func(context.Context) error { return s.hasRoute(prefix, there) })
	return err
}

func (s *scene) hasRoute(prefix string, there bool) error {
	ours, _, err := kernelRoutes(s.east)
	if err == nil && strings.Contains(strings.Join(ours, "\n"), prefix+" via ") != there {
		err = fmt.Errorf("the kernel has %q", ours)
	}
	return err
}

// waiting ends the raw peer's session and waits until the daemon would take another.
func (s *scene) waiting(ctx context.Context) error {
	if err := s.raw.hush(); err != nil {
		return err
	}
	_, err := s.until(ctx, 10*time.Second, "the daemon to wait for the raw peer", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err == nil && now.session("raw").State != "active" {
			err = errors.New("it is " + now.session("raw").State)
		}
		return err
	})
	return err
}
