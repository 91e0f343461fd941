package bgp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/server"
	"github.com/sirupsen/logrus"
)

// callTimeout bounds every management call into GoBGP. GoBGP itself ignores the context of such a
// call and waits for its main loop for ever.
const callTimeout = 10 * time.Second

// ErrStuck is returned when GoBGP did not answer a call in time. The call may still take effect
// later; whole-set calls (SetPeers, Advertise) may simply be repeated.
var ErrStuck = errors.New("the BGP speaker does not answer")

// Config is what a Speaker needs to know before it can start. It can't be changed afterwards.
type Config struct {
	// ASN is our autonomous system number, 1..4294967294 (RFC 6793).
	ASN uint32
	// RouterID is the BGP Identifier, an IPv4 address (RFC 6286).
	RouterID netip.Addr
	// Port is the TCP port to listen on; -1 listens nowhere and only dials.
	Port int
	// ListenAddresses are the local addresses to listen on; empty means all, of both families.
	ListenAddresses []netip.Addr
	// ClusterID is carried by every advertisement as the large community ASN:1:ClusterID (RFC 8092).
	ClusterID uint32
	// Restarting says that our routes of a previous life are still in the kernel, so that the restart bit
	// and the forwarding bits of the first OPEN to each peer are true (RFC 4724, section 4.1).
	Restarting bool
	// Socket is the path of the unix socket on which the gobgp command may read; empty for none.
	Socket string
	// Park is how long a peer that sent too many prefixes is parked the first time; 0 for a minute. It doubles up to 60
	// times that, and starts anew for a peer that behaved as long.
	Park time.Duration
	// WallClock is the clock that is compared with the monotonic one; nil for time.Now.
	WallClock func() time.Time
	// Log receives the speaker's own records and GoBGP's.
	Log logrus.FieldLogger
}

// Speaker is a running BGP speaker. Its methods may be called from any goroutine, except that
// SetPeers and Advertise have one caller at a time (the agent).
type Speaker struct {
	cfg    Config
	log    logrus.FieldLogger
	server *gobgp.BgpServer
	table  *table
	stop   context.CancelFunc // ends GoBGP's watch
	unread *resets

	mu         sync.Mutex // guards the fields below: the sets last applied to GoBGP
	peers      map[netip.Addr]Peer
	wanted     map[netip.Addr]Peer     // those of the last SetPeers, whether or not they could be added
	keyed      map[netip.Addr]struct{} // whose password is, or may be, on the listeners
	limits     limits
	advertised map[netip.Prefix]Announcement
	policies   policies
	preferred  map[netip.Addr]bool // peers whose paths were given a preference
	guard      guard               // of the listeners
	started    bool                // the first set of peers is in
	restarting bool                // we have restarted, and not all peers are back
	leaving    bool                // what is advertised says so
}

// Start brings a speaker up: it listens, refuses every route in both directions and has no peers.
// The caller ends it with Run.
func Start(ctx context.Context, cfg Config) (*Speaker, error) {
	table, unread := newTable(cfg.ASN, cfg.ClusterID), newResets()
	hear := hearer{down: table.ended, reason: table.explain, refused: table.refuse, unread: unread.add}
	options := []gobgp.ServerOption{gobgp.LoggerOption(newLogger(cfg.Log, hear), nil)}
	if cfg.Socket != "" {
		if err := removeStaleSocket(cfg.Socket); err != nil {
			return nil, err
		}
		options = append(options, gobgp.GrpcListenAddress("unix://"+cfg.Socket), gobgp.GrpcOption(readOnly()))
	}
	s := &Speaker{
		cfg:        cfg,
		log:        cfg.Log,
		server:     gobgp.NewBgpServer(options...),
		table:      table,
		unread:     unread,
		peers:      map[netip.Addr]Peer{},
		keyed:      map[netip.Addr]struct{}{},
		limits:     newLimits(cfg.Park),
		advertised: map[netip.Prefix]Announcement{},
		restarting: cfg.Restarting,
		preferred:  map[netip.Addr]bool{},
	}
	s.guard = guard{build: listenFilter, attach: s.attach}
	go s.server.Serve()
	if err := s.start(ctx); err != nil {
		s.shutdown()
		return nil, err
	}
	return s, nil
}

func (s *Speaker) start(ctx context.Context) error {
	listen := make([]string, 0, len(s.cfg.ListenAddresses))
	for _, a := range s.cfg.ListenAddresses {
		listen = append(listen, a.String())
	}
	if len(listen) == 0 {
		listen = defaultListenAddresses()
	}
	err := s.call(ctx, "start", func(ctx context.Context) error {
		return s.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
			Asn:              s.cfg.ASN,
			RouterId:         s.cfg.RouterID.String(),
			ListenPort:       int32(s.cfg.Port), // validated by config: -1..65535
			ListenAddresses:  listen,
			Families:         []uint32{0, 1}, // OpenConfig's numbers of IPv4 and IPv6 unicast
			UseMultiplePaths: true,
		}})
	})
	if err != nil {
		return fmt.Errorf("start BGP speaker as AS %d on port %d: %w", s.cfg.ASN, s.cfg.Port, err)
	}
	if err := s.closeListeners(); err != nil {
		return err
	}
	// Deny before the first peer exists: GoBGP accepts everything by default.
	if err := s.applyPolicies(ctx, nil); err != nil {
		return err
	}
	if s.cfg.Socket != "" {
		if err := protectSocket(ctx, s.cfg.Socket); err != nil {
			return err
		}
	}
	return s.watch(ctx)
}

// watch subscribes the table to GoBGP's events. The subscription outlives ctx; Run ends it.
func (s *Speaker) watch(ctx context.Context) error {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = cancel
	return s.call(ctx, "watch", func(context.Context) error {
		return s.server.WatchEvent(watching, gobgp.WatchEventMessageCallbacks{
			OnBestPath:   func(paths []*apiutil.Path, _ time.Time) { s.table.update(paths) },
			OnPathEor:    func(p *apiutil.Path, _ time.Time) { s.table.endOfRIB(p.PeerAddress, p.Family) },
			OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) { s.table.peerEvent(e, at) },
		}, gobgp.WatchBestPath(true), gobgp.WatchEor(true), gobgp.WatchPeer())
	})
}

// Run keeps the speaker until ctx is cancelled, then closes the sessions so that peers which agreed
// to graceful restart keep our routes (RFC 4724: no Cease is sent to them). It also probes the
// speaker and returns an error when it has stopped answering.
func (s *Speaker) Run(ctx context.Context) error {
	defer s.shutdown()
	ctx, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { s.followSpares(ctx) })
	background.Go(func() { s.followTurns(ctx) })
	background.Go(func() { s.followLoops(ctx) })
	background.Go(func() { s.followRelay(ctx) })
	background.Go(func() { s.tend(ctx) })
	defer func() {
		cancel()
		background.Wait()
	}()
	tick := time.NewTicker(callTimeout)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.unread.wake:
			s.resetUnread(ctx)
		case <-tick.C:
			err := s.look(ctx, "probe", func(ctx context.Context) error {
				_, err := s.server.GetBgp(ctx, &api.GetBgpRequest{})
				return err
			})
			if errors.Is(err, ErrStuck) {
				return err
			}
		}
	}
}

// shutdown stops GoBGP and waits for it, at most for callTimeout: the process ends either way.
func (s *Speaker) shutdown() {
	if s.stop != nil {
		s.stop()
	}
	err := s.call(context.Background(), "stop", func(ctx context.Context) error {
		return s.server.StopBgp(ctx, &api.StopBgpRequest{AllowGracefulRestart: true})
	})
	if err != nil {
		s.log.WithError(err).Debug("BGP speaker did not stop cleanly")
	}
	if s.cfg.Socket != "" {
		_ = os.Remove(s.cfg.Socket) // what is left is found and removed by the next start
	}
}

// call runs one management operation of GoBGP with a deadline.
func (s *Speaker) call(ctx context.Context, what string, f func(context.Context) error) error {
	return s.look(ctx, what, func(ctx context.Context) error {
		defer s.table.counts.operations.Add(1) // whenever it comes to its end
		return f(ctx)
	})
}

// look is call for an operation that changes nothing.
func (s *Speaker) look(ctx context.Context, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%s: %w (waited %s)", what, ErrStuck, callTimeout)
		}
		return ctx.Err()
	}
}

// Changed is poked when Drain or Sessions has something new. It has capacity one and is never closed.
func (s *Speaker) Changed() <-chan struct{} { return s.table.changed }

// Drain returns the present best paths of prefixes that changed since they were last returned, at most limit of them
// unless it is 0; Changed is poked if there are more. What belongs together, such as all that a session that ended took
// along, is returned whole. A prefix that changed several times appears once; one without paths was withdrawn.
func (s *Speaker) Drain(limit int) []Change { return s.table.drain(limit) }

// seconds converts a duration to whole seconds for GoBGP, rounding up so that a limit is never shortened.
func seconds(d time.Duration) uint64 { return uint64(math.Ceil(d.Seconds())) }
