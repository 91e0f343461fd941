package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/underlayd/underlayd/containerlab/bench/gauge"
)

// report is the figures, a column for each number of Nodes.
type report struct {
	columns []string
	rows    []*row
	notes   [][2]string
}

// row is one figure for each number of Nodes.
type row struct {
	what   string
	unit   unit
	values []float64
}

// unit is how a figure is printed, and what it is of.
type unit struct {
	name   string
	digits int
}

// add adds the figure of the present column.
func (r *report) add(what string, u unit, value float64) {
	i := slices.IndexFunc(r.rows, func(row *row) bool { return row.what == what })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, &row{what: what, unit: u})
	}
	r.rows[i].values = append(r.rows[i].values, value)
}

// note adds a line that has no columns.
func (r *report) note(what, text string) { r.notes = append(r.notes, [2]string{what, text}) }

// values are those of a row so far.
func (r *report) values(what string) []float64 {
	for _, row := range r.rows {
		if row.what == what {
			return row.values
		}
	}
	return nil
}

// write prints the table. The last column is the last figure divided by the first one.
func (r *report) write(out io.Writer) error {
	var table gauge.Table
	table.Add("NODES", append(append([]string{""}, r.columns...), "LAST ÷ FIRST")...)
	for _, row := range r.rows {
		line := []string{row.unit.name}
		for _, v := range row.values {
			line = append(line, fmt.Sprintf("%.*f", row.unit.digits, v))
		}
		if n := len(row.values); n > 1 && n == len(r.columns) && row.values[0] > 0 {
			line = append(line, fmt.Sprintf("%.2f", row.values[n-1]/row.values[0]))
		}
		table.Add(row.what, line...)
	}
	for _, n := range r.notes {
		table.Add(n[0], "", n[1])
	}
	return table.Write(out)
}
