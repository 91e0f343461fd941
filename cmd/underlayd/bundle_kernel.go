package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kernelParts are what the kernel says, in the words of the programs that every other operator reads.
func (c *collector) kernelParts() []part {
	ours := fmt.Sprint(c.table)
	commands := [][2]string{
		{"links.json", "ip -j -d -s link show"}, {"addresses.json", "ip -j address show"}, {"nexthops.json", "ip -j -d nexthop show"},
		{"rules-ipv4.json", "ip -j -4 rule show"}, {"rules-ipv6.json", "ip -j -6 rule show"},
		{"neighbours-ipv4.json", "ip -j -4 neighbour show"}, {"neighbours-ipv6.json", "ip -j -6 neighbour show"},
		{"routes-ipv4-table-" + ours + ".json", "ip -j -d -4 route show table " + ours},
		{"routes-ipv6-table-" + ours + ".json", "ip -j -d -6 route show table " + ours},
	}
	if c.table != unix.RT_TABLE_MAIN {
		commands = append(commands, [2]string{"routes-ipv4-table-254.json", "ip -j -d -4 route show table 254"},
			[2]string{"routes-ipv6-table-254.json", "ip -j -d -6 route show table 254"})
	}
	commands = append(commands, [2]string{"nftables.json", "nft -j list table inet " + c.nat})
	var parts []part
	for _, x := range commands {
		parts = append(parts, part{"kernel/" + x[0], func(ctx context.Context, w io.Writer) error { return runInto(ctx, w, strings.Fields(x[1])) }})
	}
	return append(parts, part{"kernel/sysctls.txt", writeSysctls})
}

// runInto runs a program and passes on what it writes.
func runInto(ctx context.Context, w io.Writer, argv []string) error {
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	complaints := &boundedBuffer{most: 1 << 10}
	command.Stdout, command.Stderr = w, complaints
	command.WaitDelay = time.Second // of what the program may have started
	err := command.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is not installed here; on the node: %s", argv[0], strings.Join(argv, " "))
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	if said := strings.TrimSpace(complaints.String()); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
}

// boundedBuffer keeps the beginning and forgets the rest.
type boundedBuffer struct {
	bytes.Buffer
	most int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(b.most-b.Len(), 0))])
	return len(p), nil
}

// sysctls are those that decide whether and how our routes carry traffic, as patterns below /proc/sys.
func sysctls() []string {
	return []string{
		"net/ipv4/ip_forward", "net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/rp_filter", "net/ipv4/conf/*/arp_ignore", "net/ipv4/conf/*/arp_announce",
		"net/ipv4/fib_multipath_hash_policy", "net/ipv4/fib_multipath_use_neigh", "net/ipv4/nexthop_compat_mode", "net/ipv4/neigh/default/gc_thresh*",
		"net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem", "net/core/rmem_max", "net/core/wmem_max", "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_count",
		"net/ipv6/conf/*/forwarding", "net/ipv6/conf/*/force_forwarding", "net/ipv6/conf/*/disable_ipv6", "net/ipv6/conf/*/accept_ra",
		"net/ipv6/fib_multipath_hash_policy", "net/ipv6/route/max_size", "net/ipv6/neigh/default/gc_thresh*",
	}
}

// writeSysctls writes a line each. What this kernel does not have is not there.
func writeSysctls(_ context.Context, w io.Writer) error {
	var failed []error
	for _, pattern := range sysctls() {
		files, err := filepath.Glob("/proc/sys/" + pattern)
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a link that went meanwhile
			}
			if err != nil {
				failed = append(failed, err)
				continue
			}
			if _, err := fmt.Fprintf(w, "%s = %s\n", strings.TrimPrefix(file, "/proc/sys/"), strings.Join(strings.Fields(string(text)), " ")); err != nil {
				return err
			}
		}
	}
	return errors.Join(failed...)
}
