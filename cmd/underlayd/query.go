package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// query is what the commands that ask the daemon have in common.
type query struct {
	socket string
	output string
}

func (q *query) bind(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&q.socket, "socket", status.SocketPath("/run/underlayd"), "unix `socket` of the daemon")
	cmd.Flags().StringVarP(&q.output, "output", "o", string(status.Table), "output `format`: table, wide, json or yaml")
	return cmd
}

// question asks one daemon and writes its answer.
type question func(context.Context, io.Writer, *status.Client, status.Options) error

// ask asks the daemon of this node, or as a plugin of kubectl those of the cluster.
func (q *query) ask(cmd *cobra.Command, f question) error {
	ask := func(o status.Options) error {
		if p := pluginOf(cmd); p != nil {
			return p.ask(cmd, f, o)
		}
		return f(cmd.Context(), cmd.OutOrStdout(), status.NewClient(q.socket), o)
	}
	if q.output == "yaml" {
		return asYAML(cmd, func() error { return ask(status.Options{Format: status.JSON, Now: time.Now()}) })
	}
	format, err := status.ParseFormat(q.output)
	if err != nil {
		return usageError{err}
	}
	return ask(status.Options{Format: format, Now: time.Now(), Colour: colourful(cmd.OutOrStdout())})
}

// colourful says whether what is written is seen on a terminal by somebody who did not say otherwise (no-color.org).
func colourful(out io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && onTerminal(out)
}

func onTerminal(out io.Writer) bool {
	f, is := out.(*os.File)
	if !is {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// asYAML has a command that writes JSON write YAML, in one piece when it is complete.
func asYAML(cmd *cobra.Command, run func() error) error {
	var document bytes.Buffer
	out := cmd.OutOrStdout()
	cmd.SetOut(&document)
	defer cmd.SetOut(out)
	if err := run(); err != nil {
		return err
	}
	return config.JSONToYAML(out, &document)
}

func newStatus() *cobra.Command {
	var q query
	var wait bool
	var targets []string
	var timeout time.Duration
	cmd := q.bind(&cobra.Command{
		Use:   "status",
		Short: "Show how the daemon is doing: sessions, clusters and what is wrong",
		Long: `Show how the daemon is doing: in one sentence, then what is wrong, then the tables.

With --wait it shows that once a state is reached, --for ready unless another is given; several must be reached at once:
  --for ready                     the first exchange with the peers is over
  --for phase=Ready               and nothing stands in the way
  --for cluster/west=Reachable    or Partial, or Unreachable
  --for peer/tor-a=established    or another state of RFC 4271, section 8.2.2
A daemon that is not running yet is waited for too. The exit code is 3 if the state is not reached in time.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait && len(targets) == 0 {
				targets = []string{"ready"}
			}
			goals := map[string]goal{}
			for _, target := range targets {
				g, err := parseGoal(target)
				if err != nil {
					return usageError{err}
				}
				goals[target] = g
			}
			if p := pluginOf(cmd); p != nil && len(goals) == 0 && q.output == string(status.Table) {
				return p.summarize(cmd, status.Options{Format: status.Table, Colour: colourful(cmd.OutOrStdout())})
			}
			return q.ask(cmd, func(ctx context.Context, w io.Writer, c *status.Client, o status.Options) error {
				s, err := statusOnce(ctx, c, timeout, goals)
				if err != nil {
					return err
				}
				return status.WriteStatus(w, s, o)
			})
		},
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the daemon is ready, or for what --for says")
	cmd.Flags().StringSliceVar(&targets, "for", nil, "wait for this `state`; may be given several times")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return q.completing(cmd, tableFormats()...)
}

func statusOnce(ctx context.Context, c *status.Client, timeout time.Duration, goals map[string]goal) (*status.Snapshot, error) {
	if len(goals) == 0 {
		return c.Status(ctx)
	}
	return awaitGoals(ctx, c, timeout, goals)
}

func newHealth() *cobra.Command {
	var socket string
	var ready bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say whether the daemon works, for probes: exit code 0 or 1",
		Long: `Say whether the daemon works: whether its loop turns. No peer and no API has a say in that. With --ready, whether
the first exchange with the peers is over as well; what happens later does not take that back.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := status.NewClient(socket)
			if err := c.Health(cmd.Context(), false); err != nil || !ready {
				return err
			}
			return c.Health(cmd.Context(), true)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", status.SocketPath("/run/underlayd"), "unix `socket` of the daemon")
	cmd.Flags().BoolVar(&ready, "ready", false, "ask for the first exchange, too")
	return cmd
}

func newPeers() *cobra.Command {
	var q query
	cmd := q.bind(&cobra.Command{
		Use:   "peers [NAME]",
		Short: "Show the BGP sessions, or all that is known of one",
		Args:  oneArgAtMost,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return q.ask(cmd, func(ctx context.Context, w io.Writer, c *status.Client, o status.Options) error {
				list, err := c.Peers(ctx, name)
				if err != nil {
					return err
				}
				if name != "" {
					return status.WritePeer(w, list, o)
				}
				return status.WritePeers(w, list, o)
			})
		},
	})
	names := q.completeNames(peerNames)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, args, word)
	}
	return q.completing(cmd, tableFormats()...)
}

func tableFormats() []string {
	return []string{string(status.Table), string(status.Wide), string(status.JSON), "yaml"}
}

func newRoutes() *cobra.Command {
	var q query
	var filter status.Filter
	var flags routeFlags
	cmd := q.bind(&cobra.Command{
		Use:   "routes [PREFIX|ADDRESS]",
		Short: "Show each learned prefix with its verdict and what became of it in the kernel, or what peers are told",
		Long: `Show each learned prefix with its verdict and what became of it in the kernel. A prefix or an address
as argument shows the routes that cover it or lie inside it. With --limit the list is cut after so many routes; --after and the
last prefix shows the next ones.

With --advertised it shows what this node tells its peers, or the one that --peer names: the Adj-RIB-Out, as
'gobgp neighbor ADDRESS adj-out' does. It is worked out of all routes when it is asked for.`,
		Args: oneArgAtMost,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.complete(&filter, args); err != nil {
				return usageError{err}
			}
			return q.ask(cmd, func(ctx context.Context, w io.Writer, c *status.Client, o status.Options) error {
				show := showRoutes
				if flags.advertised {
					show = showAdvertised
				}
				return show(ctx, w, c, filter)(o)
			})
		},
	})
	flags.bind(cmd, &filter)
	return q.completing(cmd, tableFormats()...)
}

// oneArgAtMost is cobra.MaximumNArgs(1) with our exit code.
func oneArgAtMost(cmd *cobra.Command, args []string) error {
	if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}
