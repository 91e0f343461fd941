package main

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/bfd"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/bgp/neighbor"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// The agent's rhythms. None of them delays a route: events do that work, these only look after what no event
// announces.
const (
	tick          = 250 * time.Millisecond // convergence, retries, the snapshot after a burst
	retryInterval = 5 * time.Second        // what the speaker refused, prefixes that fell back to a worse path
	retryLimit    = 1000                   // how many of those at a time
	refusedPoll   = 5 * time.Second        // what peers send that the import policy keeps out
	refusedLimit  = 1000                   // how many of those are remembered

	// In a burst what belongs together is gathered; a change that comes alone waits for nothing.
	burst  = 32
	gather = 5 * time.Millisecond
	// hearLimit is how many changes are taken in at a time: lost sessions are looked after in between.
	hearLimit = 8192
	// publishRest is the least pause between two snapshots, in times of what one takes.
	publishRest = 20
)

// agent is the one place where decisions are taken. Everything it holds belongs to the goroutine of Run.
type agent struct {
	log       *logrus.Logger
	file      *config.Config // with the peers of all sources
	config    *config.Config // the same in force, with the addresses of unnumbered peers
	finder    *neighbor.Finder
	missing   map[string]string // why there is none, by peer
	links     map[string]string // of unnumbered peers, by peer
	started   time.Time
	updates   <-chan config.Update
	watcher   *config.Watcher
	seen      map[string]string // annotations of the Node that people set for us; nil: not known in this run
	secrets   *k8s.Secrets      // nil outside Kubernetes
	board     *status.Board
	basis     atomic.Pointer[basis] // of what is on the board
	chronicle *chronicle
	reporter  *reporter
	kernel    *fib.Table
	host      *hostChecks
	speaker   *bgp.Speaker
	bfd       *bfd.Monitor
	node      *k8s.Node // nil outside Kubernetes
	peering   *peering
	routerID  netip.Addr
	// routerIDFrom is what says so.
	routerIDFrom string
	holder       string // who listened on our port before we did

	exemption *exemption // of our pods' addresses from NAT
	probing   *probing

	keeper      *keeper
	memo        memo                // what the next run is to know
	memoProblem error               // why it will not
	lastPeers   map[string]memoPeer // that had a session in the last run; nil if there was none to tell
	peersFile   *peersFile
	members     *nodePeers // nil unless Nodes are peers
	passwords   *passwords
	keys        map[string]password // as last handed to the speaker, by file

	facts    fib.Facts
	plan     *ipam.Plan
	view     *view // of the plan
	ledger   *ipam.Ledger
	book     *book                    // the one record of each prefix
	verdicts map[string]*ipam.Verdict // accepted, as last given, by cluster
	owners   map[string]*ipam.Verdict // that only name a cluster, by cluster

	losses        map[netip.Addr]bgp.Loss  // sessions whose routes have not all been told again
	away          *away                    // the same, for the views
	sharedChanged bool                     // what the views have in common, since the last snapshot
	gone          map[string]gone          // by cluster
	refusedPaths  []byte                   // scratch of judge
	shunning      bool                     // likewise: other paths than the best ones are judged
	astray        map[netip.Addr]fib.Fault // next hops that the kernel has no way to
	followed      []netip.Addr             // those of them that no route names
	failing       []netip.Prefix           // whose routes the kernel has just refused
	through       *gateways                // the same one in every view
	hold          time.Duration            // for which a better path is not used
	hesitating    map[netip.Prefix]hesitation
	unseen        uint64 // changes that did not show in the best paths when those were looked at last
	memory        memory

	advertised  []netip.Prefix
	own         []netip.Prefix // pod CIDRs of this node, advertised or not
	border      border
	refusals    []ipam.Refusal // own pod CIDRs that may not be advertised
	podsKnown   bool
	podsProblem string // what the Node has beside pod CIDRs
	peersSet    bool
	drain       drain
	crashed     bool // the last run ended by a fault of its own
	probation   probation
	peers       []bgp.Peer // as last handed to the speaker
	adopted     int
	held        map[netip.Prefix]struct{} // decisions deferred after a restart; nil when none is any more
	everUp      bool                      // a session was established since the start
	converged   bool
	problem     string // why the last reload was refused
	retry       bool   // the speaker did not take all we asked of it
	lastRetry   time.Time
	sessions    map[string]bool // established, as last logged
	refused     refusedPoller
	counted     *counted
	condition   status.Condition // as last published
	kernelSeen  fib.Stats        // likewise
	published   time.Time
	publishTook time.Duration
	stale       bool // something changed since the last snapshot

	advertisedFrom []status.Origin // where each of advertised was read
}

// prepare fills in what needs the kernel but not the speaker.
func (a *agent) prepare() error {
	facts, err := a.kernel.Facts()
	if err != nil {
		return err
	}
	a.facts = facts
	a.configure(a.peering.assemble(a.ownAddress))
	a.noteSources()
	a.routerID, a.routerIDFrom = chooseRouterID(a.config, facts, a.kernel.LocalAddresses)
	a.log.WithFields(logrus.Fields{"routerID": a.routerID, "source": a.routerIDFrom}).Info("router id chosen")
	a.ledger, a.book, a.sessions = ipam.NewLedger(), newBook(), map[string]bool{}
	a.verdicts, a.owners = map[string]*ipam.Verdict{}, map[string]*ipam.Verdict{}
	a.losses, a.away, a.gone = map[netip.Addr]bgp.Loss{}, &away{}, map[string]gone{}
	a.hesitating = map[netip.Prefix]hesitation{}
	a.through = &gateways{}
	a.refused, a.counted = newRefusedPoller(), newCounted()
	a.chronicle = newChronicle(a.board.History())
	a.chronicle.note(status.Note{Kind: status.DaemonStarted, Detail: buildVersion()})
	a.takePlan(facts)
	a.kernel.SetResolve(resolution(a.config))
	if a.adopted > 0 {
		a.held = map[netip.Prefix]struct{}{}
		a.log.WithField("routes", a.adopted).Info("routes of an earlier run are in the kernel; they stay until the peers have spoken")
	}
	return nil
}

// Run decides until ctx is cancelled. The order of the first steps matters: own prefixes are known to the
// speaker before the first session, or peers would take its End-of-RIB for the end of our routes.
func (a *agent) Run(ctx context.Context) error {
	var node <-chan struct{}
	if a.node != nil {
		node = a.node.Changed()
	}
	a.observe(a.kernel.Drain()) // what was adopted
	a.beginProbation(time.Now())
	a.stayDrained(ctx)
	a.exempt(ctx)
	a.advertise(ctx)
	a.setPeers(ctx)
	a.publish()
	defer a.conclude()
	timer, resume := time.NewTicker(tick), time.NewTimer(0)
	defer timer.Stop()
	defer resume.Stop()
	learned := a.speaker.Changed()
	for {
		a.board.Turn(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-learned:
			a.stale = true // a session's state may be all that is new
			if a.hear(ctx, hearLimit) >= burst {
				learned = nil
				resume.Reset(gather)
			}
		case <-resume.C:
			learned = a.speaker.Changed()
		case <-a.bfd.Changed():
			a.followReach(ctx)
		case <-a.kernel.Changed():
			a.observe(a.kernel.Drain())
			a.reconsider(ctx)
		case <-a.kernel.NextHopsChanged():
			a.followHops(ctx)
		case <-a.passwords.changed:
			a.stale = true
			a.setPeers(ctx)
		case <-a.peering.changed:
			a.followSources(ctx)
		case <-a.kernel.FactsChanged():
			a.finder.Look()
			a.relocate(ctx)
		case <-a.finder.Changed():
			a.followNeighbors(ctx)
		case <-node:
			a.followNode(ctx)
		case update := <-a.updates:
			a.reload(ctx, update)
		case found := <-a.refused.found:
			a.noteRefused(found)
		case <-timer.C:
			a.tick(ctx)
		}
		if a.stale && time.Since(a.published) >= max(tick, publishRest*a.publishTook) {
			a.publish()
		}
	}
}

// tick does what no event asks for.
func (a *agent) tick(ctx context.Context) {
	a.hear(ctx, hearLimit) // what was held back may be released by time alone
	sessions := a.speaker.Sessions()
	a.logSessions(sessions)
	a.rememberSessions(sessions)
	a.writeHistory(sessions)
	a.followLosses(ctx, sessions)
	a.followDrain(ctx, time.Now())
	a.followProbation(ctx, time.Now())
	a.releaseKept(ctx)
	a.followHold(ctx, time.Now())
	a.followBorder(ctx, sessions, time.Now())
	a.converge(ctx)
	a.exempt(ctx)
	if !a.peersSet {
		a.setPeers(ctx)
	}
	if time.Since(a.lastRetry) >= retryInterval {
		a.lastRetry = time.Now()
		a.tryAgain(ctx)
	}
	a.followProbe(time.Now())
	a.refused.poll(ctx, a.speaker, a.view)
	a.memory.settle()
	// Time alone changes the condition, and repairs leave no trace but their count.
	if a.judgeCondition(a.speaker.Sessions()) != a.condition || a.kernel.Stats() != a.kernelSeen || a.exemption.news() {
		a.stale = true
	}
}

// tryAgain does once more what failed, and looks for something better where there was none.
func (a *agent) tryAgain(ctx context.Context) {
	if a.memoProblem != nil {
		a.remember()
	}
	if a.retry {
		a.retry = false
		a.advertise(ctx)
		a.handPeers(ctx)
	}
	a.judgeAgain(ctx, a.book.fallbacks(retryLimit))
	a.keepFollowing()
}
