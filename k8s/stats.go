package k8s

import (
	"errors"
	"strings"
	"time"
)

// Stats is what an operator may ask of the line to Kubernetes.
type Stats struct {
	// Synced: the pod CIDRs are known, or that there are none any more. It stays true.
	Synced bool
	// NodeExists: the API showed the Node when it last answered.
	NodeExists bool
	// Published: the Node said once what a report wanted.
	Published bool
	// Pending: the Node does not say yet what the newest report wants.
	Pending bool
	// Writes counts patches of nodes/status that succeeded, WriteErrors those
	// that failed; Repairs are the writes that put back what somebody else
	// changed; Renewals are those of the Lease.
	Writes, WriteErrors, Repairs, Renewals uint64
	// Events counts the writes of Events, EventsDropped the incidents that none will
	// tell of.
	Events, EventsDropped uint64
	// LastWrite is the last of Writes, LastContact the last good answer of the
	// API; zero: never.
	LastWrite, LastContact time.Time
	// Source is where pod CIDRs are read now; empty: it is not decided yet.
	Source Source
	// WaitingFor says why pod CIDRs are not known; empty once they are.
	WaitingFor string
	// Disagreement says which pods have addresses that are not advertised, by other
	// sources than that one; empty: none.
	Disagreement string
	// Problem joins what fails at present: the watch, a write, the Lease, the startup taint, the second
	// reading of pod CIDRs, a kind that holds them; and what such a reading has still to confirm. Nil when all
	// is well.
	Problem error
}

// source tells apart what can fail by itself.
type source int

const (
	watching source = iota
	publishing
	leasing
	confirming
	untainting
	calico
	cilium
	sources // how many there are
)

func (s source) String() string {
	return [...]string{"watch", "publish", "lease", "confirm", "taint", "calico", "cilium"}[s]
}

// Stats returns the present figures.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	stats := n.stats
	stats.Pending = stats.Pending || n.number > n.published
	if !n.belief.known() {
		stats.WaitingFor = strings.TrimSuffix(n.belief.err.Error(), ": "+ErrNotSynced.Error())
	}
	stats.Problem = errors.Join(n.belief.doubt(), errors.Join(n.problems[:]...))
	return stats
}

// problem notes that a source fails, or with nil that it works, and logs the
// turn: each failure once, not each try. The caller holds mu.
func (n *Node) problem(s source, err error) {
	before := n.problems[s]
	n.problems[s] = err
	log := n.log.WithField("node", n.name).WithField("op", s.String())
	switch {
	case err != nil && before == nil:
		log.WithError(err).Warn("Kubernetes API: failing, will be tried again; routing does not depend on it")
	case err != nil:
		log.WithError(err).Debug("Kubernetes API: still failing")
	case before != nil:
		log.Info("Kubernetes API: works again")
	}
}

// contact notes a good answer. After a write that got none it wakes the
// publisher out of its back-off; one that was refused waits as it was told. The
// caller holds mu.
func (n *Node) contact() {
	n.stats.LastContact = time.Now()
	if err := n.problems[publishing]; err != nil && !answered(err) {
		poke(n.back)
	}
}
