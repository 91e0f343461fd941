package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// result is one attack and what became of it.
type result struct {
	attack
	got  outcome
	took time.Duration
}

// wrong says whether that should not have become of it.
func (r result) wrong() bool { return r.got&r.may == 0 }

// campaign has all foes make attacks at once.
type campaign struct {
	*stage
	queues map[bool]chan numbered // by whether the foe dials

	mu      sync.Mutex // guards results
	results []result
}

type numbered struct {
	attack
	number int
}

// fight makes all attacks. Those on established sessions are shared out; those before are made both by the foes that
// dial and by those that the daemon dials, if both is wanted. The error is about what must never happen; outcomes that
// are not as they should be are in the results.
func (s *stage) fight(ctx context.Context, attacks []attack) ([]result, error) {
	c := &campaign{stage: s, queues: map[bool]chan numbered{true: make(chan numbered, 2*len(attacks)), false: make(chan numbered, 2*len(attacks))}}
	for i, a := range attacks {
		n := numbered{a, i}
		if a.state != established {
			c.queues[true] <- n
			c.queues[false] <- n
			continue
		}
		c.queues[i%2 == 0] <- n
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var foes sync.WaitGroup
	for _, q := range c.queues {
		close(q)
	}
	for _, f := range s.all {
		foes.Go(func() {
			if err := c.serve(ctx, f); err != nil {
				cancel(err)
			}
		})
	}
	foes.Wait()
	return c.results, context.Cause(ctx)
}

// serve makes one foe work until nothing is left.
func (c *campaign) serve(ctx context.Context, f *foe) error {
	defer f.hangUp()
	for n := range c.queues[f.dials] {
		began := time.Now()
		got, err := f.perform(ctx, n.number, n.attack)
		if ctx.Err() != nil {
			return nil
		}
		if bad := c.healthy(); bad != nil {
			return fmt.Errorf("after %q: %w", n.name, bad)
		}
		if err != nil {
			return fmt.Errorf("foe %d (dials: %t), %q: %w", f.number, f.dials, n.name, err)
		}
		c.mu.Lock()
		c.results = append(c.results, result{n.attack, got, time.Since(began)})
		c.mu.Unlock()
	}
	return nil
}

// table tells what became of the attacks, by class.
func table(results []result) string {
	columns := []outcome{told, closed, gone, replaced, kept, answered, silence}
	counts := map[string]map[outcome]int{}
	for _, r := range results {
		if counts[r.class] == nil {
			counts[r.class] = map[outcome]int{}
		}
		counts[r.class][r.got]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-14s %8s", "class", "sent")
	for _, c := range columns {
		fmt.Fprintf(&b, " %12s", c)
	}
	for _, class := range slices.Sorted(maps.Keys(counts)) {
		sum := 0
		for _, n := range counts[class] {
			sum += n
		}
		fmt.Fprintf(&b, "\n%-14s %8d", class, sum)
		for _, c := range columns {
			fmt.Fprintf(&b, " %12d", counts[class][c])
		}
	}
	return b.String()
}

// faults lists the attacks of which became what should not have.
func faults(results []result) error {
	var errs []error
	for _, r := range results {
		if r.wrong() {
			errs = append(errs, fmt.Errorf("%s: %s", r.name, r.got))
		}
	}
	return errors.Join(errs...)
}
