package status

import (
	"fmt"
	"io"
	"strconv"
)

// WriteSummaries writes how several nodes are, a line each, and then what is wrong with them.
func WriteSummaries(w io.Writer, nodes []*NodeSummary, o Options) error {
	if o.Format == JSON {
		return writeJSON(w, nodes)
	}
	p := newPage(w, o)
	t := newTable(p, []string{"NODE", "CLUSTER", "PHASE", "PEERS", "INSTALLED", "ACCEPTED", "REFUSED", "PROBLEMS", "VERSION"})
	for _, n := range nodes {
		t.row(n.Node, n.Cluster, string(n.Phase), fmt.Sprintf("%d/%d", n.PeersUp, n.Peers), strconv.Itoa(n.Installed), strconv.Itoa(n.Accepted),
			strconv.Itoa(n.Refused), strconv.Itoa(n.Problems), n.Version)
	}
	t.end()
	for _, n := range nodes {
		for _, problem := range n.Headlines {
			p.line("%s: %s: %s, %s", clean(n.Node), p.paint(string(problem.Severity), string(problem.Severity)), clean(problem.Subject), clean(problem.Message))
		}
		if more := n.Problems - len(n.Headlines); more > 0 {
			p.line("%s: and %d more", clean(n.Node), more)
		}
	}
	return p.flush()
}
