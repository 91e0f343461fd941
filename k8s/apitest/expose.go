package apitest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// exposure is one listener in another network namespace.
type exposure struct {
	listener net.Listener
	mu       sync.Mutex // guards conns and closed
	conns    map[net.Conn]struct{}
	closed   bool
}

// Expose makes the API server reachable inside another network namespace, at
// the same 127.0.0.1:port as here, so that one kubeconfig is good in both. The
// namespace is named by a path such as /run/netns/x or /proc/<pid>/ns/net; its
// loopback must be up. While the API server is stopped, connections are accepted
// and broken at once. It lasts until Close; it needs root.
func (s *Server) Expose(namespace string) error {
	listener, err := listenIn(namespace, s.Address())
	if err != nil {
		return fmt.Errorf("expose the API in %s: %w", namespace, err)
	}
	e := &exposure{listener: listener, conns: map[net.Conn]struct{}{}}
	s.exposed = append(s.exposed, e)
	go e.accept(s.Address())
	return nil
}

// listenIn opens a listening socket in a namespace. A socket belongs to the
// namespace its thread was in when it was made; the thread is thrown away.
func listenIn(namespace, address string) (net.Listener, error) {
	type result struct {
		listener net.Listener
		err      error
	}
	results := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := os.Open(namespace)
		if err != nil {
			results <- result{err: err}
			return
		}
		defer file.Close()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			results <- result{err: fmt.Errorf("enter namespace: %w", err)}
			return
		}
		listener, err := net.Listen("tcp4", address)
		results <- result{listener, err}
	}()
	r := <-results
	return r.listener, r.err
}

func (e *exposure) accept(target string) {
	for {
		conn, err := e.listener.Accept()
		if err != nil {
			return // closed
		}
		go e.relay(conn, target)
	}
}

func (e *exposure) relay(near net.Conn, target string) {
	far, err := net.Dial("tcp4", target)
	if err != nil {
		_ = near.Close()
		return
	}
	if !e.add(near, far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(far, near); e.drop(near, far) })
	both.Go(func() { _, _ = io.Copy(near, far); e.drop(near, far) })
	both.Wait()
}

// add records the pair, or breaks it when the exposure was closed meanwhile.
func (e *exposure) add(conns ...net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range conns {
		if e.closed {
			_ = conn.Close()
		} else {
			e.conns[conn] = struct{}{}
		}
	}
	return !e.closed
}

func (e *exposure) drop(conns ...net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close() // the second of the two closes finds it closed
		delete(e.conns, conn)
	}
}

func (e *exposure) close() error {
	err := e.listener.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for conn := range e.conns {
		_ = conn.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
