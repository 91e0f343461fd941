package nat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// DefaultProtocol is the route protocol number that a zero Config.Protocol stands for.
const DefaultProtocol = 200

// ErrRunning is returned by Run when another Run is under way.
var ErrRunning = errors.New("NAT exemption is already being watched")

// Config says by what an exemption is known as ours.
type Config struct {
	// Protocol is the route protocol number, 5..255: it tells apart the tables of several daemons in one network namespace.
	Protocol int
	// Log may be nil.
	Log logrus.FieldLogger
}

// Sides are pods, by where they are: the whole of each, in any order, and they may overlap.
type Sides struct {
	// Local are pods of this node that keep their address towards Remote.
	Local, Remote []netip.Prefix
	// Transit are pods whose packets to and from Far pass through this node and are not tracked. Far are among them, and
	// neither this node's Own ones nor Local are.
	Transit, Far []netip.Prefix
	Own          []netip.Prefix
}

// check says which of them is no prefix.
func (s *Sides) check() error {
	for _, side := range [][]netip.Prefix{s.Local, s.Remote, s.Transit, s.Far, s.Own} {
		for _, p := range side {
			if !p.IsValid() || p.Addr().Is4In6() {
				return fmt.Errorf("prefix %s: must be a valid IPv4 or IPv6 prefix", p)
			}
		}
	}
	return nil
}

// State is how an exemption is.
type State struct {
	// Table is the name of its nftables table, of the family inet.
	Table string
	// Active says that the kernel has what was asked for, and that this exempts something.
	Active bool
	// Local and Remote are how many ranges were asked for: of the fewest that there are for the prefixes.
	Local, Remote int
	// Transit and Far likewise, of what is not tracked.
	Transit, Far int
	// Repairs counts how often the table was put back after somebody else removed or changed it.
	Repairs uint64
	// Problem is why the kernel does not have what was asked for, or for how long it may not; empty when all is well.
	Problem string
	Since   time.Time // of the problem
}

// Exemption is the table of one daemon. All methods may be called from any goroutine.
type Exemption struct {
	log     logrus.FieldLogger
	changed chan struct{}
	due     chan struct{} // there is something to try again
	running atomic.Bool
	pending sync.WaitGroup // conversations with the kernel that nobody waits for any more

	mu sync.Mutex // guards what follows; it is held while the kernel is talked to
	*kernel
	mon       *monitor
	have      contents // of the kernel, if known
	there     bool     // the table
	known     bool
	fight     fight
	disturbed *touch // what is to be put right

	seen  sync.Mutex // guards what follows
	want  contents
	asked bool // want was
	state State
}

// Open reaches the kernel of the calling thread's network namespace. It changes nothing. An error is ErrUnsupported when
// the kernel lacks what it takes.
func Open(c Config) (*Exemption, error) {
	if c.Protocol == 0 {
		c.Protocol = DefaultProtocol
	}
	if c.Protocol < 5 || c.Protocol > 255 {
		return nil, fmt.Errorf("protocol %d: must be 5..255", c.Protocol)
	}
	if c.Log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		c.Log = quiet
	}
	table := fmt.Sprintf("underlayd-%d", c.Protocol)
	k, err := openKernel(table)
	if err != nil {
		return nil, fmt.Errorf("NAT exemption: %w", err)
	}
	mon, err := openMonitor(table, k.port)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("NAT exemption: %w", err), k.close())
	}
	return &Exemption{
		log: c.Log.WithField("table", "inet "+table), changed: make(chan struct{}, 1), due: make(chan struct{}, 1),
		kernel: k, mon: mon, state: State{Table: table},
	}, nil
}

// Close lets the kernel go; the table stays. Nothing may be called afterwards.
func (x *Exemption) Close() error {
	x.pending.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	return errors.Join(x.close(), x.mon.close())
}

// Adopt returns what the table that an earlier run left is about; nothing if there is none.
func (x *Exemption) Adopt() (Sides, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f, err := x.read()
	if err != nil {
		return Sides{}, fmt.Errorf("NAT exemption: %w", err)
	}
	x.learn(f)
	return f.prefixes(), nil
}

// Set exempts what goes from Local to Remote, and has what passes between Transit and Far not tracked, and nothing else. When
// one of the two is empty there is nothing of it, and where nothing is left, no table. It returns when the kernel has it, or with what stands in the way, which Run tries again, or when ctx
// ends: somebody else's large transaction may keep the kernel busy for seconds. What was asked for counts then, too.
func (x *Exemption) Set(ctx context.Context, sides Sides) error {
	want, err := unite(sides)
	if err != nil {
		return fmt.Errorf("NAT exemption: %w", err)
	}
	x.seen.Lock()
	x.want, x.asked = want, true
	x.seen.Unlock()
	done := make(chan error, 1)
	x.pending.Go(func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		_, err := x.bring()
		if err == nil {
			x.disturbed = nil
		}
		x.note(err, 0)
		done <- err
	})
	select {
	case err = <-done:
	case <-ctx.Done():
		err = fmt.Errorf("nftables is busy: %w", ctx.Err())
	}
	if err != nil {
		poke(x.due)
		return fmt.Errorf("NAT exemption: %w", err)
	}
	return nil
}

// Remove removes the table, if there is one, and says whether there was.
func (x *Exemption) Remove(ctx context.Context) (bool, error) {
	x.mu.Lock()
	_, there, err := x.table()
	x.mu.Unlock()
	if err != nil {
		return false, fmt.Errorf("NAT exemption: %w", err)
	}
	return there, x.Set(ctx, Sides{})
}

// Changed is poked when State has changed.
func (x *Exemption) Changed() <-chan struct{} { return x.changed }

// State says how it is.
func (x *Exemption) State() State {
	x.seen.Lock()
	defer x.seen.Unlock()
	return x.state
}

// bring makes the kernel have what is wanted, and says whether it had something else. Incremental as long as nobody has
// touched the table; else it is read first. x.mu is held.
func (x *Exemption) bring() (different bool, err error) {
	x.seen.Lock()
	want := x.want
	x.seen.Unlock()
	if x.known {
		if different, err = x.write(&want, true); err == nil {
			return different, nil
		}
		x.log.WithError(err).Debug("reading the table again")
	}
	x.known = false
	f, err := x.read()
	if err != nil {
		return false, err
	}
	x.learn(f)
	if f.strange != nil {
		x.log.WithField("why", f.strange).Info("the table is not as it should be; it is made anew")
	}
	different, err = x.write(&want, !f.there || f.whole)
	if err != nil {
		x.known = false
	}
	return different, err
}

// learn takes in what is in the kernel.
func (x *Exemption) learn(f found) {
	x.have, x.there, x.known = f.contents, f.there, !f.there || f.whole
}

// write writes the difference to what the kernel has. The table is whole unless said otherwise.
func (x *Exemption) write(want *contents, whole bool) (different bool, err error) {
	switch {
	case want.idle() && !x.there:
		return false, nil
	case want.idle():
		err = x.remove()
	case !x.there || !whole || x.have.sets() != want.sets():
		err = x.rebuild(x.there, want)
	case x.have.equal(want):
		return false, nil
	default:
		err = x.update(&x.have, want)
	}
	if err != nil {
		return true, err
	}
	x.have, x.there, x.known = *want, !want.idle(), true
	return true, nil
}

// note tells how the last attempt went. x.mu is held.
func (x *Exemption) note(err error, repairs uint64) {
	x.seen.Lock()
	defer x.seen.Unlock()
	s, now := x.state, time.Now()
	s.Active = err == nil && x.known && !x.want.idle()
	s.Local, s.Remote = len(x.want[local4])+len(x.want[local6]), len(x.want[remote4])+len(x.want[remote6])
	s.Transit, s.Far = len(x.want[transit4])+len(x.want[transit6]), len(x.want[far4])+len(x.want[far6])
	s.Repairs += repairs
	problem := x.fight.problem(now)
	if err != nil {
		problem = err.Error()
	}
	if s.Problem != problem {
		s.Problem, s.Since = problem, now
	}
	if s.Problem == "" {
		s.Since = time.Time{}
	}
	if s != x.state {
		x.state = s
		poke(x.changed)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
