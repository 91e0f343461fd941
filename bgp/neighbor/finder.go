package neighbor

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Finder finds the neighbours on links. Its methods may be called from any goroutine.
type Finder struct {
	socket  *socket
	closed  string // why there is no socket
	id      uint16 // of our pings
	changed chan struct{}
	poked   chan struct{}

	mu    sync.Mutex // guards links and what is in them
	links map[string]*link
}

// Pair is the two ends of a link: link-local addresses with the link as zone.
type Pair struct {
	Neighbor netip.Addr
	// Local is ours: the one that the neighbour hears from us, and so the one that it knows us by.
	Local netip.Addr
}

// Open prepares for the network namespace of the calling thread. It must be called while the process has CAP_NET_RAW;
// without, everything works but that no neighbour is ever found, which Find says.
func Open() *Finder {
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	f := &Finder{
		id: binary.NativeEndian.Uint16(id[:]), changed: make(chan struct{}, 1), poked: make(chan struct{}, 1), links: map[string]*link{},
	}
	var err error
	if f.socket, err = openSocket(); err != nil {
		f.closed = err.Error()
	}
	return f
}

// Watch makes the links on which neighbours are looked for exactly these.
func (f *Finder) Watch(names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := make(map[string]*link, len(names))
	for _, name := range names {
		if next[name] = f.links[name]; next[name] == nil {
			next[name] = newLink(name)
		}
	}
	f.links = next
	poke(f.poked)
}

// Find returns the neighbour on a link and our end of it; or the zero Pair and why there is none, in words. The link must
// be one of the last Watch.
func (f *Finder) Find(name string) (Pair, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.links[name]
	switch {
	case f.closed != "":
		return Pair{}, f.closed
	case l == nil:
		return Pair{}, "not looked for"
	}
	return l.answer(time.Now())
}

// Changed is poked when Find has another answer. It has capacity one and is never closed.
func (f *Finder) Changed() <-chan struct{} { return f.changed }

// Look has the links looked at now: something about the links of the host has changed.
func (f *Finder) Look() { poke(f.poked) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run looks for neighbours until ctx is cancelled, and then ends for good.
func (f *Finder) Run(ctx context.Context) error {
	if f.socket == nil {
		<-ctx.Done()
		return nil
	}
	var receiving sync.WaitGroup
	receiving.Go(func() { f.receive(ctx) })
	defer receiving.Wait()
	defer func() { _ = f.socket.file.Close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.poked:
		case <-timer.C:
		}
		timer.Reset(max(f.round(time.Now()), settle/10))
	}
}

// round looks at all links and asks on those on which it is time. It returns when to do so again.
func (f *Finder) round(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := now.Add(askSlow)
	for _, l := range f.links {
		was, why := l.answer(now)
		if l.place(inspect(l.name)) {
			refreshZones()
		}
		l.judge(now)
		if l.index != 0 && !now.Before(l.wants(now)) || l.asked.IsZero() {
			l.asked, l.eager = now, max(0, l.eager-1)
			f.ask(l)
		}
		if is, because := l.answer(now); is != was || because != why {
			poke(f.changed)
		}
		if at := l.wants(now); at.Before(next) {
			next = at
		}
	}
	return next.Sub(now)
}

// ask makes us known on a link, and asks everybody there to answer. Sending fails while the link comes up or goes away;
// it is tried again in any case.
func (f *Finder) ask(l *link) {
	if l.index == 0 {
		return
	}
	from := sender{l.index, l.self}
	_ = f.socket.send(from, allNodes(), advertisement())
	_ = f.socket.send(from, allRouters(), solicitation())
	_ = f.socket.send(from, allNodes(), ping(f.id))
	if l.current.IsValid() {
		_ = f.socket.send(from, l.current, ping(f.id))
	}
}

// receive listens until ctx is cancelled and the socket closed. Of an error nothing is known but that it passes: then there
// is a pause.
func (f *Finder) receive(ctx context.Context) {
	buffer := make([]byte, 2048)
	for ctx.Err() == nil {
		p, err := f.socket.receive(buffer)
		if err == nil {
			f.take(&p, time.Now())
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(settle):
		}
	}
}

func (f *Finder) take(p *packet, now time.Time) {
	neighbor, router, asks := p.use(f.id)
	if !neighbor {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		if l.index != p.link || l.index == 0 {
			continue
		}
		_, known := l.seen[p.from]
		l.hear(p.from, router, now)
		if asks && now.Sub(l.asked) > fair {
			l.asked = now
			f.ask(l)
		}
		if !known || router && p.from != l.current {
			poke(f.poked) // judged at once
		}
	}
}

// inspect reads what the host says of a link.
func inspect(name string) state {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return state{problem: "there is no link " + name}
	}
	if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning == 0 {
		return state{problem: "link " + name + " is down"}
	}
	addresses, err := i.Addrs()
	if err != nil {
		return state{problem: "addresses of " + name + ": " + err.Error()}
	}
	s := state{index: i.Index}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Is6() && own.IsLinkLocalUnicast() {
				s.own = append(s.own, own)
			}
		}
	}
	if len(s.own) == 0 {
		return state{problem: "link " + name + " has no IPv6 link-local address: IPv6 may be off on it (sysctl net.ipv6.conf." + name + ".disable_ipv6)"}
	}
	return s
}

// refreshZones has the net package read the links again. It remembers for a minute which index a name has, and a link
// that was made anew has another one: connections to its neighbour would fail for so long. A name it does not know makes
// it look.
func refreshZones() {
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback, Zone: "no such link"})
	if err == nil {
		_ = conn.Close()
	}
}
