package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/status"
)

// completeWait is how long a shell waits for names: who presses the tab key does not wait for long.
const completeWait = time.Second

// completeNames completes the arguments or flags of a command by names that the daemon knows; without it by none.
func (q *query) completeNames(names func(*status.Snapshot) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
		defer cancel()
		s, err := status.NewClient(q.socket).Status(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(s), cobra.ShellCompDirectiveNoFileComp
	}
}

// completing adds the names of peers and clusters to the flags of a command that has such, and its formats.
func (q *query) completing(cmd *cobra.Command, formats ...string) *cobra.Command {
	complete := func(flag string, f cobra.CompletionFunc) {
		if cmd.Flags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, f) // it fails for flags that are not there, or twice
		}
	}
	complete("peer", q.completeNames(peerNames))
	complete("cluster", q.completeNames(clusterNames))
	complete("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func peerNames(s *status.Snapshot) []string {
	var names []string
	for _, p := range s.Sessions {
		names = append(names, p.Peer)
	}
	return slices.Compact(names)
}

func clusterNames(s *status.Snapshot) []string {
	var names []string
	for _, c := range s.Clusters {
		names = append(names, c.Name)
	}
	return names
}
