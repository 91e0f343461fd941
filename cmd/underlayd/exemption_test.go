package main

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp/fib/nat"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

func TestWhatIsExempt(t *testing.T) {
	list := func(texts ...string) (out []netip.Prefix) {
		for _, text := range texts {
			out = append(out, netip.MustParsePrefix(text))
		}
		return out
	}
	a := &agent{
		config: &config.Config{NATExemption: true, Clusters: []config.RemoteCluster{
			{Name: "west", PodCIDRs: list("10.30.0.0/16", "fd00:30::/48")}, {Name: "south", PodCIDRs: list("10.20.0.0/16")},
		}},
		advertised: list("fd00:10:0:1::/64", "10.10.1.0/24"), exemption: &exemption{},
	}
	want := nat.Sides{Local: list("10.10.1.0/24", "fd00:10:0:1::/64"), Remote: list("10.20.0.0/16", "10.30.0.0/16", "fd00:30::/48")}
	require.Equal(t, want, a.exempted(), "whatever there are routes for")
	a.exemption.left = nat.Sides{Local: list("10.10.1.0/24", "10.10.7.0/24"), Remote: list("10.40.0.0/16")}
	require.Equal(t, nat.Sides{
		Local:  list("10.10.1.0/24", "10.10.7.0/24", "fd00:10:0:1::/64"),
		Remote: list("10.20.0.0/16", "10.30.0.0/16", "10.40.0.0/16", "fd00:30::/48"),
	}, a.exempted(), "with what an earlier run left")
	a.converged = true
	a.exempt(t.Context())
	require.Equal(t, want, a.exempted(), "until we have converged")
}

// TestWhatPassesThrough: only where this is a gateway, and never what may be of a pod of this node.
func TestWhatPassesThrough(t *testing.T) {
	list := func(texts ...string) (out []netip.Prefix) {
		for _, text := range texts {
			out = append(out, netip.MustParsePrefix(text))
		}
		return out
	}
	for _, row := range []struct {
		what    string
		change  func(*agent)
		transit []netip.Prefix
		far     []netip.Prefix
	}{
		{"of a gateway", func(*agent) {}, list("10.10.0.0/16", "10.20.0.0/16", "10.30.0.0/16"), list("10.20.0.0/16")},
		{"of a node", func(a *agent) { a.config.Node.Gateway = config.False }, nil, nil},
		{"of a gateway without peers in other networks", func(a *agent) { a.config.BGP.Peers = a.config.BGP.Peers[:1] }, nil, nil},
		{"while it is not known which pods are here", func(a *agent) { a.podsKnown, a.own = false, nil }, nil, nil},
		{"of a Node that has no pod CIDRs", func(a *agent) { a.node, a.own = &k8s.Node{}, nil }, nil, nil},
		{"of a router without pods", func(a *agent) { a.own = nil }, list("10.10.0.0/16", "10.20.0.0/16", "10.30.0.0/16"), list("10.20.0.0/16")},
		{"with what an earlier run left", func(a *agent) {
			a.exemption.left = nat.Sides{Transit: list("10.40.0.0/16"), Far: list("10.40.0.0/16")}
		}, list("10.10.0.0/16", "10.20.0.0/16", "10.30.0.0/16", "10.40.0.0/16"), list("10.20.0.0/16", "10.40.0.0/16")},
	} {
		t.Run(row.what, func(t *testing.T) {
			a := &agent{
				config: &config.Config{
					NATExemption: true, Cluster: config.Cluster{PodCIDRs: list("10.10.0.0/16"), Networks: []string{"dc1"}},
					Node: config.Node{Gateway: config.True},
					Clusters: []config.RemoteCluster{
						{Name: "west", Networks: []string{"dc2"}, PodCIDRs: list("10.20.0.0/16")}, {Name: "north", Networks: []string{"dc1"}, PodCIDRs: list("10.30.0.0/16")},
					},
					BGP: config.BGP{Peers: []config.Peer{{Name: "east-1"}, {Name: "west-gw-1", Network: "dc2"}}},
				},
				podsKnown: true, own: list("10.10.1.0/24"), exemption: &exemption{},
			}
			row.change(a)
			got := a.exempted()
			require.Equal(t, row.transit, got.Transit)
			require.Equal(t, row.far, got.Far)
			require.Equal(t, a.own, got.Own)
		})
	}
}

// TestAKernelWithoutNAT: the daemon runs, and says what is missing if somebody wants it.
func TestAKernelWithoutNAT(t *testing.T) {
	problem := status.Problem{Severity: status.Error, Subject: "NAT exemption", Message: errors.ErrUnsupported.Error(), Since: time.Now()}
	a := &agent{config: &config.Config{NATExemption: true}, exemption: &exemption{problem: problem}}
	s, problems := a.exemptionStatus()
	require.Equal(t, status.NATFailed, s.State)
	require.Equal(t, []status.Problem{problem}, problems)
	a.config = &config.Config{}
	s, problems = a.exemptionStatus()
	require.Equal(t, status.NATOff, s.State)
	require.Empty(t, problems)
	require.False(t, a.exemption.news())
	a.exempt(t.Context())
	a.exemption.close()
}
