package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// Limits.
const (
	patience = 20 * time.Second // for what has no promise of its own
	outage   = 3 * time.Second  // of a program that restarts
)

// trial is a cell in a lab.
type trial struct {
	*plan
	lab  *containerlab.Lab
	node *containerlab.Node
	peer speaker
}

// try makes the lab of a cell, tries the cell, and says what was observed.
func try(ctx context.Context, c cell, o options) (observed string, err error) {
	folder, err := os.MkdirTemp(o.folder, "cell-")
	if err != nil {
		return "", err
	}
	p := newPlan(c)
	path, err := p.write(folder)
	if err != nil {
		return "", err
	}
	topology, err := containerlab.Load(path)
	if err != nil {
		return "", err
	}
	lab, err := topology.Up(ctx, containerlab.Options{Sources: map[string]string{"underlayd": o.underlayd}})
	if err != nil {
		return "", err
	}
	t := &trial{plan: p, lab: lab, node: lab.Node("node")}
	t.peer = speaker{p.Peer, lab.Node("peer"), filepath.Join(folder, "peer")}
	observed, err = t.run(ctx)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, t.explanation(ctx))
	}
	return observed, errors.Join(err, lab.Down())
}

// explanation is what is known of a lab in which something went wrong.
func (t *trial) explanation(ctx context.Context) string {
	var text strings.Builder
	for _, argv := range [][]string{
		{"underlayd", "status"}, {"underlayd", "routes"}, {"ip", "route"}, {"ip", "-6", "route"},
	} {
		out, err := t.node.Output(ctx, argv...)
		fmt.Fprintf(&text, "# %s\n%s%v\n", strings.Join(argv, " "), out, err)
	}
	if t.Cell.Daemon == frr {
		out, err := t.peer.node.Output(ctx, "vtysh", "-c", "show ip route", "-c", "show ipv6 route", "-c", "show bgp nexthop", "-c", "show bgp ipv4 unicast")
		fmt.Fprintf(&text, "# the peer\n%s%v\n", out, err)
	}
	_ = t.lab.WriteLogs(&text)
	return text.String()
}

// run tries the cell.
func (t *trial) run(ctx context.Context) (string, error) {
	if err := t.count(ctx); err != nil {
		return "", err
	}
	began := time.Now()
	if err := t.works(ctx); err != nil {
		return "", err
	}
	took := time.Since(began).Round(100 * time.Millisecond)
	feature := map[string]func(context.Context) (string, error){
		md5: t.signed, gtsm: t.near, bfd: t.detects, helper: t.peerRestarts, restarting: t.nodeRestarts,
		leaving: t.leaves, soft: t.refreshes, addPath: t.several,
	}[t.Cell.Feature]
	if feature == nil {
		return fmt.Sprintf("routes both ways and a ping after %s", took), nil
	}
	return feature(ctx)
}

// until waits for something.
func until(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s is the limit", limit))
	defer cancel()
	var last error
	return containerlab.Until(ctx, what, func(ctx context.Context) error {
		if err := f(ctx); err == nil || last == nil || ctx.Err() == nil {
			last = err // not that of a command that the limit cut short
		}
		return last
	})
}

// during fails when f fails at any time within a period.
func during(ctx context.Context, period time.Duration, what string, f func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(period); time.Now().Before(end); {
		if err := f(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// works waits until routes are there in both directions and carry packets.
func (t *trial) works(ctx context.Context) error {
	if err := until(ctx, patience, "a session", t.up); err != nil {
		return err
	}
	if err := until(ctx, patience, "the route in the kernel", t.routed); err != nil {
		return err
	}
	if err := until(ctx, patience, "the node's prefix at the peer", t.peer.has); err != nil {
		return err
	}
	return until(ctx, patience, "a ping", t.ping)
}

func (t *trial) state(ctx context.Context) (state, error) {
	var s state
	err := query(ctx, t.node, &s, "status")
	if err == nil && len(s.Sessions) != 1 {
		err = fmt.Errorf("there are %d sessions; %s", len(s.Sessions), s.ConfigProblem)
	}
	return s, err
}

// up fails unless the session is.
func (t *trial) up(ctx context.Context) error {
	s, err := t.state(ctx)
	if err == nil && s.Sessions[0].State != "established" {
		err = fmt.Errorf("it is %s: %s", s.Sessions[0].State, s.Sessions[0].LastError)
	}
	return err
}

// down fails unless the session is.
func (t *trial) down(ctx context.Context) error {
	if err := t.up(ctx); err == nil {
		return errors.New("it is established")
	}
	return nil
}

// routed fails unless the kernel has routes to the announcer's pods, of all families that the session carries.
func (t *trial) routed(ctx context.Context) error {
	var errs []error
	a := t.announcer()
	check := func(family, prefix string) {
		text, err := t.node.Output(ctx, "ip", family, "route", "show", "exact", prefix)
		if err == nil && strings.TrimSpace(text) == "" {
			err = fmt.Errorf("there is no route to %s", prefix)
		}
		errs = append(errs, err)
	}
	if t.V4() {
		check("-4", a.Pods4())
	}
	if t.V6() {
		check("-6", a.Pods6())
	}
	return errors.Join(errs...)
}

// ping sends a packet from pod to pod and wants an answer.
func (t *trial) ping(ctx context.Context) error {
	var errs []error
	a := t.announcer()
	send := func(from, to string) {
		_, err := t.node.Output(ctx, "ping", "-c1", "-W1", "-I", from, to)
		errs = append(errs, err)
	}
	if t.V4() {
		send(t.Node.Pod4(), a.Pod4())
	}
	if t.V6() {
		send(t.Node.Pod6(), a.Pod6())
	}
	return errors.Join(errs...)
}

// firstPath is what the daemon says of the prefix that is announced to it, which has a path.
func (t *trial) firstPath(ctx context.Context) (route, error) {
	var list struct {
		Items []route `json:"items"`
	}
	err := query(ctx, t.node, &list, "routes", prefixOf(t.announcer()))
	if err == nil && (len(list.Items) != 1 || len(list.Items[0].Paths) == 0) {
		err = errors.New("the daemon has no path")
	}
	if err != nil {
		return route{}, err
	}
	return list.Items[0], nil
}
