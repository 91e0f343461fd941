package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases; otherwise it comes from the build information.
var version string

func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = "-" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+changes"
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "devel" + revision + modified
}

func newRoot() *cobra.Command {
	root := bare(&cobra.Command{
		Use:   "underlayd",
		Short: "BGP underlay route exchange for multi-cluster Kubernetes",
		Long: `underlayd runs on every node, exchanges pod CIDRs with the other clusters over BGP and installs
the routes in the kernel: pods reach each other directly, with their own addresses.

Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong,
3 what was waited for (--wait) did not come about in time.`,
	})
	root.AddCommand(newRun(), newStatus(), newHealth(), newPeers(), newRoutes(), newExplain(), newCheck(), newHistory(), newWatch(), newConfig(), newLint(), newTopology(), newDrain(), newCleanup(), newBundle(), newSchema(), newVersion())
	return root
}

// bare is what all our programs have in common: main writes errors, and ends with their codes.
func bare(root *cobra.Command) *cobra.Command {
	root.Version, root.SilenceUsage, root.SilenceErrors = buildVersion(), true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "underlayd", buildVersion())
			return err
		},
	}
}

// noArgs is cobra.NoArgs with our exit code.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}
