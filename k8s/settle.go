package k8s

import (
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
)

// Origin is where pod CIDRs were read.
type Origin struct {
	Prefix netip.Prefix
	Source Source
}

// Origins returns where each of PodCIDRs was read, in the same order.
func (n *Node) Origins() []Origin {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]Origin, len(n.belief.cidrs))
	for i, prefix := range n.belief.cidrs {
		out[i] = Origin{prefix, n.belief.from[prefix]}
	}
	return out
}

// SetSource makes another source that of the pod CIDRs. What the new one names is advertised at
// once; what it does not name is given up like anything that vanishes. One that is unknown
// is refused; the same one again changes nothing.
func (n *Node) SetSource(s Source) error {
	if !s.Valid() {
		return fmt.Errorf("kubernetes: no such source of pod CIDRs: %q", s)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s == n.source {
		return nil
	}
	n.source = s
	for _, k := range n.kinds {
		if !k.wanted(s) { // what it shows is not followed any more
			delete(n.facts, k.source)
		}
		n.problem(k.trouble, nil) // the next look tells whether it is one for this source
		poke(k.wake)
	}
	n.settle(0)
	return nil
}

// takeEvidence takes what a kind shows of this Node, as its watch sees it.
func (n *Node) takeEvidence(k *kindWatch, e evidence) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !k.wanted(n.source) {
		return
	}
	n.seen++
	n.facts[k.source] = e
	n.problem(k.trouble, nil)
	n.settle(0)
}

// follows says whether a kind is to be followed.
func (n *Node) follows(k *kindWatch) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return k.wanted(n.source)
}

// settle holds what all sources show against what is believed; confirmed is as belief.read has it.
// The caller holds mu.
func (n *Node) settle(confirmed time.Duration) {
	next, err := settled(n.source, n.chosen, n.facts, confirmed > 0)
	before, doubts := n.belief, len(n.belief.doubts)
	if err != nil {
		if !n.belief.known() {
			n.belief.err = fmt.Errorf("%w: %w", err, ErrNotSynced)
		}
		if confirmed > 0 {
			n.belief.postpone(time.Now())
		}
		n.tellChange(&before)
		return
	}
	log := n.log.WithField("node", n.name)
	if next.source != n.chosen {
		log.WithFields(logrus.Fields{"source": next.source, "place": next.source.place()}).Info("pod CIDRs have a source")
	}
	n.chosen, n.stats.Source = next.source, next.source
	n.belief.read(next.reading, time.Now(), confirmed)
	n.stats.Synced = n.belief.known()
	n.tellChange(&before)
	switch doubt := n.belief.doubt(); {
	case doubt != nil:
		if len(n.belief.doubts) != doubts {
			log.WithField("reason", doubt).Warn("pod CIDRs of the Node are in doubt; what was known stays")
		}
		poke(n.doubtful)
	case doubts > 0:
		log.WithField("podCIDRs", n.belief.cidrs).Info("pod CIDRs of the Node are certain again")
	}
}

// tellChange tells the owner if it has to look again. The caller holds mu.
func (n *Node) tellChange(before *belief) {
	says := ""
	if n.chosen != "" {
		says = disagreement(n.source, n.chosen, n.facts, n.belief.cidrs)
	}
	if says != n.stats.Disagreement && says != "" {
		n.log.WithFields(logrus.Fields{"node": n.name, "reason": says}).Warn("sources of pod CIDRs disagree")
	}
	n.stats.Disagreement = says
	if !maps.Equal(before.from, n.belief.from) || errorText(before.err) != errorText(n.belief.err) {
		poke(n.changed)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
