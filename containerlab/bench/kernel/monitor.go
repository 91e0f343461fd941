package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// receiveBuffer is what the kernel may queue for us, in bytes: some 400,000 notifications.
const receiveBuffer = 512 << 20

// datagram is the size of the buffer for one read: a notification is small, a part of a dump at most 32 KiB.
const datagram = 64 << 10

// Monitor watches the routing table of a network namespace. Its methods may be called from any goroutine, Await by
// one at a time.
type Monitor struct {
	socket  int
	dump    int // socket for dumps
	closing atomic.Bool
	done    chan struct{}

	mu      sync.Mutex // guards what follows
	model   *Model
	goal    func(*Model) bool
	reached chan time.Time
	seen    func(Key, time.Time)
	err     error
}

// Open starts to watch the namespace of the calling thread. Watched says which routes matter; it is called for each
// notification. The caller must Close.
func Open(watched func(Key) bool) (*Monitor, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	if err := prepare(fd); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	m := &Monitor{socket: fd, done: make(chan struct{}), model: newModel(watched)}
	m.dump, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netlink socket: %w", err), unix.Close(fd))
	}
	if err := m.read(m.model); err != nil {
		return nil, errors.Join(err, unix.Close(fd), unix.Close(m.dump))
	}
	m.model.counts = Counts{}
	go m.run()
	return m, nil
}

func prepare(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		return fmt.Errorf("netlink receive buffer: %w", err)
	}
	wait := unix.NsecToTimeval(int64(closeWait))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return fmt.Errorf("netlink receive timeout: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink bind: %w", err)
	}
	for _, group := range []int{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return fmt.Errorf("netlink group %d: %w", group, err)
		}
	}
	return nil
}

// Close ends the watching.
func (m *Monitor) Close() error {
	m.closing.Store(true)
	<-m.done
	return errors.Join(unix.Close(m.socket), unix.Close(m.dump))
}

// closeWait is how long Close may have to wait for the reader.
const closeWait = 100 * time.Millisecond

// priority is the nice value of the thread that reads: on a machine whose cores are all busy the time at which a
// notification is read would otherwise say more about the scheduler than about the speaker.
const priority = -19

func (m *Monitor) run() {
	defer close(m.done)
	runtime.LockOSThread() // and never unlocked: the thread ends with its priority
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), priority); err != nil {
		m.fail(fmt.Errorf("priority: %w", err))
		return
	}
	buffer := make([]byte, datagram)
	hops := make([]netip.Addr, 0, 64)
	for !m.closing.Load() {
		n, _, err := unix.Recvfrom(m.socket, buffer, 0)
		at := time.Now()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		m.mu.Lock()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			err = m.reread()
			m.check(time.Now())
		case err == nil:
			for h, body := range messages(buffer[:n]) {
				if m.model.take(h, body, hops) {
					m.tell(at)
				}
			}
		}
		m.mu.Unlock()
		if err != nil {
			m.fail(err)
			return
		}
	}
}

func (m *Monitor) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// tell passes on that the model changed.
func (m *Monitor) tell(at time.Time) {
	if m.seen != nil && m.model.last != 0 {
		m.seen(m.model.last, at)
	}
	m.check(at)
}

func (m *Monitor) check(at time.Time) {
	if m.goal != nil && m.goal(m.model) {
		m.goal = nil
		m.reached <- at // has room for one
	}
}

// reread replaces the model by what a dump says, after notifications were lost.
func (m *Monitor) reread() error {
	fresh := newModel(m.model.watched)
	if err := m.read(fresh); err != nil {
		return err
	}
	fresh.counts = m.model.counts
	fresh.counts.Lost++
	m.model = fresh
	return nil
}

// Await returns the moment at which goal became true, as early as now. Goal is called after every notification, so
// it must be cheap and must not keep the model. The moment is that of reading the notification.
func (m *Monitor) Await(ctx context.Context, goal func(*Model) bool) (time.Time, error) {
	m.mu.Lock()
	if err := m.err; err != nil {
		m.mu.Unlock()
		return time.Time{}, err
	}
	reached := make(chan time.Time, 1)
	m.reached, m.goal = reached, goal
	m.check(time.Now())
	m.mu.Unlock()
	select {
	case at := <-reached:
		return at, nil
	case <-m.done:
		return time.Time{}, errors.New("the routing table is no longer watched")
	case <-ctx.Done():
		m.mu.Lock()
		m.goal = nil
		m.mu.Unlock()
		return time.Time{}, context.Cause(ctx)
	}
}

// OnRoute has f called for each notification about a watched route, on the goroutine that reads them; nil ends it.
func (m *Monitor) OnRoute(f func(Key, time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = f
}

// Counts are the notifications since Open.
func (m *Monitor) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.model.counts
}

// Routes is the number of watched prefixes that have a route, as far as told.
func (m *Monitor) Routes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.model.Routes()
}
