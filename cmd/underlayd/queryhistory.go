package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/status"
)

func newHistory() *cobra.Command {
	var q query
	var since string
	var filter status.HistoryFilter
	cmd := q.bind(&cobra.Command{
		Use:   "history [PREFIX|ADDRESS]",
		Short: "Show what changed and why: sessions, prefixes, routes in the kernel, clusters, the configuration",
		Long: `Show what changed since the daemon's start and why, the oldest first. Many changes with one cause are one entry with a
count. A prefix or an address as argument shows each time that something happened to a prefix that covers it or lies inside
it. The history is bounded, and a restart begins a new one.`,
		Args: oneArgAtMost,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if len(args) == 1 {
				if filter.Prefix, err = status.ParseTarget(args[0]); err != nil {
					return usageError{err}
				}
			}
			if since != "" {
				if filter.Since, err = status.ParseSince(since, time.Now()); err != nil {
					return usageError{err}
				}
			}
			if err := filter.Validate(); err != nil {
				return usageError{err}
			}
			return q.ask(cmd, func(ctx context.Context, w io.Writer, c *status.Client, o status.Options) error {
				l, err := c.History(ctx, filter)
				if err != nil {
					return err
				}
				return status.WriteHistory(w, l, o)
			})
		},
	})
	cmd.Flags().StringVar(&since, "since", "", "only what happened since then: a `time` of RFC 3339, or how long ago, as 10m")
	cmd.Flags().StringVar(&filter.Peer, "peer", "", "only about this `peer`")
	cmd.Flags().StringVar(&filter.Cluster, "cluster", "", "only about this `cluster`")
	cmd.Flags().IntVar(&filter.Limit, "limit", 0, "at most the last `n` entries, 4096 at most (default 200)")
	return q.completing(cmd, tableFormats()...)
}

func newWatch() *cobra.Command {
	var q query
	cmd := q.bind(&cobra.Command{
		Use:   "watch",
		Short: "Show what changes while it does, a line each, until it is stopped",
		Long: `Show what changes while it does, a line each, until it is stopped: first how things are, then entries of the history,
again when they have grown, and how things are when that changes. With -o json each line is one JSON document.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.output != string(status.Table) && q.output != string(status.JSON) {
				return usageError{fmt.Errorf("output format %q: must be table or json", q.output)}
			}
			return q.ask(cmd, func(ctx context.Context, w io.Writer, c *status.Client, o status.Options) error {
				for e, err := range c.Watch(ctx) {
					if ctx.Err() != nil {
						return nil
					}
					if err != nil {
						return err
					}
					if err := status.WriteEvent(w, e, o); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
	cmd.Flags().Lookup("output").Usage = "output `format`: table or json"
	return q.completing(cmd, string(status.Table), string(status.JSON))
}
