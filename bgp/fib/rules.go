package fib

import (
	"errors"
	"fmt"
	"time"
)

// rule is a routing rule with our mark.
type rule struct {
	v6              bool
	priority, table int
	odd             bool // not for all packets: never of our making
}

// ruler is the part of the kernel that has rules. Both kinds of kernel have it.
type ruler interface {
	// rules returns those with our mark; a family that does not exist has none and needs none.
	rules() (all []rule, families []bool, err error)
	addRule(r rule) error
	deleteRule(r rule) error // absent is success
}

// wantedRules are the rules that are to be there.
func (t *Table) wantedRules(families []bool) []rule {
	if t.cfg.Rule == 0 {
		return nil
	}
	var all []rule
	for _, v6 := range families {
		all = append(all, rule{v6: v6, priority: t.cfg.Rule, table: t.cfg.Table})
	}
	return all
}

// ensureRules writes our rules that are not there. Like routes they are repaired when someone removes them, and less
// often when that does not end.
func (t *Table) ensureRules(now time.Time) {
	t.ruleDue = t.cfg.Rule != 0 && t.ruleFight.held(now)
	if t.cfg.Rule == 0 || t.ruleDue {
		return
	}
	t.ruledAt = now
	if problem := t.writeRules(now); problem == nil {
		t.ruleProblem = ""
	} else if problem.Error() != t.ruleProblem {
		t.ruleProblem = problem.Error()
		t.log.WithError(problem).Error("rule for our table; it is tried again")
	}
	t.ruleDue = t.ruleDue || t.ruleProblem != ""
}

func (t *Table) writeRules(now time.Time) error {
	there, families, err := t.ruler.rules()
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	var errs []error
	for _, want := range missing(t.wantedRules(families), there) {
		if t.ruled && t.ruleFight.again("the rule for our table", nil, now) {
			t.stats.Fights++
			t.log.WithField("reason", t.ruleFight.reason).Error("somebody keeps changing the rule for our table")
		}
		if t.ruleFight.held(now) {
			t.ruleDue = true
			return nil
		}
		if err := t.ruler.addRule(want); err != nil {
			errs = append(errs, fmt.Errorf("add rule %d to table %d: %w", want.priority, want.table, err))
		}
		if t.ruled {
			t.stats.Repairs++
		}
	}
	t.ruled = t.ruled || len(errs) == 0
	return errors.Join(errs...)
}

// pruneRules deletes the rules of ours that are not wanted.
func (t *Table) pruneRules(wanted bool) error {
	there, families, err := t.ruler.rules()
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	var keep []rule
	if wanted {
		keep = t.wantedRules(families)
	}
	var errs []error
	for _, gone := range missing(there, keep) {
		if err := t.ruler.deleteRule(gone); err != nil {
			errs = append(errs, fmt.Errorf("delete rule %d to table %d: %w", gone.priority, gone.table, err))
		}
	}
	return errors.Join(errs...)
}

// missing are those of some that are not among others.
func missing(some, others []rule) []rule {
	var all []rule
	for _, s := range some {
		found := false
		for _, o := range others {
			found = found || s == o
		}
		if !found {
			all = append(all, s)
		}
	}
	return all
}
