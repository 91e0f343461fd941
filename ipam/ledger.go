package ipam

import (
	"container/list"
	"net/netip"
)

// Ledger counts the accepted prefixes of each cluster against its contract's MaxPrefixes. Who came first keeps
// the place; who came too late waits in order of arrival. It is mutable and belongs to one goroutine, the agent
// loop; it outlives plans, which change with every reload.
type Ledger struct {
	accounts map[string]*account
	seats    map[netip.Prefix]seat // values: there are as many as routes
}

type account struct {
	cluster         string
	limit, admitted int
	waiting         list.List // of netip.Prefix, in order of arrival
}

type seat struct {
	account *account
	waiting *list.Element // nil once admitted
}

// Usage is how full a contract is.
type Usage struct{ Admitted, Waiting, Limit int }

// NewLedger makes an empty ledger that admits nothing until SetLimits.
func NewLedger() *Ledger {
	return &Ledger{accounts: map[string]*account{}, seats: map[netip.Prefix]seat{}}
}

// SetLimits takes the contracts of a new plan. A raised limit makes room, which Again then offers. A lowered one
// removes nobody: working routes are not cut by a number, but no new ones come in. The prefixes of clusters that
// are no longer declared are forgotten.
func (l *Ledger) SetLimits(p *Plan) {
	declared := make(map[string]bool, len(p.contracts))
	for _, c := range p.contracts {
		declared[c.Cluster] = true
		l.account(c.Cluster).limit = c.MaxPrefixes
	}
	for name := range l.accounts {
		if !declared[name] {
			delete(l.accounts, name)
		}
	}
	for prefix, s := range l.seats {
		if !declared[s.account.cluster] {
			delete(l.seats, prefix)
		}
	}
}

func (l *Ledger) account(cluster string) *account {
	a, ok := l.accounts[cluster]
	if !ok {
		a = &account{cluster: cluster}
		l.accounts[cluster] = a
	}
	return a
}

// Admit gives a prefix that Judge accepted a place in its cluster's contract, or refuses with TooManyPrefixes
// and lets it wait. Asking again for a prefix that has a place costs nothing and is accepted; one that moved to
// another cluster gives up the place it had.
func (l *Ledger) Admit(prefix netip.Prefix, cluster string) Verdict {
	s, seated := l.seats[prefix]
	if seated && s.account.cluster != cluster {
		l.Release(prefix)
		seated = false
	}
	if seated && s.waiting == nil {
		return Verdict{Accepted: true, Cluster: cluster, Reason: Accepted}
	}
	a, declared := l.accounts[cluster]
	if !declared {
		return refuse(NoContract, cluster, "%s belongs to cluster %s, which is not declared", prefix, cluster)
	}
	if a.admitted >= a.limit {
		if !seated {
			l.seats[prefix] = seat{account: a, waiting: a.waiting.PushBack(prefix)}
		}
		return refuse(TooManyPrefixes, cluster, "%s is one more than the %d prefixes that cluster %s may send; those that came first keep their places",
			prefix, a.limit, cluster)
	}
	if seated {
		a.waiting.Remove(s.waiting)
	}
	l.seats[prefix] = seat{account: a}
	a.admitted++
	return Verdict{Accepted: true, Cluster: cluster, Reason: Accepted}
}

// Release gives up the place of a prefix, in the contract or in the queue. It is called whenever a prefix is
// gone or no longer accepted; releasing what has no place is fine.
func (l *Ledger) Release(prefix netip.Prefix) {
	s, seated := l.seats[prefix]
	if !seated {
		return
	}
	delete(l.seats, prefix)
	a := s.account
	if s.waiting != nil {
		a.waiting.Remove(s.waiting)
		return
	}
	a.admitted--
}

// Again returns the prefixes that were refused for want of room and for which there is room now, the longest
// waiting first, per cluster in order of name. Each is handed over once: the caller judges it again and asks
// Admit, or drops it because it is gone. Call it after each batch of changes until it returns nothing.
func (l *Ledger) Again() []netip.Prefix {
	var out []netip.Prefix
	for _, name := range sortedKeys(l.accounts) {
		a := l.accounts[name]
		for room := a.limit - a.admitted; room > 0 && a.waiting.Len() > 0; room-- {
			prefix := a.waiting.Remove(a.waiting.Front()).(netip.Prefix)
			delete(l.seats, prefix)
			out = append(out, prefix)
		}
	}
	return out
}

// Usage tells how full the contract of a cluster is; zero for a cluster that is not declared.
func (l *Ledger) Usage(cluster string) Usage {
	a, ok := l.accounts[cluster]
	if !ok {
		return Usage{}
	}
	return Usage{Admitted: a.admitted, Waiting: a.waiting.Len(), Limit: a.limit}
}
