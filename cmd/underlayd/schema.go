package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/status"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema KIND",
		Short: "Print the JSON Schema of what the daemon answers",
		Long: `Print the JSON Schema (draft 2020-12) of what the daemon answers, of one kind: ` + strings.Join(status.Kinds(), ", ") + `.
An Event is one line of watch -o json. The schema of the configuration is that of 'underlayd config schema'.`,
		Args:              exactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(status.Kinds(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := status.Schema(args[0])
			if err != nil {
				return usageError{err}
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
