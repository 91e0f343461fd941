package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/bgp/fib/nat"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

func newCleanup() *cobra.Command {
	var file string
	var stay bool
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove everything underlayd left on this node",
		Long: `Remove everything that carries underlayd's mark: its routes, its next-hop objects, its nftables table and, in a
Kubernetes cluster, its annotations, condition and Lease. Nothing else is touched. The daemon must not be running.
It needs CAP_NET_ADMIN.

With --stay it then waits to be ended, and 'underlayd health --ready' says that it is done: the pods of a DaemonSet may
not end by themselves.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file, config.FromProcess(cmd.Flags()))
			if err != nil {
				return err
			}
			if err := confine(netAdmin, map[capabilities]string{netAdmin: "to remove routes, next-hop objects and the nftables table"}); err != nil {
				return fmt.Errorf("privileges: %w", err)
			}
			lock, err := status.AcquireLock(cfg.Runtime.Directory, time.Now())
			if err != nil {
				return fmt.Errorf("stop the daemon first: %w", err)
			}
			err = errors.Join(cleanKernel(cmd, cfg), cleanExemption(cmd, cfg), cleanNode(cmd, cfg), newKeeper(cfg.Runtime.Directory).remove(),
				removeOrder(cfg.Runtime.Directory), removeCrash(cfg.Runtime.Directory))
			if err != nil {
				return errors.Join(err, lock.Release())
			}
			if stay {
				err = stayClean(cmd.Context(), cfg)
			}
			return errors.Join(err, lock.Remove())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "configuration `file`")
	cmd.Flags().BoolVar(&stay, "stay", false, "wait to be ended when all is removed")
	config.BindFlags(cmd.Flags())
	return cmd
}

// stayClean says that nothing is left, to whoever asks where the daemon would be asked, until ctx is cancelled.
func stayClean(ctx context.Context, cfg *config.Config) error {
	board, now := &status.Board{}, time.Now()
	board.Publish(&status.Snapshot{
		Version: buildVersion(), Node: cfg.Node.Name, Cluster: status.Cluster{Name: cfg.Cluster.Name, ID: cfg.Cluster.ID},
		ASN: cfg.BGP.ASN, PID: os.Getpid(), Started: now, Time: now, Phase: status.Drained,
	})
	return status.Serve(ctx, status.SocketPath(cfg.Runtime.Directory), board)
}

func cleanKernel(cmd *cobra.Command, cfg *config.Config) error {
	table, err := fib.Open(kernelConfig(cfg, newLog(cmd.ErrOrStderr(), cfg.Log)))
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	removed, err := table.Cleanup(cmd.Context())
	fmt.Fprintf(cmd.OutOrStdout(), "kernel: %d routes and next-hop objects removed\n", removed)
	return err
}

// cleanExemption removes the table of the NAT exemption. A kernel that can't have one has none.
func cleanExemption(cmd *cobra.Command, cfg *config.Config) error {
	exemption, err := nat.Open(nat.Config{Protocol: cfg.Kernel.Protocol, Log: newLog(cmd.ErrOrStderr(), cfg.Log)})
	if errors.Is(err, nat.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = exemption.Close() }()
	removed, err := exemption.Remove(cmd.Context())
	if removed && err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "kernel: nftables table inet %s removed\n", exemption.State().Table)
	}
	return err
}

func cleanNode(cmd *cobra.Command, cfg *config.Config) error {
	node, err := newNode(cfg, memo{}, newLog(cmd.ErrOrStderr(), cfg.Log))
	if err != nil || node == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
	defer cancel()
	if err := node.Withdraw(ctx); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "kubernetes: annotations, condition and Lease removed")
	return nil
}
