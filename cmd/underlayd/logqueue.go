package main

import (
	"io"
	"sync/atomic"
	"time"
)

// logQueue lets those who log go on whether or not the lines are taken: a full pipe to a collector that hangs must not
// stop routing. What does not fit is dropped and counted.
type logQueue struct {
	out     io.Writer
	lines   chan []byte // nil is the end
	dropped atomic.Uint64
	done    chan struct{} // closed when all is written
}

const (
	logRoom     = 4096            // lines
	logFarewell = 2 * time.Second // for the last ones to be taken
)

// newLogQueue starts writing to out; tell is called with the number of lines that were dropped, once there is room again.
func newLogQueue(out io.Writer, tell func(lines uint64)) *logQueue {
	q := &logQueue{out: out, lines: make(chan []byte, logRoom), done: make(chan struct{})}
	go func() {
		defer close(q.done)
		for line := <-q.lines; line != nil; line = <-q.lines {
			_, _ = out.Write(line) // there is nobody to tell
			if n := q.dropped.Load(); n > 0 && len(q.lines) < logRoom/2 {
				q.dropped.Add(-n)
				tell(n)
			}
		}
	}()
	return q
}

// Write implements io.Writer. It never waits and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	if len(line) == 0 {
		return 0, nil
	}
	select {
	case q.lines <- append([]byte(nil), line...): // logrus uses the buffer again
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

// Close waits for the lines so far to be written, though not for ever. What is written later is lost.
func (q *logQueue) Close() {
	limit := time.After(logFarewell)
	select {
	case q.lines <- nil:
	case <-limit:
		return
	}
	select {
	case <-q.done:
	case <-limit:
	}
}
