package fib

import "sync"

// queueLimit is how many events are kept; beyond it reading everything is cheaper than going
// through them, and memory stays bounded however slow the reader is.
const queueLimit = 1 << 15

// queue carries events from the goroutine that reads the socket, which must never wait, to Run.
type queue struct {
	ready chan struct{}

	mu     sync.Mutex // guards events and lost
	events []event
	lost   bool
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) push(e event) {
	q.mu.Lock()
	switch {
	case e.kind == overflowed:
		q.lost = true
	case len(q.events) >= queueLimit:
		q.events, q.lost = nil, true
	default:
		q.events = append(q.events, e)
	}
	q.mu.Unlock()
	poke(q.ready)
}

// wake has Run look around though nothing happened.
func (q *queue) wake() { poke(q.ready) }

func (q *queue) take() (events []event, lost bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	events, lost = q.events, q.lost
	q.events, q.lost = nil, false
	return events, lost
}
