package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// count has the node's kernel count the peer's BGP packets: all, those that are signed, and those that came from too far. A reset
// by a kernel on which nobody listens yet is no part of a session.
func (t *trial) count(ctx context.Context) error {
	ttl := 256 - t.Cell.hops()
	script := fmt.Sprintf(`nft -f - <<'END'
table inet count {
	counter every {}
	counter signed {}
	counter far {}
	chain bfd { type filter hook input priority -10; }
	chain in {
		type filter hook input priority 0;
		meta l4proto tcp th dport 179 jump bgp
		meta l4proto tcp th sport 179 jump bgp
	}
	chain bgp {
		tcp flags & rst == rst return
		counter name every
		tcp option 19 exists counter name signed
		meta nfproto ipv4 ip ttl < %[1]d counter name far
		meta nfproto ipv6 ip6 hoplimit < %[1]d counter name far
	}
}
END`, ttl)
	_, err := t.node.Output(ctx, "sh", "-c", script)
	return err
}

func (t *trial) counted(ctx context.Context) (map[string]int, error) {
	text, err := t.node.Output(ctx, "nft", "list", "counters")
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, found := range regexp.MustCompile(`counter (\w+) \{\s*packets (\d+)`).FindAllStringSubmatch(text, -1) {
		counts[found[1]], err = strconv.Atoi(found[2])
	}
	return counts, err
}

// signed: every packet of the session carries a signature.
func (t *trial) signed(ctx context.Context) (string, error) {
	n, err := t.counted(ctx)
	if err == nil && (n["every"] == 0 || n["signed"] != n["every"]) {
		err = fmt.Errorf("%d of %d packets were signed", n["signed"], n["every"])
	}
	return fmt.Sprintf("all %d packets signed", n["every"]), err
}

// near: no packet of the session came from further than it may, and the session is lost when they do.
func (t *trial) near(ctx context.Context) (string, error) {
	n, err := t.counted(ctx)
	if err == nil && (n["every"] == 0 || n["far"] != 0) {
		err = fmt.Errorf("%d of %d packets came from further away", n["far"], n["every"])
	}
	return fmt.Sprintf("all %d packets with TTL %d or more", n["every"], 256-t.Cell.hops()), err
}

// detects: the session ends soon after BFD's packets no longer arrive, long before the hold time, and comes back.
func (t *trial) detects(ctx context.Context) (string, error) {
	err := until(ctx, patience, "BFD", func(ctx context.Context) error {
		s, err := t.state(ctx)
		if err == nil && s.Sessions[0].BFD.State != "Up" {
			err = fmt.Errorf("it is %s: %s", s.Sessions[0].BFD.State, s.Sessions[0].BFD.Problem)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if _, err := t.node.Output(ctx, "nft", "add", "rule", "inet", "count", "bfd", "udp", "dport", "{", "3784,", "4784", "}", "drop"); err != nil {
		return "", err
	}
	began := time.Now()
	if err := until(ctx, 3*time.Second, "the loss of the session", t.down); err != nil {
		return "", err
	}
	took := time.Since(began).Round(10 * time.Millisecond)
	if _, err := t.node.Output(ctx, "nft", "flush", "chain", "inet", "count", "bfd"); err != nil {
		return "", err
	}
	return fmt.Sprintf("session lost within %s of 3 × 100 ms, back again", took), until(ctx, patience, "all to be back", t.works)
}

// peerRestarts: the peer's program dies and comes back; the node's kernel keeps the route.
func (t *trial) peerRestarts(ctx context.Context) (string, error) {
	for _, name := range t.peer.processes() {
		if err := t.peer.node.Process(name).Kill(); err != nil {
			return "", err
		}
	}
	if err := until(ctx, patience, "the loss of the session", t.down); err != nil {
		return "", err
	}
	if err := during(ctx, outage, "while the peer is away", t.routed); err != nil {
		return "", err
	}
	if err := t.peer.node.Launch(ctx); err != nil {
		return "", err
	}
	err := until(ctx, patience, "the session", func(ctx context.Context) error { return errors.Join(t.routed(ctx), t.up(ctx)) })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("our route to it stayed for %s without it", outage), during(ctx, 2*time.Second, "after it is back", t.routed)
}

// nodeRestarts: underlayd dies and comes back; the peer keeps its route.
func (t *trial) nodeRestarts(ctx context.Context) (string, error) {
	if err := t.node.Process("underlayd").Kill(); err != nil {
		return "", err
	}
	if err := during(ctx, outage, "while underlayd is away", t.peer.has); err != nil {
		return "", err
	}
	if err := t.node.Launch(ctx); err != nil {
		return "", err
	}
	var gone error
	err := until(ctx, patience, "the session", func(ctx context.Context) error {
		if gone == nil {
			gone = t.peer.has(ctx)
		}
		return t.up(ctx)
	})
	if err = errors.Join(err, gone); err != nil {
		return "", err
	}
	return fmt.Sprintf("its route to us stayed for %s without us", outage), during(ctx, 2*time.Second, "after underlayd is back", t.peer.has)
}

// leaves: each is told that the other is about to leave.
func (t *trial) leaves(ctx context.Context) (string, error) {
	if err := t.peer.leave(ctx); err != nil {
		return "", err
	}
	err := until(ctx, patience, "the path to be the last choice", func(ctx context.Context) error {
		r, err := t.firstPath(ctx)
		if err == nil && r.Paths[0].LocalPref > 1 {
			err = fmt.Errorf("its LOCAL_PREF is %d", r.Paths[0].LocalPref)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if _, err := t.node.Output(ctx, "underlayd", "drain", "--grace", "60s"); err != nil {
		return "", err
	}
	return "both told, and ours obeyed with LOCAL_PREF 1", until(ctx, patience, "the peer to be told", t.peer.told)
}

// refreshes: the peer asks for all routes again and gets them, on the same session.
func (t *trial) refreshes(ctx context.Context) (string, error) {
	before, err := t.peer.updates(ctx)
	if err != nil {
		return "", err
	}
	if err := t.peer.refresh(ctx); err != nil {
		return "", err
	}
	err = until(ctx, patience, "the routes again", func(ctx context.Context) error {
		now, err := t.peer.updates(ctx)
		if err == nil && now <= before {
			err = fmt.Errorf("%d UPDATEs before, %d now", before, now)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return "all routes sent again", errors.Join(t.up(ctx), t.peer.has(ctx))
}

// several: what two speakers announce to the peer arrives as two paths, and both are used.
func (t *trial) several(ctx context.Context) (string, error) {
	family, prefix := "-4", t.Shared4()
	if !t.V4() {
		family, prefix = "-6", t.Shared6()
	}
	err := until(ctx, patience, "two paths in the kernel", func(ctx context.Context) error {
		text, err := t.node.Output(ctx, "ip", family, "route", "show", "exact", prefix)
		if err != nil {
			return err
		}
		for _, o := range t.Origins {
			address := o.IPv4()
			if !t.Has4() {
				address = o.IPv6()
			}
			if !strings.Contains(text, address) {
				return fmt.Errorf("%s is not in %q", address, text)
			}
		}
		return nil
	})
	return "two paths of one prefix, both in the kernel", err
}
