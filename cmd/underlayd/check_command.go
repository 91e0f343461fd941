package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/lint"
	"github.com/underlayd/underlayd/config/mesh"
	"github.com/underlayd/underlayd/status"
)

func newCheck() *cobra.Command {
	var q query
	var file string
	cmd := q.bind(&cobra.Command{
		Use:   "check",
		Short: "Check all that stands in the way on this node, before the daemon runs or while it does",
		Long: `Check all that stands in the way on this node: the configuration, settings of the kernel, links and MTU, the port, TCP
MD5, NAT, contracts, sessions, rights in Kubernetes, the clock, other programs that write routes, limits. Each finding has what
to do. The running daemon is asked; without one, the configuration and the host are looked at, which takes CAP_NET_ADMIN for some
of it, and sessions and routes are left out.

It changes nothing and sends no packet but questions to the Kubernetes API.

Exit codes: 0 nothing is failed (✗), whatever the warnings (‼); 1 something is, or nobody could be asked; 2 the command line is wrong.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			failed := 0
			err := q.ask(cmd, func(ctx context.Context, w io.Writer, c *status.Client, o status.Options) error {
				l, err := checked(ctx, c, file, config.FromProcess(cmd.Flags()))
				if err != nil {
					return err
				}
				failed = l.Failed
				return status.WriteCheckList(w, l, o)
			})
			if err == nil && failed > 0 {
				return fmt.Errorf("%d of the checks failed", failed)
			}
			return err
		},
	})
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "configuration `file`")
	config.BindFlags(cmd.Flags())
	return q.completing(cmd, tableFormats()...)
}

// checked asks the daemon, or else looks itself. The file is looked at in either case: the daemon has what it could read last.
func checked(ctx context.Context, c *status.Client, file string, o config.Overrides) (*status.CheckList, error) {
	cfg, items, err := checkFile(file, o)
	if err != nil {
		return nil, err
	}
	l, err := c.Check(ctx)
	switch {
	case err == nil:
		return status.NewCheckList(l.Node, l.Time, true, append(items, l.Items...)), nil
	case !errors.Is(err, status.ErrNotRunning):
		return nil, err
	case cfg == nil:
		return status.NewCheckList("this node", time.Now(), false, items), nil
	}
	items = append(items, checkAlone(ctx, cfg)...)
	return status.NewCheckList(cfg.Node.Name, time.Now(), false, items), nil
}

// checkFile looks at the configuration; it is nil where that is not valid.
func checkFile(file string, o config.Overrides) (*config.Config, []status.Check, error) {
	var c checkup
	remedy := func(action string) *status.Remedy {
		return &status.Remedy{Action: action, Command: "underlayd config validate " + file, Doc: troubleshooting + "before-it-runs-and-while-it-does"}
	}
	cfg, err := config.Load(file, o)
	var wrong config.Errors
	switch {
	case errors.As(err, &wrong):
		for _, one := range wrong {
			c.failed(status.CheckConfig, "Invalid", remedy("correct it"), one.Error())
		}
		return nil, c.items, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		c.failed(status.CheckConfig, "Unread", remedy("say where it is, and be allowed to read it (--config)"), err.Error())
		return nil, c.items, nil
	case err != nil:
		return nil, nil, err
	}
	m, err := mesh.Load([]string{file}, nil)
	if err != nil {
		c.unknown(status.CheckConfig, "lint", remedy("see what the file names beside"), err.Error())
		return cfg, c.items, nil
	}
	for _, f := range lint.Check(m).Findings {
		result := status.CheckWarning
		if f.Severity == lint.Error {
			result = status.CheckFailed
		}
		var places []string
		for _, p := range f.Places {
			places = append(places, p.String())
		}
		c.add(status.Check{Group: status.CheckConfig, Name: f.Code, Result: result, Sentence: f.Message, Remedy: &status.Remedy{
			Action: f.Fix, Key: strings.Join(places, "; "), Command: "underlayd lint " + file, Doc: "docs/topologies.md#check-it-before-you-roll-it-out",
		}})
	}
	if len(c.items) == 0 {
		c.ok(status.CheckConfig, "%s is valid, and nothing in it contradicts itself", file)
	}
	return cfg, c.items, nil
}

// checkAlone looks at the host by a configuration. Nothing of it writes.
func checkAlone(ctx context.Context, cfg *config.Config) []status.Check {
	log := logrus.New()
	log.SetOutput(io.Discard)
	c := &checkup{explainer: &explainer{}, basis: &basis{config: cfg, own: cfg.Node.PodCIDRs}, ctx: ctx, state: &status.Snapshot{Node: cfg.Node.Name}}
	kernel, err := fib.Open(kernelConfig(cfg, log))
	if err == nil {
		defer func() { _ = kernel.Close() }()
		c.kernel, c.checks = kernel, newHostChecks(kernel, cfg, log)
		c.facts, err = kernel.Facts()
	}
	if err != nil {
		c.failed(status.CheckKernel, "Kernel", &status.Remedy{
			Action: "run this as root, and give the daemon what it needs", Doc: "docs/operations.md#privileges",
		}, err.Error())
	}
	c.host()
	return c.concluded()
}
