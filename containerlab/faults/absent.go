package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// absentRows are about what happens while the daemon is dead.
func absentRows() []row {
	return []row{
		{
			name: "a peer withdraws a prefix while the daemon is dead", fast: true, required: "that prefix goes after the restart, and nothing else",
			touches: []string{everyone}, restarts: true, rewrites: true,
			inject: withdrawnMeanwhile,
		},
		{
			name: "a peer dies while the daemon is dead, and does not return", required: "its routes stay until the start limit of 20 s, and go then",
			touches: []string{everyone}, restarts: true, rewrites: true, exempt: []string{"frr"},
			inject: goneMeanwhile,
		},
		{
			name: "the node is drained, and the drain is cancelled", required: "nothing of ours is left at the peers and in the kernel; all back after",
			touches: []string{everyone}, rewrites: true, lost: unlimited, back: unlimited, mustLose: true,
			inject: drain,
		},
		{
			name: "the node reboots", required: "all routes are there < 15 s after the start",
			touches: []string{everyone}, restarts: true, rewrites: true, lost: unlimited, back: unlimited, mustLose: true,
			inject: reboot,
		},
	}
}

func withdrawnMeanwhile(ctx context.Context, s *scene) error {
	const route = "route 10.30.1.0/24 unreachable;"
	if err := s.stop(syscall.SIGKILL); err != nil {
		return err
	}
	if err := errors.Join(s.edit("bird", "bird.conf", route, ""), s.run(ctx, "bird", "birdc", "configure"), s.routesAre(wanted()), s.east.Launch(ctx)); err != nil {
		return err
	}
	took, err := s.until(ctx, 20*time.Second, "the route to go", func(context.Context) error { return s.hasRoute("10.30.1.0/24", false) })
	s.note("gone after %s", took)
	if err == nil {
		ours, _, failed := kernelRoutes(s.east)
		if err = failed; err == nil && len(ours) != len(wanted())-1 {
			err = fmt.Errorf("the kernel has %q", ours)
		}
	}
	return errors.Join(err, s.restore("bird", "bird.conf"), s.run(ctx, "bird", "birdc", "configure"))
}

func goneMeanwhile(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGKILL); err != nil {
		return err
	}
	frr := s.Node("frr")
	if err := errors.Join(frr.Process("bgpd").Kill(), s.east.Launch(ctx)); err != nil {
		return err
	}
	const startLimit, slack = 20 * time.Second, 2 * time.Second
	err := s.during(ctx, startLimit-slack, "routes", func(context.Context) error { return s.routesAre(wanted()) })
	if err == nil {
		err = s.routes(ctx, 2*slack, "frr")
	}
	return errors.Join(err, frr.Launch(ctx))
}

// reboot takes away what a reboot takes away.
func reboot(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	err := s.shell(ctx, `for f in -4 -6; do
			ip $f -o route show proto 200 | while read -r prefix _; do ip $f route del "$prefix" proto 200; done
		done
		ip nexthop flush proto 200; rm -r /run/underlayd`)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.east.Launch(ctx); err != nil {
		return err
	}
	_, err = s.until(ctx, 15*time.Second, "all routes", func(context.Context) error { return s.routesAre(wanted()) })
	s.note("all routes after %s", time.Since(began).Round(time.Millisecond))
	return err
}

func drain(ctx context.Context, s *scene) error {
	if err := s.run(ctx, "east-1", "underlayd", "drain", "--grace", "1s", "--reason", "new fans"); err != nil {
		return err
	}
	took, err := s.until(ctx, 15*time.Second, "the node to have left", func(ctx context.Context) error {
		out, err := s.Node("frr").Output(ctx, "ip", "route", "show", "10.10.0.0/16")
		if err == nil && out != "" {
			err = fmt.Errorf("frr still has %q", out)
		}
		return errors.Join(err, s.routesAre(nil))
	})
	s.note("left after %s", took)
	return errors.Join(err, s.run(ctx, "east-1", "underlayd", "drain", "--cancel"))
}
