package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// partTime is how long one part of a bundle may take.
const partTime = 30 * time.Second

func newBundle() *cobra.Command {
	var file, socket, configuration string
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Write an archive with all that helps to find out what is wrong on this node",
		Long: `Write an archive (tar.gz, for root alone) with all that helps to find out what is wrong on this node: status, peers,
routes and history, the configuration in force, metrics, versions, and what the kernel says: links, addresses, neighbours,
rules, next-hop objects, routes, our nftables table, sysctls. What can't be had is said in errors.txt and ends nothing: a
bundle of a node whose daemon does not run has the rest.

No password, token or key is in it: the configuration names files and Secrets, and what they hold is never read. It does have
addresses, names and AS numbers. Each part ends after 64 MiB, all of them after 256 MiB; compressed that is a small part of it.
A file that exists is not written over. With - the archive goes to standard output.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Minute)
			defer cancel()
			b := newCollector(ctx, status.NewClient(socket), configuration)
			if file == "-" {
				return b.write(ctx, cmd.OutOrStdout())
			}
			if file == "" {
				file = fmt.Sprintf("underlayd-%s-%s.tar.gz", b.node, b.now.UTC().Format("20060102T150405Z"))
			}
			if err := writeNew(file, func(w io.Writer) error { return b.write(ctx, w) }); err != nil {
				return fmt.Errorf("bundle: %w", err)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s written; %d parts are missing or cut off, see errors.txt in it\n", file, b.missing)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the archive's `name` (default underlayd-NODE-TIME.tar.gz, in this folder); - is standard output")
	cmd.Flags().StringVar(&socket, "socket", status.SocketPath("/run/underlayd"), "unix `socket` of the daemon")
	cmd.Flags().StringVarP(&configuration, "config", "c", defaultConfig, "configuration `file`, looked at if the daemon does not run")
	return cmd
}

// writeNew makes a file that only its owner can read. Nothing that exists is written over, and nothing half is left.
func writeNew(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// collector knows where the parts of a bundle are.
type collector struct {
	client  *status.Client
	file    string // of the configuration
	now     time.Time
	node    string
	table   int
	nat     string // our table of nftables
	missing int
}

// newCollector finds out what is ours in the kernel: from the daemon, else from the configuration, else it is the default.
func newCollector(ctx context.Context, client *status.Client, file string) *collector {
	c := &collector{client: client, file: file, now: time.Now(), table: unix.RT_TABLE_MAIN, nat: "underlayd-200"}
	c.node, _ = os.Hostname()
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	if s, err := client.Status(ctx); err == nil {
		c.node, c.table = s.Node, s.Kernel.Table
		c.nat = fmt.Sprintf("underlayd-%d", s.Kernel.Protocol)
	} else if cfg, err := config.Load(file, config.FromProcess(nil)); err == nil {
		c.node, c.table = cfg.Node.Name, cfg.Kernel.Table
		c.nat = fmt.Sprintf("underlayd-%d", cfg.Kernel.Protocol)
	}
	return c
}

// write writes the archive. Only what befalls the archive itself is an error.
func (c *collector) write(ctx context.Context, w io.Writer) error {
	a := newArchive(w, c.now)
	for _, part := range c.parts() {
		limited, cancel := context.WithTimeout(ctx, partTime)
		err := a.add(part.name, func(w io.Writer) error { return part.write(limited, w) })
		cancel()
		if err != nil {
			return err
		}
	}
	c.missing = len(a.failed)
	return a.close()
}

// part is one file of the archive.
type part struct {
	name  string
	write func(context.Context, io.Writer) error
}

func (c *collector) parts() []part {
	parts := []part{{"version.txt", writeVersions}}
	for _, page := range [][2]string{
		{"status.json", "/v1/status"}, {"peers.json", "/v1/peers"}, {"routes.json", "/v1/routes"}, {"history.json", "/v1/history"}, {"metrics.txt", "/metrics"},
	} {
		parts = append(parts, part{page[0], func(ctx context.Context, w io.Writer) error { return c.client.Copy(ctx, w, page[1]) }})
	}
	return append(append(parts, part{"config.yaml", c.writeConfig}), c.kernelParts()...)
}

// writeConfig writes the configuration in force; that of the file, if the daemon does not tell.
func (c *collector) writeConfig(ctx context.Context, w io.Writer) error {
	asked := c.client.Copy(ctx, w, "/v1/config")
	if asked == nil {
		return nil
	}
	cfg, err := config.Load(c.file, config.FromProcess(nil))
	if err != nil {
		return errors.Join(asked, err)
	}
	fmt.Fprintf(w, "# Of the file %s: the daemon does not say what is in force.\n", c.file)
	return cfg.Print(w)
}

func writeVersions(_ context.Context, w io.Writer) error {
	fmt.Fprintf(w, "underlayd %s\n%s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	_, err := fmt.Fprintf(w, "%s %s %s %s\n", unix.ByteSliceToString(kernel.Sysname[:]), unix.ByteSliceToString(kernel.Release[:]),
		unix.ByteSliceToString(kernel.Version[:]), unix.ByteSliceToString(kernel.Machine[:]))
	return err
}
