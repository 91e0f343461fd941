package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is a table of figures.
type report struct{ lines [][2]string }

func (r *report) add(what, figure string) { r.lines = append(r.lines, [2]string{what, figure}) }

func (r *report) write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, line := range r.lines {
		fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
	}
	return table.Flush()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func mebibytes(kib float64) string { return fmt.Sprintf("%.1f MiB", kib/1024) }

func percent(part, whole time.Duration) string {
	return fmt.Sprintf("%.2f %% of a core", 100*part.Seconds()/whole.Seconds())
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// loadAverage is that of the last minute: what these figures share the machine with is in it.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
