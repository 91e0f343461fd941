package ipam

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// mesh is a plan with n remote clusters of both families, the shape of a large installation.
func mesh(n int) *Plan {
	c := eastConfig()
	c.Contracts = nil
	for i := range n {
		c.Contracts = append(c.Contracts, Contract{
			Cluster: fmt.Sprintf("c%d", i), ID: uint32(i + 2),
			Prefixes: prefixes(fmt.Sprintf("%d.%d.0.0/16", 20+i/256, i%256), fmt.Sprintf("fd00:1:%x::/48", i)),
			IPv4:     Lengths{16, 28}, IPv6: Lengths{48, 80}, MaxPrefixes: 1000,
		})
	}
	return New(c, eastFacts())
}

func acceptedClaims() map[string]Claim {
	return map[string]Claim{
		"IPv4": from("20.200.1.0/24", ids(202)),
		"IPv6": from("fd00:1:c8:1::/64", ids(202)),
	}
}

func TestAcceptingAllocatesNothing(t *testing.T) {
	p := mesh(500)
	for name, c := range acceptedClaims() {
		t.Run(name, func(t *testing.T) {
			require.True(t, p.Judge(c).Accepted, p.Judge(c).Detail)
			require.Zero(t, testing.AllocsPerRun(1000, func() { p.Judge(c) }))
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	p := mesh(500)
	for name, c := range acceptedClaims() {
		b.Run("accept"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Judge(c)
			}
		})
	}
	for name, c := range map[string]Claim{"own": from("10.10.7.0/24"), "none": from("9.9.9.0/24"), "wide": from("10.0.0.0/8")} {
		b.Run("refuse-"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Judge(c)
			}
		})
	}
}

func BenchmarkLedgerAdmit(b *testing.B) {
	l := ledger(1000)
	x := nth(1)
	b.ReportAllocs()
	for b.Loop() {
		l.Admit(x, "west")
	}
}
