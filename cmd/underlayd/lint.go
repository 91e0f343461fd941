package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/config/lint"
	"github.com/underlayd/underlayd/config/mesh"
)

func newLint() *cobra.Command {
	var output string
	var nodes []string
	var errorsOnly bool
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Check the configurations of several nodes and clusters against each other, offline",
		Long: `Check the configurations of several nodes and clusters against each other, offline: ranges, ids and router
ids that two have, peerings and contracts that only one side knows of or that do not match, sessions that can't come up,
clusters with no way between them. Each finding has the two places and what to do.

A FILE is a configuration, a containerlab topology (*.clab.yml: all its nodes with their addresses), or a folder: its
*.yaml and every config.yaml below. A file without node.name and node.podCIDRs stands for all nodes that share it.

A configuration does not say which addresses its node has. They are learned from the exec lines of a topology, from
--node, from listenAddresses and localAddress, and from names: a peer called like a node is that node. What depends on an
address that stays unknown is not guessed: it is listed as not checked.

Exit codes: 0 nothing found, 1 something found, 2 a file can't be read or is no valid configuration, or the command line is
wrong.`,
		Args: someFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("output format %q: must be text or json", output)}
			}
			m, err := loadMesh(args, nodes)
			if err != nil {
				return err
			}
			report := lint.Check(m)
			if errorsOnly {
				report.Findings = onlyErrors(report.Findings)
			}
			write := report.WriteText
			if output == "json" {
				write = report.WriteJSON
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			if len(report.Findings) > 0 {
				return errors.New(report.Summary())
			}
			fmt.Fprintln(cmd.ErrOrStderr(), report.Summary())
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "output `format`: text or json")
	cmd.Flags().BoolVar(&errorsOnly, "errors", false, "only what can't work, no warnings")
	bindNodes(cmd, &nodes)
	return cmd
}

func someFiles(cmd *cobra.Command, args []string) error {
	if err := cobra.MinimumNArgs(1)(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

func bindNodes(cmd *cobra.Command, nodes *[]string) {
	cmd.Flags().StringArrayVar(nodes, "node", nil, "the addresses of a node, all of them: `NAME=ADDRESS,...`; may be repeated. "+
		"With the length of its subnet, 192.168.11.1/24, an address says what is on-link, too")
}

func onlyErrors(all []lint.Finding) []lint.Finding {
	kept := []lint.Finding{}
	for _, f := range all {
		if f.Severity == lint.Error {
			kept = append(kept, f)
		}
	}
	return kept
}

// loadMesh reads the files of a command line; whatever is wrong with them is the caller's mistake.
func loadMesh(files, nodes []string) (*mesh.Mesh, error) {
	known := map[string][]netip.Prefix{}
	for _, text := range nodes {
		name, addresses, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, usageError{fmt.Errorf("--node %s: must be NAME=ADDRESS, or NAME=ADDRESS,ADDRESS", text)}
		}
		for one := range strings.SplitSeq(addresses, ",") {
			p, err := parseHost(strings.TrimSpace(one))
			if err != nil {
				return nil, usageError{fmt.Errorf("--node %s: %w", text, err)}
			}
			known[name] = append(known[name], p)
		}
	}
	m, err := mesh.Load(files, known)
	if err != nil {
		return nil, usageError{err}
	}
	return m, nil
}

// parseHost reads an address with or without the length of its subnet.
func parseHost(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address, such as 192.168.11.1 or 192.168.11.1/24", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}
