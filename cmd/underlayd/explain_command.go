package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/status"
)

func newExplain() *cobra.Command {
	var q query
	var source string
	cmd := q.bind(&cobra.Command{
		Use:   "explain ADDRESS|PREFIX",
		Short: "Say whether an address is reachable from here, and if not, why and what to do",
		Long: `Say whether an address is reachable from here: which cluster it is of, who announces it, which path is used and why
the others are not, what the kernel really does with a packet to it (as ip route get says), and what else is known to
stand in the way. If it is not reachable, the first step that fails says what to do.

It sends no packet: what happens beyond this node it does not see.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			question, err := status.ParseQuestion(args[0], source)
			if err != nil {
				return usageError{err}
			}
			return q.ask(cmd, func(ctx context.Context, w io.Writer, c *status.Client, o status.Options) error {
				e, err := c.Explain(ctx, question)
				if err != nil {
					return err
				}
				return status.WriteExplanation(w, e, o)
			})
		},
	})
	cmd.Flags().StringVar(&source, "from", "", "the `address` of a pod of this node that the packet comes from")
	return cmd
}

func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
