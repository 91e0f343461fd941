package nat

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// table returns the table of our name, and false if there is none.
func (k *kernel) table() (t *nftables.Table, there bool, err error) {
	err = k.talk(func() error {
		t, err = k.conn.ListTableOfFamily(k.shape.table.Name, nftables.TableFamilyINet)
		return err
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, explain(fmt.Errorf("read table %s: %w", k.shape.table.Name, plain(err)))
	}
	return t, true, nil
}

// found is what there is of our table.
type found struct {
	there   bool  // the table
	whole   bool  // it is as it should be, but for what is in its sets
	strange error // why it is not
	contents
}

// read reads all of the table. What is missing or looks strange makes it not whole and is no error.
func (k *kernel) read() (found, error) {
	var f found
	t, there, err := k.table()
	if err != nil || !there {
		return f, err
	}
	f.there = true
	sets, ok := k.shape.hasTable(t)
	if !ok {
		f.strange = errOther
		return f, nil
	}
	f.strange = k.talk(func() error { return k.readWhole(sets, &f.contents) })
	if f.strange == nil && f.sets() != sets {
		f.strange = errOther // it has what a gateway has, and nothing that would pass
	}
	if f.whole = f.strange == nil; !f.whole {
		f.contents = contents{} // or a part of it
	}
	return f, nil
}

var errOther = errors.New("not as we write it")

// readWhole reads what is in the sets of a table that is as it should be. The library hides most error numbers, but whatever
// it is that cannot be read, to make the table anew is the answer.
func (k *kernel) readWhole(number int, c *contents) error {
	chains, sets := k.shape.of(number)
	for _, want := range chains {
		if err := k.readChain(want); err != nil {
			return fmt.Errorf("chain %s: %w", want.Name, err)
		}
	}
	for i, want := range sets {
		set, err := k.conn.GetSetByName(k.shape.table, want.Name)
		if err != nil {
			return fmt.Errorf("set %s: %w", want.Name, err)
		}
		if !sameSet(set, want) {
			return errOther
		}
		all, err := k.conn.GetSetElements(set)
		if err == nil {
			c[i], err = ranges(all)
		}
		if err != nil {
			return fmt.Errorf("elements of set %s: %w", want.Name, err)
		}
	}
	return nil
}

// readChain looks whether a chain is as it should be.
func (k *kernel) readChain(want *nftables.Chain) error {
	chain, err := k.conn.ListChain(k.shape.table, want.Name)
	if err != nil {
		return err
	}
	rules, err := k.conn.GetRules(k.shape.table, want)
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	if !sameChain(chain, want) || !sameRules(rules, k.shape.rules(want)) {
		return errOther
	}
	return nil
}
