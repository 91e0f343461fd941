package probe

import (
	"net/netip"
	"time"
)

// Target is a node of another cluster, by its address in a pod CIDR that was accepted.
type Target struct {
	Cluster string
	Address netip.Addr
	// Ask is the node's own address, where it is known beforehand: that of a BGP peer. Others are learned of authentic messages.
	Ask netip.Addr
}

// Node is what is known of one target.
type Node struct {
	Target
	Name        string     // as it calls itself; empty: never answered
	NodeAddress netip.Addr // invalid: not known
	State       State
	Sent, Lost  int           // of the last few
	Min, Avg    time.Duration // of the round trips of those that were answered; 0: none was
	P99         time.Duration
	Last        time.Time  // that it answered
	Source      netip.Addr // what we sent from; invalid: never answered
	Seen        netip.Addr // what it saw
	Arrival     Arrival
	Back        Back
	MTU         int // the longest packet that arrives; 0: not known
	LinkMTU     int // what our link carries
	Problem     string
}

// Buckets are the upper bounds of the histogram of round trip times, in seconds.
func Buckets() []float64 {
	return []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
}

// Sum is what is known of the nodes of a cluster in one family. Counts never fall while the cluster has targets.
type Sum struct {
	Cluster string
	IPv6    bool
	State   State
	Targets int // that there are
	Failing int // of those that are probed now
	Judged  int // of which enough is known
	Nodes   []Node

	Sent, Lost uint64
	RTT        [13]uint64 // by Buckets, and one for what is above; not cumulative
	RTTSum     time.Duration
}

// Heard is a cluster that asked us.
type Heard struct {
	Cluster   string // as it calls itself
	ClusterID uint32
	Node      string     // the one that asked last
	From      netip.Addr // what it says it sent from
	Seen      netip.Addr // what we saw
	Back      Back       // whether we have a way back
	Last      time.Time
}

// Results is all that is known. It is not changed by anyone.
type Results struct {
	Sums     []Sum   // by cluster and family
	Heard    []Heard // by id
	Problems []string
}

// Refused counts what was not heeded, by why.
type Refused struct {
	Unauthentic uint64 // not a message of this version under our key
	Limited     uint64 // authentic or not looked at, and beyond the limits
}

// summary rolls the nodes up.
func (s *Sum) summary() {
	worst := map[State]int{}
	for _, n := range s.Nodes {
		if n.State != "" {
			worst[n.State]++
			s.Judged++
		}
	}
	s.Failing = worst[Silent] + worst[OneWay]
	switch {
	case s.Judged == 0:
	case s.Failing == s.Judged && worst[OneWay] > 0:
		s.State = OneWay
	case s.Failing == s.Judged:
		s.State = Silent
	case s.Failing > 0:
		s.State = Loss
	case worst[NAT] > 0:
		s.State = NAT
	case worst[MTU] > 0:
		s.State = MTU
	case worst[Loss] > 0:
		s.State = Loss
	default:
		s.State = OK
	}
}
