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
}

type account struct {
	limit, admitted int
	seat            *Seat     // of all that are admitted
	waiting         list.List // of *Seat, in order of arrival
}

// Seat is the place of a prefix in its cluster's contract, or in the queue for one. The caller keeps it with the prefix:
// the ledger itself remembers only those that wait. The nil Seat is none.
type Seat struct {
	account *account // nil once handed over by Again
	prefix  netip.Prefix
	waiting *list.Element // nil: admitted
}

// Usage is how full a contract is.
type Usage struct{ Admitted, Waiting, Limit int }

// NewLedger makes an empty ledger that admits nothing until SetLimits.
func NewLedger() *Ledger {
	return &Ledger{accounts: map[string]*account{}}
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
}

func (l *Ledger) account(cluster string) *account {
	a, ok := l.accounts[cluster]
	if !ok {
		a = &account{}
		a.seat = &Seat{account: a}
		l.accounts[cluster] = a
	}
	return a
}

// Admit gives a prefix that Judge accepted a seat in its cluster's contract, or refuses with TooManyPrefixes and lets
// it wait. Have is the seat it has. Asking again costs nothing and changes nothing; a prefix that moved to another
// cluster gives up the seat it had.
func (l *Ledger) Admit(prefix netip.Prefix, cluster string, have *Seat) (Verdict, *Seat) {
	a, declared := l.accounts[cluster]
	if have != nil && have.account != a {
		l.Release(have)
		have = nil
	}
	switch {
	case !declared:
		return refuse(NoContract, cluster, "%s belongs to cluster %s, which is not declared", prefix, cluster), nil
	case have != nil && have.waiting == nil:
	case a.admitted >= a.limit:
		if have == nil {
			have = &Seat{account: a, prefix: prefix}
			have.waiting = a.waiting.PushBack(have)
		}
		return refuse(TooManyPrefixes, cluster, "%s is one more than the %d prefixes that cluster %s may send; those that came first keep their places",
			prefix, a.limit, cluster), have
	default:
		l.Release(have)
		a.admitted++
	}
	return Verdict{Accepted: true, Cluster: cluster, Reason: Accepted}, a.seat
}

// Release gives up a seat, in the contract or in the queue, whenever a prefix is gone or no longer accepted. The caller
// forgets it. Releasing none is fine.
func (l *Ledger) Release(s *Seat) {
	switch {
	case s == nil || s.account == nil:
	case s.waiting != nil:
		s.account.waiting.Remove(s.waiting)
		s.account = nil
	default:
		s.account.admitted--
	}
}

// Again returns the prefixes that were refused for want of room and for which there is room now, the longest
// waiting first, per cluster in order of name. Each is handed over once: the caller judges it again and asks
// Admit, or drops it because it is gone. Call it after each batch of changes until it returns nothing.
func (l *Ledger) Again() []netip.Prefix {
	var out []netip.Prefix
	for _, name := range sortedKeys(l.accounts) {
		a := l.accounts[name]
		for room := a.limit - a.admitted; room > 0 && a.waiting.Len() > 0; room-- {
			s := a.waiting.Remove(a.waiting.Front()).(*Seat)
			s.account = nil
			out = append(out, s.prefix)
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
