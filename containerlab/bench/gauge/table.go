package gauge

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Table is figures with what they are of, a line each.
type Table struct{ lines [][]string }

// Add adds a line: what, and a figure for each column.
func (t *Table) Add(what string, figures ...string) {
	t.lines = append(t.lines, append([]string{what}, figures...))
}

// Write prints the table.
func (t *Table) Write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, line := range t.lines {
		fmt.Fprintln(table, strings.Join(line, "\t"))
	}
	return table.Flush()
}

// Seconds prints a time in seconds.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// Milliseconds prints a time in milliseconds.
func Milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// Mebibytes prints a size that is given in KiB.
func Mebibytes(kib float64) string { return fmt.Sprintf("%.1f MiB", kib/1024) }

// Percent prints which part of a span a CPU time is.
func Percent(part, whole time.Duration) string {
	return fmt.Sprintf("%.2f %% of a core", 100*part.Seconds()/whole.Seconds())
}

// Median is the one in the middle.
func Median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// Pause waits, unless ctx ends before, which is an error.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
