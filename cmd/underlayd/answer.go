package main

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// What is here runs beside the agent, on snapshots: to look at all routes takes long enough to keep one waiting.

// recordOf returns the record behind a row, nil if there is none.
func recordOf(row status.Row) *record {
	switch r := row.(type) {
	case *record:
		return r
	case beside:
		return r.record
	default:
		return nil
	}
}

func prefixesOf(b *netipx.IPSetBuilder) []netip.Prefix {
	set, err := b.IPSet()
	if err != nil { // only invalid prefixes make it fail, and none gets here
		return nil
	}
	return set.Prefixes()
}

// A table with more routes than this is walked over at most once in a pause.
const (
	manyRoutes  = 1000
	reportPause = time.Second
)

// reporter tells the Node what the board says.
type reporter struct {
	board *status.Board
	node  *k8s.Node // nil outside Kubernetes
	wake  chan struct{}
	sums  sums
}

// poke says that there is news on the board. It never blocks.
func (r *reporter) poke() { poke(r.wake) }

// Run hands each new snapshot to the Kubernetes client, which paces the writing, until ctx is cancelled.
func (r *reporter) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		if r.node == nil {
			continue
		}
		s := r.board.Snapshot(ctx)
		r.node.Publish(nodeReport(s, r.sums.withRoutable(s)))
		if s.Table.Len() > manyRoutes {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(reportPause):
			}
		}
	}
}

// nodeReport is the part of a snapshot that goes on the Node, of clusters with what can be reached of them.
func nodeReport(s *status.Snapshot, clusters []status.RemoteCluster) k8s.Report {
	c := s.Conditions[0]
	r := k8s.Report{
		Cluster: s.Cluster.Name, LocalCIDRs: s.Advertised,
		Ready: k8s.ConditionStatus(c.Status), Reason: c.Reason, Message: c.Message, Incidents: incidents(s),
		// What some peers or routes lack holds no pod back for ever; a node without any session has nothing for them.
		Synced: c.Reason != k8s.ReasonStarting && c.Reason != k8s.ReasonNoPeersEstablished && c.Reason != k8s.ReasonDraining,
	}
	for _, remote := range clusters {
		state, reason, _ := clusterState(remote)
		r.RemoteCIDRs = append(r.RemoteCIDRs, remote.Routable...)
		r.Clusters = append(r.Clusters, k8s.ClusterReport{
			Name: remote.Name, CIDRs: remote.Routable, PeersUp: remote.PeersUp, State: string(state), Reason: reason, Probe: s.Probes.Of(remote.Name),
		})
	}
	return r
}

// source answers the status socket: the snapshot of the board, with what only GoBGP, the Kubernetes client and the
// host know and no event announces.
type source struct {
	board   *status.Board
	speaker *bgp.Speaker
	node    *k8s.Node
	host    *hostChecks
	web     *status.Web
	sums    *sums
	recent  *recentDetails
	*explainer
}

// Snapshot implements status.Source.
func (s source) Snapshot(ctx context.Context) *status.Snapshot {
	out := s.counted(ctx, true)
	if out != nil {
		out.Clusters, out.Sessions = s.sums.withRoutable(out), s.sums.withFamilies(out)
	}
	return out
}

// Summary implements status.Source.
func (s source) Summary(ctx context.Context) *status.Snapshot { return s.counted(ctx, false) }

// Turned implements status.Source.
func (s source) Turned() time.Time { return s.board.Turned() }

// History implements status.Source.
func (s source) History() *status.History { return s.board.History() }

// Configuration implements status.Configured. There is no secret in a configuration: it names files and Secrets.
func (s source) Configuration() ([]byte, error) {
	b := s.basis.Load()
	if b == nil {
		return nil, nil
	}
	var text bytes.Buffer
	err := b.config.Print(&text)
	return text.Bytes(), err
}

// details are GoBGP's: of this moment for a person's question, else maybe of some seconds ago.
func (s source) details(ctx context.Context, advertised bool) (map[netip.Addr]bgp.Details, error) {
	if advertised {
		return s.speaker.Details(ctx, true)
	}
	return s.recent.of(ctx, s.speaker.Details)
}

// counted returns a copy of the last snapshot with the counters of others in it.
func (s source) counted(ctx context.Context, advertised bool) *status.Snapshot {
	last := s.board.Snapshot(ctx)
	if last == nil {
		return nil
	}
	out := *last
	out.Kubernetes = kubernetesStatus(s.node)
	out.Problems = slices.Concat(last.Problems, s.host.problems())
	if p := s.web.Problem(); p != nil {
		out.Problems = append(out.Problems, *p)
	}
	out.Kernel.Notes = s.host.notes()
	details, err := s.details(ctx, advertised)
	if err != nil {
		return &out
	}
	out.Sessions = slices.Clone(last.Sessions)
	for i := range out.Sessions {
		if d, ok := details[out.Sessions[i].Address]; ok {
			addDetails(&out.Sessions[i], d, advertised)
		}
	}
	return &out
}
