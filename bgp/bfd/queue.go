package bfd

import "container/heap"

// queue has the session that wants attention first at its head.
type queue []*session

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].wake < q[j].wake }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	s := x.(*session)
	s.place = len(*q)
	*q = append(*q, s)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return s
}

// add puts a session in; it may want attention at any time.
func (q *queue) add(s *session) { heap.Push(q, s) }

// remove takes a session out.
func (q *queue) remove(s *session) { heap.Remove(q, s.place) }

// move puts a session where its new time belongs. A later time is worth it only for the head: the others are asked for it
// when they get there.
func (q *queue) move(s *session, wake instant) {
	s.wake = wake
	heap.Fix(q, s.place)
}
