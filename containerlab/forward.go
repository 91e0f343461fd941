package containerlab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Forward passes TCP connections made inside a node on to an address of the machine: how an agent in a node reaches
// an API server that a test runs on the machine's loopback.
type Forward struct {
	listener net.Listener
	target   string

	// what was passed on so far; see Traffic
	connections, sent, received atomic.Int64

	wait   sync.WaitGroup // the accepting goroutine and two for each connection
	mu     sync.Mutex     // guards conns and closed
	conns  map[net.Conn]struct{}
	closed bool
}

// Forward listens on a numeric TCP address in the node's network, say 127.0.0.1:6443, and connects whoever calls
// there to target on the machine. It goes on until Close, whatever becomes of the node.
func (n *Node) Forward(listen, target string) (*Forward, error) {
	if _, err := netip.ParseAddrPort(listen); err != nil {
		return nil, fmt.Errorf("%s: forward: %w", n.Name(), err)
	}
	f := &Forward{target: target, conns: map[net.Conn]struct{}{}}
	err := n.Do(func() (err error) {
		f.listener, err = net.Listen("tcp", listen)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: forward: %w", n.Name(), err)
	}
	f.wait.Go(f.accept)
	return f, nil
}

// Addr is the address that the node's programs connect to.
func (f *Forward) Addr() netip.AddrPort { return f.listener.Addr().(*net.TCPAddr).AddrPort() }

// Traffic is what a Forward has passed on.
type Traffic struct {
	Connections    int64 // that the target took
	Sent, Received int64 // bytes from the node, and to it: what TCP carries
}

// Traffic is what was passed on so far.
func (f *Forward) Traffic() Traffic {
	return Traffic{f.connections.Load(), f.sent.Load(), f.received.Load()}
}

// Close ends listener and connections, and returns when all is over. A second call does nothing.
func (f *Forward) Close() error {
	err := f.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		_ = c.Close() // ends the copying, which is all that is wanted
	}
	f.mu.Unlock()
	f.wait.Wait()
	return err
}

func (f *Forward) accept() {
	for {
		inside, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wait.Go(func() { f.serve(inside) })
	}
}

func (f *Forward) serve(inside net.Conn) {
	defer f.drop(inside)
	outside, err := net.Dial("tcp", f.target)
	if err != nil {
		return // the caller sees its connection closed, as with a server that is down
	}
	defer f.drop(outside)
	if !f.add(inside) || !f.add(outside) {
		return
	}
	f.connections.Add(1)
	var back sync.WaitGroup
	back.Go(func() { pass(inside, outside, &f.received) })
	pass(outside, inside, &f.sent)
	back.Wait()
}

// pass copies until from ends, then lets to know, so that half-closed connections stay so. It counts what it copies.
func pass(to, from net.Conn, count *atomic.Int64) {
	_, _ = io.Copy(to, counted{from, count})
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}

type counted struct {
	io.Reader
	count *atomic.Int64
}

func (c counted) Read(into []byte) (int, error) {
	n, err := c.Reader.Read(into)
	c.count.Add(int64(n))
	return n, err
}

func (f *Forward) add(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *Forward) drop(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}
