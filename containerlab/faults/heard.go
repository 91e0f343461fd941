package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// overheard collects what the daemon complains about while something happens to it, in its status and in its metrics.
type overheard struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu       sync.Mutex // guards what follows; each is there once
	lines    []string
	measured []string // what underlayd_problems and underlayd_condition_reason are about
}

// listen asks the daemon what is wrong until the end; that it does not answer is nothing.
func (d *daemon) listen(ctx context.Context) *overheard {
	const often = 100 * time.Millisecond
	ctx, stop := context.WithCancel(ctx)
	o := &overheard{stop: stop}
	o.wait.Go(func() {
		for pause(ctx, often) == nil {
			if s, err := d.state(ctx); err == nil {
				o.note(&o.lines, s.complaints())
			}
			if text, err := d.get(ctx, "/metrics"); err == nil {
				o.note(&o.measured, subjects(string(text)))
			}
		}
	})
	return o
}

func (o *overheard) note(list *[]string, lines []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, line := range lines {
		if !slices.Contains(*list, line) {
			*list = append(*list, line)
		}
	}
}

// end returns all that was heard: complaints, and what the metrics say that there are complaints about.
func (o *overheard) end() (lines, measured []string) {
	o.stop()
	o.wait.Wait()
	return o.lines, o.measured
}

// subjects are what metrics complain about.
func subjects(metrics string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^underlayd_(?:problems|condition_reason)\{.*(?:subject|reason)="([^"]*)"\} [1-9]`).FindAllStringSubmatch(metrics, -1) {
		all = append(all, m[1])
	}
	return all
}

// subject is what metrics must be about that tell of a complaint.
func subject(complaint string) string {
	about, _, _ := strings.Cut(complaint, ": ")
	if condition, ok := strings.CutPrefix(about, "condition "); ok {
		_, about, _ = strings.Cut(condition, " ")
	}
	return about
}
