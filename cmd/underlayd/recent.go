package main

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/underlayd/underlayd/bgp"
)

const (
	// recentAtLeast is for how long what GoBGP said is told again to questions that come again and again: metrics, probes, live
	// views. Each time, GoBGP counts all that it received, and does nothing else meanwhile.
	recentAtLeast = time.Second
	// recentRest is for how long it is left alone, in times of what it took: some percent of a core, however large the table.
	recentRest = 20
)

// recentDetails remember what GoBGP said last of the sessions.
type recentDetails struct {
	mu    sync.Mutex // guards what follows
	said  map[netip.Addr]bgp.Details
	until time.Time
}

// of returns what was said lately, or asks. Who asks at the same time asks too: nobody waits for another one's question.
func (r *recentDetails) of(ctx context.Context, ask func(context.Context, bool) (map[netip.Addr]bgp.Details, error)) (map[netip.Addr]bgp.Details, error) {
	began := time.Now()
	r.mu.Lock()
	said, until := r.said, r.until
	r.mu.Unlock()
	if began.Before(until) {
		return said, nil
	}
	said, err := ask(ctx, false)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said, r.until = said, now.Add(max(recentAtLeast, recentRest*now.Sub(began)))
	return said, nil
}
