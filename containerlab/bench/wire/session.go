package wire

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	holdTime   = 90
	keepalive  = 20 * time.Second
	retry      = 5 * time.Millisecond
	asTrans    = 23456 // RFC 6793, section 9
	handshake  = 10 * time.Second
	sendBuffer = 4 << 20
)

// Peer is our side of a session.
type Peer struct {
	// Local is our address.
	Local netip.Addr
	// Remote is the speaker under test.
	Remote netip.AddrPort
	ASN    uint32
	// ID is our BGP Identifier; the zero Addr: Local.
	ID netip.Addr
	// HoldTime is what we offer, in seconds; nil: 90.
	HoldTime *uint16
	// GracefulRestart announces the capability (RFC 4724), with a restart time of 120 s and no state kept.
	GracefulRestart bool
	// Keepalive is the time between KEEPALIVEs; 0: 20 s, which suits the hold time of 90 s that we offer.
	Keepalive time.Duration
	// Enter runs a function in the network of the peer; nil: here.
	Enter func(func() error) error
}

// Session is an established session.
type Session struct {
	conn *net.TCPConn
	done chan struct{}
	stop chan struct{}
	die  sync.Once
	err  error // why it ended, set before done is closed
}

// Dial connects until the speaker takes the session or ctx ends; refusals are met with patience, for the speaker may
// still be starting. The session sends KEEPALIVEs by itself until it ends.
func (p Peer) Dial(ctx context.Context) (*Session, error) {
	tick := time.NewTicker(retry)
	defer tick.Stop()
	for {
		s, err := p.try(ctx)
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("session of %s with %s: %w", p.Local, p.Remote, err)
		case <-tick.C:
		}
	}
}

func (p Peer) try(ctx context.Context) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	conn, err := p.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, done: make(chan struct{}), stop: make(chan struct{})}
	if err := s.open(ctx, p); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// Connect connects once and says nothing: what is written is the caller's affair, who closes the connection too.
func (p Peer) Connect(ctx context.Context) (*net.TCPConn, error) {
	dialer := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Local, 0)),
		KeepAlive: -1,
		// All packets, the first one too, look like a direct neighbour's (GTSM, RFC 5082).
		Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = errors.Join(
					unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 255),
					unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer),
				)
			})
			return errors.Join(err, failed)
		},
	}
	enter := p.Enter
	if enter == nil {
		enter = func(f func() error) error { return f() }
	}
	var conn net.Conn
	err := enter(func() (err error) {
		conn, err = dialer.DialContext(ctx, "tcp", p.Remote.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// open exchanges OPEN and the first KEEPALIVE.
func (s *Session) open(ctx context.Context, p Peer) error {
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(deadline); err != nil {
		return err
	}
	in := bufio.NewReaderSize(s.conn, 64<<10)
	if _, err := s.conn.Write(append(p.Open(), Keepalive()...)); err != nil {
		return err
	}
	for _, want := range []byte{TypeOpen, TypeKeepalive} {
		kind, body, err := ReadMessage(in)
		if err != nil {
			return err
		}
		if kind != want {
			return fmt.Errorf("message of type %d instead of %d: %x", kind, want, body)
		}
	}
	if err := s.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	go s.read(in)
	go s.live(cmp.Or(p.Keepalive, keepalive))
	return nil
}

// Open is the OPEN that such a peer sends.
func (p Peer) Open() []byte {
	as := uint16(asTrans)
	if p.ASN <= 0xffff {
		as = uint16(p.ASN)
	}
	capabilities := []byte{
		1, 4, 0, 1, 0, 1, // IPv4 unicast (RFC 4760)
		1, 4, 0, 2, 0, 1, // IPv6 unicast
		65, 4, // 4-octet AS (RFC 6793)
	}
	capabilities = binary.BigEndian.AppendUint32(capabilities, p.ASN)
	if p.GracefulRestart {
		capabilities = append(capabilities, 64, 10, 0, 120, 0, 1, 1, 0, 0, 2, 1, 0)
	}
	b := appendHeader(nil, TypeOpen)
	b = append(b, 4)
	b = binary.BigEndian.AppendUint16(b, as)
	hold := uint16(holdTime)
	if p.HoldTime != nil {
		hold = *p.HoldTime
	}
	b = binary.BigEndian.AppendUint16(b, hold)
	id := p.Local.As4()
	if p.ID.IsValid() {
		id = p.ID.As4()
	}
	b = append(b, id[:]...)
	b = append(b, byte(len(capabilities)+2), 2, byte(len(capabilities)))
	return finish(append(b, capabilities...), 0)
}

// Keepalive is a KEEPALIVE.
func Keepalive() []byte { return finish(appendHeader(nil, TypeKeepalive), 0) }

// ReadMessage reads one message from a buffer that has room for it; body is valid until the next read.
func ReadMessage(in *bufio.Reader) (kind byte, body []byte, err error) {
	header, err := in.Peek(headerSize)
	if err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(header[16:]))
	kind = header[18]
	if n < headerSize || n > maxMessage {
		return 0, nil, fmt.Errorf("message of %d bytes", n)
	}
	whole, err := in.Peek(n)
	if err != nil {
		return 0, nil, err
	}
	body = whole[headerSize:]
	_, err = in.Discard(n)
	return kind, body, err
}

// read drops what the speaker sends until the session ends.
func (s *Session) read(in *bufio.Reader) {
	defer close(s.done)
	for {
		kind, body, err := ReadMessage(in)
		if err == nil && kind == TypeNotification {
			err = fmt.Errorf("the speaker ended the session: NOTIFICATION %x", body)
		}
		if err != nil {
			s.err = err
			if errors.Is(err, io.EOF) {
				s.err = errors.New("the speaker closed the connection")
			}
			return
		}
	}
}

func (s *Session) live(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.done:
			return
		case <-tick.C:
			_ = s.Write(Keepalive()) // if it fails, the reader knows
		}
	}
}

// Write writes whole messages, as fast as TCP takes them. Concurrent writes do not mix: a net.Conn writes one after
// the other.
func (s *Session) Write(b []byte) error {
	if _, err := s.conn.Write(b); err != nil {
		return fmt.Errorf("write to the speaker: %w", err)
	}
	return nil
}

// Done is closed when the session has ended, by whichever side.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session ended; nil before.
func (s *Session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Die ends the session as the death of a process does whose kernel lives on: by a TCP reset, without a NOTIFICATION.
// A second call does nothing.
func (s *Session) Die() (err error) {
	s.die.Do(func() {
		close(s.stop)
		err = errors.Join(s.conn.SetLinger(0), s.conn.Close())
		<-s.done
	})
	return err
}
