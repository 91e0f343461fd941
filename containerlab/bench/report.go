package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what bench.json holds.
type report struct {
	Started  time.Time         `json:"started"`
	Seconds  float64           `json:"seconds"`
	Machine  machine           `json:"machine"`
	Options  map[string]string `json:"options"`
	Speakers []named           `json:"speakers"`
	Figures  []figure          `json:"figures"`
}

type named struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// figure is one metric of one workload; only those in the table have a title.
type figure struct {
	Workload string             `json:"workload"`
	Metric   string             `json:"metric"`
	Title    string             `json:"title,omitempty"`
	Unit     string             `json:"unit,omitempty"`
	Medians  map[string]float64 `json:"medians"`
	// Ratios are underlayd's median by the other speaker's.
	Ratios map[string]float64   `json:"ratios,omitempty"`
	Rounds map[string][]float64 `json:"rounds"`
	Failed map[string][]string  `json:"failed,omitempty"`
	Target string               `json:"target,omitempty"`
	Met    *bool                `json:"met,omitempty"`
}

// results collects what the rounds measured.
type results struct {
	values map[[3]string][]float64 // by workload, metric, speaker
	failed map[[2]string][]string  // by workload, speaker
}

func newResults() *results {
	return &results{values: map[[3]string][]float64{}, failed: map[[2]string][]string{}}
}

func (r *results) add(workload, speaker string, sample map[string]float64, err error) {
	if err != nil {
		// What was measured before the failure is not trusted either.
		at := [2]string{workload, speaker}
		r.failed[at] = append(r.failed[at], err.Error())
		return
	}
	for metric, value := range sample {
		at := [3]string{workload, metric, speaker}
		r.values[at] = append(r.values[at], value)
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// figure sums up one line.
func (r *results) figure(line row, speakers []string) figure {
	f := figure{
		Workload: line.Workload, Metric: line.Metric, Title: line.Title, Unit: line.Unit,
		Medians: map[string]float64{}, Ratios: map[string]float64{}, Rounds: map[string][]float64{}, Failed: map[string][]string{},
	}
	for _, name := range speakers {
		if values := r.values[[3]string{line.Workload, line.Metric, name}]; len(values) > 0 {
			f.Rounds[name], f.Medians[name] = values, median(values)
		}
		if failed := r.failed[[2]string{line.Workload, name}]; len(failed) > 0 {
			f.Failed[name] = failed
		}
	}
	value, measured := f.Medians[ours]
	for name, theirs := range f.Medians {
		if measured && name != ours && theirs > 0 {
			f.Ratios[name] = value / theirs
		}
	}
	if line.Target == nil {
		return f
	}
	f.Target = line.Target.String()
	if met, known := line.Target.met(f.Medians); known {
		f.Met = &met
	}
	return f
}

// figures returns the lines of the table, then all other metrics.
func (r *results) figures(o options, speakers []string) []figure {
	var all []figure
	inTable := map[[2]string]bool{}
	for _, line := range rows(o) {
		inTable[[2]string{line.Workload, line.Metric}] = true
		if f := r.figure(line, speakers); len(f.Rounds)+len(f.Failed) > 0 {
			all = append(all, f)
		}
	}
	var rest [][2]string
	for at := range r.values {
		if name := [2]string{at[0], at[1]}; !inTable[name] && !slices.Contains(rest, name) {
			rest = append(rest, name)
		}
	}
	slices.SortFunc(rest, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	for _, name := range rest {
		all = append(all, r.figure(row{Workload: name[0], Metric: name[1]}, speakers))
	}
	return all
}

// write writes bench.json, whole or not at all.
func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	if err := os.WriteFile(part, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return errors.Join(os.Rename(part, path), os.RemoveAll(part))
}

// show writes the table.
func (r *report) show(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n", r.Machine)
	for _, s := range r.Speakers {
		fmt.Fprintf(w, "%s: %s\n", s.Name, s.Version)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := []string{"WORKLOAD", "UNIT"}
	for _, s := range r.Speakers {
		header = append(header, strings.ToUpper(s.Name))
	}
	for _, name := range r.others() {
		header = append(header, "÷ "+name)
	}
	fmt.Fprintln(t, strings.Join(append(header, "TARGET"), "\t"))
	for _, f := range r.Figures {
		if f.Title != "" {
			fmt.Fprintln(t, strings.Join(r.line(f), "\t"))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.printFailures(w)
	return nil
}

func (r *report) line(f figure) []string {
	cells := []string{f.Title, f.Unit}
	for _, s := range r.Speakers {
		cells = append(cells, cell(f, s.Name, f.Medians))
	}
	for _, name := range r.others() {
		ratio := ""
		if v, ok := f.Ratios[name]; ok {
			ratio = fmt.Sprintf("%.2f", v)
		}
		cells = append(cells, ratio)
	}
	word := ""
	if f.Met != nil {
		word = ": missed"
		if *f.Met {
			word = ": met"
		}
	}
	return append(cells, f.Target+word)
}

// others names those that ours is compared with.
func (r *report) others() []string {
	var names []string
	for _, s := range r.Speakers {
		if s.Name != ours {
			names = append(names, s.Name)
		}
	}
	return names
}

func cell(f figure, speaker string, medians map[string]float64) string {
	v, ok := medians[speaker]
	switch {
	case !ok && len(f.Failed[speaker]) > 0:
		return "failed"
	case !ok:
		return "–"
	case f.Unit == "" || f.Unit == "1/s" || v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// printFailures says why figures are missing, once for each workload and speaker.
func (r *report) printFailures(w io.Writer) {
	said := map[string]bool{}
	for _, f := range r.Figures {
		for _, s := range r.Speakers {
			for _, reason := range f.Failed[s.Name] {
				if text := fmt.Sprintf("%s, %s: %s", f.Workload, s.Name, reason); !said[text] {
					said[text] = true
					fmt.Fprintln(w, text)
				}
			}
		}
	}
}
