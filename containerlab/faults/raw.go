package main

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

const (
	rawASN  = 65005
	bgpPort = 179
)

// rawPeer keeps a session with the node under test, in which a row may write what it likes. While it is left alone it
// announces its pods, and dials again when the session ends.
type rawPeer struct {
	node *containerlab.Node
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex // guards what follows
	session *wire.Session
	quiet   bool          // it does not dial
	changed chan struct{} // closed and replaced at each change
}

func newRawPeer(n *containerlab.Node) *rawPeer {
	ctx, stop := context.WithCancel(context.Background())
	r := &rawPeer{node: n, stop: stop, done: make(chan struct{}), changed: make(chan struct{})}
	go r.run(ctx)
	return r
}

// peer is the raw neighbour as a side of a session.
func (r *rawPeer) peer() wire.Peer {
	p := neighbourOf("raw")
	return wire.Peer{
		Local: p.address(false), Remote: netip.AddrPortFrom(p.node(), bgpPort), ASN: rawASN,
		Enter: r.node.Do, Keepalive: time.Second,
	}
}

// announcement is what the raw peer says first.
func (r *rawPeer) announcement() []byte {
	p := neighbourOf("raw")
	var b []byte
	for _, prefix := range p.prefixes() {
		b = wire.AppendUpdate(b, rawPath(prefix.Addr().Is6()), 1, prefix)
	}
	return wire.AppendEndOfRIB(b)
}

// rawPath is a path of the raw peer with which nothing is wrong.
func rawPath(v6 bool) wire.Path {
	return wire.Path{NextHop: neighbourOf("raw").address(v6), ASPath: []uint32{rawASN}, Community: [3]uint32{rawASN, 1, 2}}
}

func (r *rawPeer) run(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		r.mu.Lock()
		quiet, session, changed := r.quiet, r.session, r.changed
		r.mu.Unlock()
		var ended <-chan struct{}
		switch {
		case session != nil:
			ended = session.Done()
		case !quiet:
			r.dial(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-ended:
			r.set(func() {
				if r.session == session {
					r.session = nil
				}
			})
		}
	}
	if s := r.current(); s != nil {
		_ = s.Die() // the lab goes
	}
}

func (r *rawPeer) dial(ctx context.Context) {
	const limit = time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := r.peer().Dial(ctx)
	if err == nil {
		err = s.Write(r.announcement())
	}
	if err != nil {
		_ = pause(ctx, limit/10)
		return
	}
	r.set(func() {
		if !r.quiet {
			r.session = s
		}
	})
	if r.current() != s {
		_ = s.Die() // it is not wanted any more
	}
}

func (r *rawPeer) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// current is the session, nil if there is none.
func (r *rawPeer) current() *wire.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session
}

// hush ends the session and leaves the node alone until resume.
func (r *rawPeer) hush() error {
	s := r.current()
	r.set(func() { r.quiet, r.session = true, nil })
	if s == nil {
		return nil
	}
	return s.Die()
}

// resume dials again.
func (r *rawPeer) resume() { r.set(func() { r.quiet = false }) }

// write writes messages in the session.
func (r *rawPeer) write(b []byte) error {
	s := r.current()
	if s == nil {
		return errors.New("the raw peer has no session")
	}
	return s.Write(b)
}

func (r *rawPeer) end() {
	r.stop()
	<-r.done
}
