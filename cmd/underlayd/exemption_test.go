package main

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp/fib/nat"
	"github.com/underlayd/underlayd/config"
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
