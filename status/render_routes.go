package status

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
)

// WriteRoutes writes a route list while it arrives: the roll-up and what is wrong, then the routes. An error
// among the routes is returned after what came before it was written.
func WriteRoutes(w io.Writer, head RouteHead, routes iter.Seq2[*Route, error], o Options) error {
	if o.Format == JSON {
		out := bufio.NewWriterSize(w, bufferSize)
		err := encodeList(out, head, routes)
		if flushed := out.Flush(); err == nil {
			err = flushed
		}
		return err
	}
	p := newPage(w, o)
	p.line("%s", head.sentence())
	if refusals := head.Summary.refusals(); refusals != "" {
		p.line("Refused: %s.", refusals)
	}
	p.line("")
	header := []string{"PREFIX", "CLUSTER", "VERDICT", "KERNEL", "NEXT HOPS", "PEERS", "FOR", "WHY"}
	if o.Format == Wide {
		header = slices.Insert(header, len(header)-1, "AS PATHS", "GATEWAYS")
	}
	t := p.table(header...)
	for r, err := range routes {
		if err != nil {
			t.end()
			return errors.Join(err, p.flush())
		}
		cells := []string{r.Prefix.String(), r.Cluster, r.verdict(), r.Kernel.Status, join(r.NextHops), strings.Join(r.peers(), ","),
			p.since(r.Since), r.why()}
		if o.Format == Wide {
			cells = slices.Insert(cells, len(cells)-1, r.asPaths(), join(r.Kernel.Gateways))
		}
		t.row(cells...)
		if p.err != nil { // the reader closed the pager: read no further
			break
		}
	}
	if t.rows == 0 {
		p.line("There are no routes to show.")
	} else {
		t.end()
	}
	return p.flush()
}

func (h RouteHead) sentence() string {
	s := h.Summary
	parts := []string{fmt.Sprintf("%d accepted", s.Accepted), fmt.Sprintf("%d refused", s.Refused), fmt.Sprintf("%d installed in the kernel", s.Installed)}
	for _, x := range []struct {
		n    int
		what string
	}{
		{s.Pending, "waiting for the kernel"},
		{s.Failed, "failed in the kernel"},
		{s.Conflict, "in conflict with somebody else's route"},
		{s.Adopted, "kept from before the last start"},
		{s.Stale, "stale"},
		{s.PassedOn, "of this cluster, to be passed on"},
	} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	return fmt.Sprintf("%s has %s: %s.", clean(h.Node), count(s.Total, "prefix", "prefixes"), strings.Join(parts, ", "))
}

func (s RouteSummary) refusals() string {
	var parts []string
	for _, reason := range sortedKeys(s.Refusals) {
		parts = append(parts, fmt.Sprintf("%d %s", s.Refusals[reason], clean(reason)))
	}
	return strings.Join(parts, ", ")
}

func (r *Route) verdict() string {
	if r.Verdict == "" {
		return "-"
	}
	if r.Stale() {
		return r.Verdict + " (stale)"
	}
	return r.Verdict
}

// why explains what is not as it should be; nothing for the healthy.
func (r *Route) why() string {
	var parts []string
	if !r.Accepted && r.Detail != "" {
		parts = append(parts, r.Detail)
	}
	if r.Kernel.Status != Installed && r.Kernel.Reason != "" {
		parts = append(parts, r.Kernel.Reason)
	}
	return strings.Join(parts, "; ")
}

// asPaths are those of the paths, in their order.
func (r *Route) asPaths() string {
	var parts []string
	for _, p := range r.Paths {
		parts = append(parts, strings.Trim(fmt.Sprint(p.ASPath), "[]"))
	}
	return strings.Join(parts, ", ")
}
