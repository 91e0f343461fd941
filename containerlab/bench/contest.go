package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// contest is all rounds of all workloads.
type contest struct {
	options   options
	workloads []workload
	speakers  []speaker
	results   *results
	report    report
	out       io.Writer // the table; progress goes to standard error
}

// run plays all rounds. What is measured so far is written after every workload, and printed however the run ends.
func (c *contest) run(ctx context.Context) error {
	c.report = report{Started: time.Now(), Machine: readMachine(), Options: c.optionTexts()}
	for _, sp := range c.speakers {
		version, err := sp.version(ctx)
		if err != nil {
			return err
		}
		c.report.Speakers = append(c.report.Speakers, named{sp.name, version})
	}
	for round := 1; round <= c.options.rounds && ctx.Err() == nil; round++ {
		for _, w := range c.workloads {
			if w.rounds > 0 && round > w.rounds || ctx.Err() != nil {
				continue
			}
			for _, sp := range c.speakers {
				c.measure(ctx, round, w, sp)
			}
			if err := c.save(); err != nil {
				return err
			}
		}
	}
	err := c.report.show(c.out)
	if ctx.Err() != nil {
		return errors.Join(err, errors.New("interrupted"))
	}
	return errors.Join(err, c.failures())
}

func (c *contest) optionTexts() map[string]string {
	o := c.options
	return map[string]string{
		"routes": fmt.Sprint(o.routes), "million": fmt.Sprint(o.million), "rounds": fmt.Sprint(o.rounds), "probes": fmt.Sprint(o.probes),
		"rest": o.rest.String(), "idle": o.idle.String(), "churn": o.churn.String(),
	}
}

// measure plays one workload with one speaker in a fresh lab.
func (c *contest) measure(ctx context.Context, round int, w workload, sp speaker) {
	fmt.Fprintf(os.Stderr, "round %d  %-8s %-10s", round, w.name, sp.name)
	s, err := raise(ctx, c.options, sp, w.setup)
	if err == nil {
		err = w.play(s)
		if lost := s.kernel.Counts().Lost; lost > 0 {
			s.note("lost", float64(lost))
		}
		if err != nil && c.options.verbose {
			_ = s.lab.WriteLogs(os.Stderr)
		}
		err = errors.Join(err, s.down())
	}
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "interrupted")
		return
	}
	var sample map[string]float64
	if s != nil {
		sample = s.sample
	}
	c.results.add(w.name, sp.name, sample, err)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		return
	}
	var texts []string
	for _, metric := range slices.Sorted(maps.Keys(sample)) {
		texts = append(texts, fmt.Sprintf("%s %.4g", metric, sample[metric]))
	}
	fmt.Fprintln(os.Stderr, strings.Join(texts, ", "))
}

func (c *contest) save() error {
	var names []string
	for _, sp := range c.speakers {
		names = append(names, sp.name)
	}
	c.report.Seconds = time.Since(c.report.Started).Seconds()
	c.report.Figures = c.results.figures(c.options, names)
	return c.report.write(c.options.out)
}

// failures is an error when underlayd could not do something: others may fail, that is a result.
func (c *contest) failures() error {
	var errs []error
	for at, reasons := range c.results.failed {
		if at[1] == ours {
			errs = append(errs, fmt.Errorf("%s: %s", at[0], reasons[0]))
		}
	}
	return errors.Join(errs...)
}
