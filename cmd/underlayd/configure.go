package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/config"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show and explain the configuration",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var keys bool
	reference := &cobra.Command{
		Use:   "reference",
		Short: "Print the reference configuration: every key, commented, at its default",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keys {
				return config.WriteKeys(cmd.OutOrStdout())
			}
			_, err := cmd.OutOrStdout().Write(config.Reference())
			return err
		},
	}
	reference.Flags().BoolVar(&keys, "keys", false, "print the table of keys, flags and variables instead")
	cmd.AddCommand(reference, &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	})
	cmd.AddCommand(
		loading(&cobra.Command{
			Use:   "validate [FILE]",
			Short: "Report everything that is wrong with a configuration file and its file of peers; - reads standard input",
		}, func(cmd *cobra.Command, c *config.Config, name string) error {
			if file := c.BGP.PeersFile; file != "" {
				if _, err := config.LoadPeers(file, c, nil); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), name+": valid")
			return err
		}),
		loading(&cobra.Command{
			Use:   "print [FILE]",
			Short: "Print the configuration in effect, defaults, variables and flags included",
		}, func(cmd *cobra.Command, c *config.Config, _ string) error { return c.Print(cmd.OutOrStdout()) }),
	)
	return cmd
}

// loading completes a command that reads a configuration as run would.
func loading(cmd *cobra.Command, use func(*cobra.Command, *config.Config, string) error) *cobra.Command {
	cmd.Args = oneArgAtMost
	config.BindFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := defaultConfig
		if len(args) == 1 {
			name = args[0]
		}
		overrides := config.FromProcess(cmd.Flags())
		var c *config.Config
		var err error
		if name == "-" {
			name = "standard input"
			c, err = config.Parse(os.Stdin, name, overrides)
		} else {
			c, err = config.Load(name, overrides)
		}
		if err != nil {
			return err
		}
		return use(cmd, c, name)
	}
	return cmd
}
