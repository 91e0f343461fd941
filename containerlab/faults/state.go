package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stateRows are about configuration, files and what else the daemon keeps or needs.
func stateRows() []row { return slices.Concat(brokenRows(), changeRows(), fileRows()) }

// brokenRows are about a configuration that is none.
func brokenRows() []row {
	const kept = "the old configuration stays in force; the file and the rule are named"
	broken := func(name, old, replacement, says string) row {
		return row{
			name: name, required: kept, says: []string{"configuration: .*" + says},
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.edit("east-1", "config.yaml", old, replacement), s.says(ctx, 5*time.Second, "configuration: .*"+says), s.unbroken(ctx))
			},
		}
	}
	first := broken("the configuration is reloaded with a syntax error", "cluster:\n", "cluster: [\n", "config.yaml")
	first.fast = true
	return []row{
		first,
		broken("the configuration is reloaded with an unknown key", "holdTime: 6s", "holdtime: 6s", "holdtime"),
		broken("the configuration is reloaded with a value that breaks a rule", "holdTime: 6s", "holdTime: 1s", `bgp\.holdTime`),
		broken("the configuration is reloaded with contracts that overlap", "podCIDRs: [10.30.0.0/16", "podCIDRs: [10.20.0.0/16", `10\.20\.0\.0/16`),
		{
			name: "the configuration file is emptied", fast: true, required: kept, says: []string{"configuration: "},
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.write("east-1", "config.yaml", ""), s.says(ctx, 5*time.Second, "configuration: "), s.unbroken(ctx))
			},
		},
		{
			name: "the configuration file is removed", required: kept,
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(os.Remove(s.path("east-1", "config.yaml")), pause(ctx, 2*time.Second), s.unbroken(ctx))
			},
		},
		{
			name: "started with a configuration that has an error", fast: true, required: "it ends with an error that names the place; no route touched; back once it is corrected",
			touches: []string{everyone}, restarts: true,
			inject: startBroken,
		},
		{
			name: "SIGHUP without a change", required: "nothing happens",
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.daemon.process().Signal(syscall.SIGHUP), pause(ctx, time.Second))
			},
		},
	}
}

// changeRows are about changes of the configuration that concern some and not others.
func changeRows() []row {
	return []row{
		{
			name: "a peer is taken out of the configuration and put back", fast: true, required: "nobody else notices",
			touches: []string{"bird"}, rewrites: true, lost: unlimited, back: unlimited,
			inject: removePeer,
		},
		{
			name: "a contract shrinks and grows again", required: "only what it no longer covers goes",
			touches: []string{"west-1"}, rewrites: true, lost: unlimited,
			inject: shrinkContract,
		},
	}
}

// fileRows are about files that are not as they should be.
func fileRows() []row {
	return []row{
		{
			name: "the lock file is filled with garbage", required: "started as if it were not",
			touches: []string{everyone}, restarts: true,
			inject: func(ctx context.Context, s *scene) error {
				if err := s.stop(syscall.SIGKILL); err != nil {
					return err
				}
				return errors.Join(s.shell(ctx, "head -c 4096 /dev/urandom >/run/underlayd/underlayd.lock"), s.east.Launch(ctx), s.converged(ctx))
			},
		},
		{
			name: "the runtime directory is read-only", required: "no route touched; running, or ended with an error that names it",
			touches: []string{everyone}, restarts: true,
			inject: readOnlyRuntime,
		},
		{
			name: "nobody reads the log any more", required: "routes are changed as ever",
			touches: []string{everyone}, restarts: true, rewrites: true, lost: unlimited, breaks: true,
			inject: deafLog,
		},
	}
}

// unbroken looks for a moment that all goes on, then restores the configuration and waits until nothing is wrong.
func (s *scene) unbroken(ctx context.Context) error {
	err := s.during(ctx, time.Second, "routes", func(context.Context) error { return errors.Join(s.routesAre(wanted()), s.traffic.alive()) })
	return errors.Join(err, s.restore("east-1", "config.yaml"))
}

func startBroken(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.edit("east-1", "config.yaml", "asn: 64512", "asn: nonsense"); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := s.east.Command(short, "underlayd", "run").CombinedOutput()
	if err == nil || short.Err() != nil {
		return fmt.Errorf("it runs: %s", out)
	}
	if err := matches(string(out), `bgp\.asn`); err != nil {
		return err
	}
	return errors.Join(s.routesAre(wanted()), s.restore("east-1", "config.yaml"), s.east.Launch(ctx), s.converged(ctx))
}

func removePeer(ctx context.Context, s *scene) error {
	if err := s.edit("east-1", "config.yaml", "  - name: bird # is dialled\n    address: 192.168.2.2\n    asn: 65002\n", ""); err != nil {
		return err
	}
	err := s.routes(ctx, 5*time.Second, "bird")
	return errors.Join(err, s.restore("east-1", "config.yaml"), s.sessionIs(ctx, "bird", true, 15*time.Second))
}

func shrinkContract(ctx context.Context, s *scene) error {
	const (
		all  = "podCIDRs: [10.20.0.0/16, \"fd00:20::/48\"]\n  prefixLength: {ipv4: [16, 28], ipv6: [48, 80]}\n"
		less = "podCIDRs: [10.20.0.0/22, 10.20.5.0/24, \"fd00:20::/62\", \"fd00:20:0:5::/64\"]\n"
	)
	if err := s.edit("east-1", "config.yaml", all, less); err != nil {
		return err
	}
	err := s.routes(ctx, 5*time.Second, "west-1")
	return errors.Join(err, s.restore("east-1", "config.yaml"), s.routes(ctx, 10*time.Second))
}

func readOnlyRuntime(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.shell(ctx, "mount --bind /run/underlayd /run/underlayd; mount -o remount,bind,ro /run/underlayd"); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := s.east.Command(short, "underlayd", "run").CombinedOutput()
	switch {
	case short.Err() != nil:
		s.note("it runs without")
		err = nil
	case err == nil:
		err = errors.New("it ended without an error")
	default:
		s.note("%s", lastLines(string(out), 1))
		err = matches(string(out), "/run/underlayd")
	}
	return errors.Join(err, s.routesAre(wanted()), s.shell(ctx, "umount /run/underlayd"), s.east.Launch(ctx), s.converged(ctx))
}

// deafLog has the daemon write its log to a pipe that is full.
func deafLog(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	const start = `mkfifo /run/deaf; exec 3<>/run/deaf; exec underlayd run 2>&3`
	if _, err := s.east.Start("underlayd", "sh", "-c", start); err != nil {
		return err
	}
	if err := s.converged(ctx); err != nil {
		return err
	}
	prefix := netip.MustParsePrefix("10.20.91.0/24")
	err := errors.Join(
		s.shell(ctx, "dd if=/dev/zero of=/run/deaf bs=1 count=100000 oflag=nonblock 2>/dev/null || true"), // until it is full
		s.reset(ctx, "gobgp"), pause(ctx, 2*time.Second), // which is logged
		s.raw.write(announce(nil, nil, prefix)))
	if err != nil {
		return err
	}
	took, err := s.until(ctx, 10*time.Second, "a new route", func(context.Context) error {
		ours, _, err := kernelRoutes(s.east)
		if err == nil && !strings.Contains(strings.Join(ours, "\n"), prefix.String()) {
			err = errors.New("it is not in the kernel")
		}
		return err
	})
	s.note("a new route after %s", took)
	return err
}
