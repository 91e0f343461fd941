package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// bench plays rows in labs side by side: most of the time a fault is waited for.
type bench struct {
	options
	progress io.Writer

	mu   sync.Mutex // guards what follows
	next int
	done int
}

// run plays all rows and returns their results in the rows' order. An error is the bench's own: no row is to blame.
func (b *bench) run(ctx context.Context, rows []row) ([]*result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]*result, len(rows))
	var workers sync.WaitGroup
	for range min(b.labs, len(rows)) {
		workers.Go(func() {
			if err := b.work(ctx, rows, results); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return results, context.Cause(ctx)
}

// work plays rows, one after the other, in a lab that is made anew after whatever broke it.
func (b *bench) work(ctx context.Context, rows []row, results []*result) (err error) {
	var l *lab
	defer func() {
		if l != nil {
			err = errors.Join(err, l.down())
		}
	}()
	for {
		i, ok := b.take(len(rows))
		if !ok {
			return nil
		}
		if l == nil {
			if l, err = newLab(ctx, b.options); err != nil {
				return err
			}
		}
		results[i] = play(ctx, l, &rows[i])
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.tell(results[i], len(rows))
		if results[i].broken {
			broken := l
			l = nil
			if err := broken.down(); err != nil {
				return err
			}
		}
	}
}

func (b *bench) take(total int) (int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.next
	b.next++
	return i, i < total
}

// tell reports progress.
func (b *bench) tell(r *result, total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	fmt.Fprintf(b.progress, "%2d/%d %-4s %5.1fs  %s: %s (lost %s)\n", b.done, total, r.verdict(), r.Took.Round(100*time.Millisecond).Seconds(), r.Area, r.Fault, r.Lost)
	for _, f := range r.Failures {
		fmt.Fprintf(b.progress, "           - %s\n", f)
	}
}
