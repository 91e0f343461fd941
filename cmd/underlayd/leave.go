package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/status"
)

func newDrain() *cobra.Command {
	var (
		socket  string
		order   drainOrder
		cancel  bool
		wait    bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Take this node out of the underlay, or bring it back",
		Long: `Take this node out of the underlay: its pod CIDRs are advertised as about to go (GRACEFUL_SHUTDOWN, RFC 8326), then
withdrawn, the sessions are closed with the reason, and its routes to other clusters are removed. The daemon keeps running,
and stays drained when it is restarted, until --cancel or a reboot of the node. Cordoning a node or draining its pods does
not take it out.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			directory, client := filepath.Dir(socket), status.NewClient(socket)
			if _, err := client.Status(cmd.Context()); errors.Is(err, status.ErrNotRunning) || errors.Is(err, status.ErrNotPermitted) {
				return fmt.Errorf("drain: %w", err)
			}
			done := func(p status.Phase) bool { return p == status.Drained }
			act := func() error { return writeOrder(directory, order) }
			if cancel {
				done = func(p status.Phase) bool { return p != status.Drained && p != status.Draining }
				act = func() error { return removeOrder(directory) }
			}
			if err := act(); err != nil || !wait {
				return err
			}
			return await(cmd.Context(), client, timeout, done)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", status.SocketPath("/run/underlayd"), "unix `socket` of the daemon")
	cmd.Flags().StringVar(&order.Reason, "reason", "", "`text` for the peers' operators and for status")
	cmd.Flags().DurationVar(&order.Grace, "grace", 10*time.Second, "`time` for the peers to find other paths")
	cmd.Flags().BoolVar(&cancel, "cancel", false, "bring the node back")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when it is done")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long --wait waits")
	return cmd
}

// await asks the daemon until it has reached a phase.
func await(ctx context.Context, client *status.Client, timeout time.Duration, done func(status.Phase) bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(tick)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		if err == nil && done(s.Phase) {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("after %s the daemon is still %s", timeout, s.Phase)
			}
			return notReachedError{fmt.Errorf("drain: %w", err)}
		case <-tick.C:
		}
	}
}
