package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

// Advertised implements status.Advertiser. The speaker works out what one peer is told when its turn comes.
func (s source) Advertised(ctx context.Context, peer string) ([]status.AdvertisedPeer, iter.Seq2[*status.Advertisement, error]) {
	sessions := slices.DeleteFunc(s.speaker.Sessions(), func(p bgp.Session) bool { return peer != "" && p.Peer != peer })
	peers := make([]status.AdvertisedPeer, 0, len(sessions))
	for _, p := range sessions {
		about := status.AdvertisedPeer{Peer: p.Peer, Address: p.Address, State: p.State}
		if unfound(p.Address) {
			about.Address = netip.Addr{}
		}
		peers = append(peers, about)
	}
	return peers, func(yield func(*status.Advertisement, error) bool) {
		for _, p := range sessions {
			if !p.Established {
				continue
			}
			told, err := s.speaker.Advertised(ctx, p.Address)
			if err != nil {
				yield(nil, fmt.Errorf("what %s is told: %w", p.Peer, err))
				return
			}
			for x := range told {
				if !yield(advertisement(p, x), nil) {
					return
				}
			}
		}
	}
}

func advertisement(to bgp.Session, x bgp.Advertisement) *status.Advertisement {
	return &status.Advertisement{
		Peer: to.Peer, Address: to.Address, Prefix: x.Prefix, ID: x.ID, NextHop: x.NextHop, ASPath: x.ASPath, LocalPref: x.LocalPref, MED: x.MED,
		Communities: x.Communities, LargeCommunities: x.LargeCommunities, ClusterList: x.ClusterList,
	}
}

// routeFlags are the flags of routes that say which routes, beside those of the filter.
type routeFlags struct {
	after      string
	advertised bool
	states     map[string]*bool // short forms of --state
}

func (f *routeFlags) bind(cmd *cobra.Command, filter *status.Filter) {
	flags := cmd.Flags()
	flags.StringVar(&filter.State, "state", "", "only in this `state`: learned, accepted, refused, installed, pending, failed, conflict, adopted or stale")
	flags.StringVar(&filter.Verdict, "verdict", "", "only with this `verdict`, such as NoContract")
	flags.StringVar(&filter.Cluster, "cluster", "", "only of this `cluster`")
	flags.StringVar(&filter.Peer, "peer", "", "only announced by this `peer`; with --advertised, to it")
	flags.IntVar(&filter.Limit, "limit", 0, "at most `n` routes (default all)")
	flags.StringVar(&f.after, "after", "", "only those that come after this `prefix`: the last one of the page before")
	flags.StringVar(&filter.Family, "family", "", "only of this `family`: ipv4 or ipv6")
	flags.BoolVar(&f.advertised, "advertised", false, "what this node tells its peers, instead of what it learned")
	f.states = map[string]*bool{}
	for _, state := range []string{status.StateLearned, status.StateInstalled, status.StateRefused, status.StateStale} {
		f.states[state] = flags.Bool(state, false, "the same as --state "+state)
	}
}

// complete puts into the filter what flags and argument say.
func (f *routeFlags) complete(filter *status.Filter, args []string) error {
	for state, given := range f.states {
		if !*given {
			continue
		}
		if filter.State != "" && filter.State != state {
			return fmt.Errorf("--%s and %s: give one of the two", state, filter.State)
		}
		filter.State = state
	}
	var err error
	if len(args) == 1 {
		if filter.Prefix, err = status.ParseTarget(args[0]); err != nil {
			return err
		}
	}
	if f.after != "" {
		if filter.After, err = status.ParseTarget(f.after); err != nil {
			return err
		}
	}
	if f.advertised {
		return filter.ValidateAdvertised()
	}
	return filter.Validate()
}

// showRoutes and showAdvertised ask and write the answer.
func showRoutes(ctx context.Context, out io.Writer, c *status.Client, filter status.Filter) func(status.Options) error {
	return func(o status.Options) error {
		stream, err := c.Routes(ctx, filter)
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		return status.WriteRoutes(out, stream.RouteHead, stream.All(), o)
	}
}

func showAdvertised(ctx context.Context, out io.Writer, c *status.Client, filter status.Filter) func(status.Options) error {
	return func(o status.Options) error {
		stream, err := c.Advertised(ctx, filter)
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		return status.WriteAdvertised(out, stream.AdvertisedHead, stream.All(), o)
	}
}
