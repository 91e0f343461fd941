package main

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

const (
	// hostPoll finds what the kernel does not announce, such as a changed limit.
	hostPoll = 30 * time.Second
	// hostRest is between two looks: pods come and go with links, of which each is announced.
	hostRest = 2 * time.Second
)

// finding is something about the host that stands in the way of our routes, or, as a note, that could be better. The key
// says what it is about: the sentence may count something.
type finding struct {
	severity status.Severity // empty: a note
	key      string
	message  string
	since    time.Time
}

// hostChecks looks, and only looks, whether the host is set up so that our routes carry traffic.
type hostChecks struct {
	kernel *fib.Table
	drops  func() []string // chains that drop forwarded packets by default
	log    logrus.FieldLogger
	again  chan struct{}

	mu    sync.Mutex // guards what follows: the agent tells uses, the status socket asks for found
	uses  families
	pools []netip.Prefix // of which it matters whether something is routed inside
	// Whether this node is a gateway, and some nodes of its own cluster, whose packets it forwards.
	gateway   bool
	untracked bool // what it forwards
	nodes     []netip.Addr
	found     []finding
	// routed are those pools inside of which somebody else has had a route to another host.
	routed map[netip.Prefix]bool
	counts []reading // of what the kernel drops, the oldest first
}

// families are those in which the configuration has pod CIDRs, ours or others'.
type families struct{ v4, v6 bool }

func familiesOf(c *config.Config) (f families) {
	all := slices.Concat(c.Cluster.PodCIDRs, c.Node.PodCIDRs)
	for _, r := range c.Clusters {
		all = append(all, r.PodCIDRs...)
	}
	f.v4 = slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Addr().Is4() })
	f.v6 = slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Addr().Is6() })
	return f
}

func newHostChecks(kernel *fib.Table, c *config.Config, log logrus.FieldLogger) *hostChecks {
	h := &hostChecks{
		kernel: kernel, log: log.WithField("component", "host"), again: make(chan struct{}, 1), routed: map[netip.Prefix]bool{},
		drops: func() []string { return nil },
	}
	h.use(c)
	h.count(time.Now())
	return h
}

// use takes a new configuration in. Nil checks nothing.
func (h *hostChecks) use(c *config.Config) {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.uses, h.pools = familiesOf(c), announcedPrefixes(aggregates(c))
	h.gateway, h.untracked, h.nodes = forwards(c), forwards(c) && c.NATExemption, behind(c)
	h.mu.Unlock()
	poke(h.again)
}

// behindEnough nodes show which links lead to all of them.
const behindEnough = 8

// behind are nodes that a gateway forwards for.
func behind(c *config.Config) (nodes []netip.Addr) {
	if !forwards(c) {
		return nil
	}
	for _, p := range c.BGP.Peers {
		if len(nodes) < behindEnough && c.BGP.Internal(p) && !c.Border(p) && p.Address.IsValid() {
			nodes = append(nodes, p.Address)
		}
	}
	return nodes
}

// inwards are the links that lead to some nodes. Where there is no way to a node, something else says so.
func (h *hostChecks) inwards(nodes []netip.Addr) (links []string) {
	for _, node := range nodes {
		if link, _, _, err := h.kernel.LocalAddresses(node); err == nil && !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	return links
}

// Run looks at once, whenever the kernel announces a change, and now and then, until ctx is cancelled.
func (h *hostChecks) Run(ctx context.Context) error {
	poll := time.NewTicker(hostPoll)
	defer poll.Stop()
	for {
		h.look()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(hostRest):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-h.again:
		case <-h.kernel.HostChanged():
		}
	}
}

// routedInside says whether pods of other nodes were seen to be routed inside a pool.
func (h *hostChecks) routedInside(pool netip.Prefix) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.routed[pool]
}

// lookInside looks for what is routed inside the pools, until it has seen it.
func (h *hostChecks) lookInside() {
	h.mu.Lock()
	pools := slices.DeleteFunc(slices.Clone(h.pools), func(p netip.Prefix) bool { return h.routed[p] })
	h.mu.Unlock()
	for _, pool := range pools {
		routed, err := h.kernel.RoutedInside(pool)
		if err != nil {
			h.log.WithError(err).Warn("routes to pods of other nodes could not be read; looking again later")
			return
		}
		h.mu.Lock()
		h.routed[pool] = routed
		h.mu.Unlock()
	}
}

func (h *hostChecks) look() {
	h.count(time.Now())
	h.lookInside()
	h.mu.Lock()
	nodes, untracked := h.nodes, h.untracked
	h.mu.Unlock()
	var drops []string
	if untracked {
		drops = h.drops()
	}
	host, err := h.kernel.Inspect(h.inwards(nodes)...)
	if err != nil {
		h.log.WithError(err).Warn("the host's settings could not be read; looking again later")
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(append(judgeHost(host, h.uses, h.gateway), judgeForward(drops)...), time.Now())
}

// note keeps what was found and logs what is news.
func (h *hostChecks) note(found []finding, now time.Time) {
	about := func(key string) func(finding) bool { return func(f finding) bool { return f.key == key } }
	for i := range found {
		f := &found[i]
		if at := slices.IndexFunc(h.found, about(f.key)); at >= 0 && h.found[at].severity == f.severity {
			f.since = h.found[at].since
			continue
		}
		f.since = now
		log := h.log.WithFields(logrus.Fields{"subject": f.key, "reason": f.message})
		switch f.severity {
		case status.Error:
			log.Error("the host stands in the way")
		case status.Warning:
			log.Warn("the host may stand in the way")
		default:
			log.Info("the host could do better")
		}
	}
	for _, f := range h.found {
		if !slices.ContainsFunc(found, about(f.key)) {
			h.log.WithField("subject", f.key).Info("settled")
		}
	}
	h.found = found
}

// problems are the findings that somebody has to act on.
func (h *hostChecks) problems() (all []status.Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.found {
		if f.severity != "" {
			all = append(all, status.Problem{Severity: f.severity, Subject: "host, " + f.key, Message: f.message, Since: f.since})
		}
	}
	return all
}

// notes are those that nobody has to act on.
func (h *hostChecks) notes() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.found {
		if f.severity == "" {
			all = append(all, f.message)
		}
	}
	return all
}
