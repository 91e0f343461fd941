package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

func floodRows() []row {
	return []row{
		{
			name: "a next hop that is not on any link", required: "listed as failed, nobody else's routes touched",
			rewrites: true, says: []string{"kernel: "},
			inject: unreachableHop,
		},
		{
			name: "5,000 prefixes of a cluster that may have 1,000", required: "those that were there stay; what is too much is refused and named",
			rewrites: true, says: []string{"refused, TooManyPrefixes"},
			inject: tooMany,
		},
		{
			name: "5,000 prefixes in no contract", required: "none in the kernel; they are named",
			rewrites: true, says: []string{"refused, NoContract"},
			inject: noise,
		},
		{
			name: "100,000 withdrawals of prefixes nobody knows", required: "nothing happens; memory grows by less than 32 MiB",
			inject: withdrawals,
		},
		{
			name: "a prefix that comes and goes 1,000 times a second", required: "no session lost; nobody else's routes touched",
			rewrites: true,
			inject:   flapping,
		},
		{
			name: "the prefix of another peer, from another origin", fast: true, required: "who was first keeps it; the other is refused as Overlap",
			says:   []string{"Overlap"},
			inject: doubled,
		},
	}
}

// many returns so many prefixes of one length, one after the other.
func many(first string, n int) []netip.Prefix {
	p := netip.MustParsePrefix(first)
	raw, step := p.Addr().As4(), uint32(1)<<(32-p.Bits())
	at := uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])
	out := make([]netip.Prefix, n)
	for i := range out {
		a := at + uint32(i)*step
		out[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), p.Bits())
	}
	return out
}

func unreachableHop(ctx context.Context, s *scene) error {
	prefix := netip.MustParsePrefix("10.20.76.0/24")
	away := func(p *wire.Path) { p.NextHop = netip.MustParseAddr("172.31.9.9") }
	if err := s.raw.write(announce(nil, away, prefix)); err != nil {
		return err
	}
	err := s.says(ctx, 5*time.Second, `kernel: .*10\.20\.76\.0/24`)
	return errors.Join(err, s.raw.write(withdraw(prefix)))
}

func tooMany(ctx context.Context, s *scene) error {
	flood := many("10.20.128.0/28", 2048) // all that fit besides the peers' own
	flood = append(flood, many("10.20.64.0/28", 1024)...)
	if err := s.raw.write(announce(nil, nil, flood...)); err != nil {
		return err
	}
	err := s.says(ctx, 10*time.Second, "refused, TooManyPrefixes")
	if err == nil {
		err = s.keeps(ctx)
	}
	return errors.Join(err, s.raw.write(withdraw(flood...)))
}

// keeps makes sure that the routes of good times are all there, whatever else is.
func (s *scene) keeps(context.Context) error {
	ours, _, err := kernelRoutes(s.east)
	if err != nil {
		return err
	}
	for _, r := range wanted() {
		if !slices.Contains(ours, r) {
			return fmt.Errorf("the route %s is gone", r)
		}
	}
	s.note("%d routes in the kernel", len(ours))
	return nil
}

func noise(ctx context.Context, s *scene) error {
	flood := many("100.64.0.0/28", 5000)
	if err := s.raw.write(announce(nil, nil, flood...)); err != nil {
		return err
	}
	err := s.says(ctx, 20*time.Second, "refused, NoContract")
	if err == nil {
		err = s.routesAre(wanted())
	}
	return errors.Join(err, s.raw.write(withdraw(flood...)))
}

func withdrawals(ctx context.Context, s *scene) error {
	before, err := s.memory()
	if err != nil {
		return err
	}
	if err := s.raw.write(withdraw(many("100.64.0.0/32", 100_000)...)); err != nil {
		return err
	}
	if err := s.raw.write(announce(nil, nil, netip.MustParsePrefix("100.127.0.0/24"))); err != nil {
		return err
	}
	// What comes after has been heard when all before it was.
	if err := s.refused(ctx, "NoContract", netip.MustParsePrefix("100.127.0.0/24")); err != nil {
		return err
	}
	after, err := s.memory()
	s.note("%d MiB more", (after-before)>>20)
	if err == nil && after-before > 32<<20 {
		err = fmt.Errorf("memory grew from %d to %d MiB", before>>20, after>>20)
	}
	return errors.Join(err, s.raw.write(withdraw(netip.MustParsePrefix("100.127.0.0/24"))))
}

func flapping(ctx context.Context, s *scene) error {
	prefix := netip.MustParsePrefix("10.20.77.0/24")
	there, gone := announce(nil, nil, prefix), withdraw(prefix)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	const changes = 4000
	for i := range changes {
		<-tick.C
		if err := s.raw.write([][]byte{there, gone}[i%2]); err != nil {
			return err
		}
	}
	s.note("%d changes", changes)
	return pause(ctx, 500*time.Millisecond)
}

// doubled has the raw peer announce what is frr's, with no better right to it.
func doubled(ctx context.Context, s *scene) error {
	theirs := netip.MustParsePrefix("10.20.1.0/24")
	plain := func(p *wire.Path) { p.Community = [3]uint32{rawASN, 9, 9} } // it names no cluster
	if err := s.raw.write(announce(nil, plain, theirs)); err != nil {
		return err
	}
	err := s.says(ctx, 10*time.Second, "Overlap")
	if err == nil {
		err = s.routesAre(wanted())
	}
	return errors.Join(err, s.raw.write(withdraw(theirs)))
}
