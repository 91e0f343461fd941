package main

import (
	"context"
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
		Args: maximumArgs(1),
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
			return q.ask(cmd, func(ctx context.Context, c *status.Client, o status.Options) error {
				l, err := c.History(ctx, filter)
				if err != nil {
					return err
				}
				return status.WriteHistory(cmd.OutOrStdout(), l, o)
			})
		},
	})
	cmd.Flags().StringVar(&since, "since", "", "only what happened since then: a `time` of RFC 3339, or how long ago, as 10m")
	cmd.Flags().StringVar(&filter.Peer, "peer", "", "only about this `peer`")
	cmd.Flags().StringVar(&filter.Cluster, "cluster", "", "only about this `cluster`")
	cmd.Flags().IntVar(&filter.Limit, "limit", 0, "at most the last `n` entries, 4096 at most (default 200)")
	return cmd
}
