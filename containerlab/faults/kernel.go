package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// repairTime is how long the kernel may be without a route that somebody took away.
const repairTime = 2 * time.Second

// repairLoss is how many packets of a flow may be lost meanwhile: a repair takes some milliseconds.
const repairLoss = 200

// kernelRows are about the node: what others do to routes, links and addresses.
func kernelRows() []row { return slices.Concat(vandalRows(), linkRows(), hostRows()) }

// vandalRows are about those who touch routes that are not theirs.
func vandalRows() []row {
	const ours = "no session lost; repaired < 2 s"
	vandal := func(name, script string, touches ...string) row {
		return row{
			name: name, required: ours, touches: touches, rewrites: true, lost: repairLoss,
			metrics: []string{"underlayd_kernel_repairs_total"},
			inject:  func(ctx context.Context, s *scene) error { return s.vandal(ctx, script) },
		}
	}
	first := vandal("a third party deletes a route of ours", "ip route del 10.20.1.0/24 proto 200; ip -6 route del fd00:20:0:1::/64 proto 200", "frr")
	first.fast = true
	return []row{
		first,
		vandal("a third party deletes all routes of ours", `for f in -4 -6; do
			ip $f -o route show proto 200 | while read -r prefix _; do ip $f route del "$prefix" proto 200; done
		done`, everyone),
		vandal("a third party flushes our next hops", "ip nexthop flush proto 200", everyone),
		vandal("a third party sends a route of ours elsewhere", "ip route replace 10.20.2.0/24 via 192.168.1.2 proto 200 metric 512", "bird"),
		{
			name: "a third party takes the place of a route of ours", fast: true, required: "it is not touched, and named; ours returns when it goes",
			touches: []string{"gobgp"}, rewrites: true, foreign: true, lost: repairLoss,
			says:   []string{`kernel conflict: .*10\.20\.3\.0/24`},
			inject: conflictAfter,
		},
		{
			name: "a foreign route is where a new one of ours is to be", required: "it is not touched, and named; ours is installed when it goes",
			touches: []string{"raw"}, rewrites: true, foreign: true,
			says:   []string{`kernel conflict: .*10\.20\.90\.0/24`},
			inject: conflictBefore,
		},
		{
			name: "somebody adds and removes routes of his own", required: "nothing happens",
			foreign: true,
			inject: func(ctx context.Context, s *scene) error {
				return s.shell(ctx, "for i in 1 2 3 4 5; do ip route add 172.16.$i.0/24 via 192.168.1.2; done; ip route add default via 192.168.2.2; "+
					"ip route del default; ip route flush proto boot table main root 172.16.0.0/12")
			},
		},
		{
			name: "a third party deletes a route of ours again and again", required: "given up after a few repairs, and named",
			touches: []string{"frr"}, rewrites: true, lost: unlimited, breaks: true,
			says:   []string{`kernel: .*10\.20\.1\.0/24`, "InstallFailed"},
			inject: fight,
		},
		{
			name: "100,000 changes of foreign routes at once, and ours deleted in between", required: "notifications are lost, the repair is not",
			touches: []string{"west-1"}, rewrites: true, foreign: true, lost: unlimited,
			inject: overflow,
		},
	}
}

// vandal runs a script and waits for the repair.
func (s *scene) vandal(ctx context.Context, script string) error {
	before, err := s.daemon.state(ctx)
	if err != nil {
		return err
	}
	if err := s.shell(ctx, script); err != nil {
		return err
	}
	took, err := s.until(ctx, repairTime, "the repair", func(context.Context) error { return s.routesAre(wanted()) })
	if err != nil {
		return err
	}
	s.note("repaired after %s", took)
	_, err = s.until(ctx, 2*time.Second, "the repair to be counted", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err == nil && now.Kernel.Repairs <= before.Kernel.Repairs {
			err = errors.New("no repair was counted")
		}
		return err
	})
	return err
}

func conflictAfter(ctx context.Context, s *scene) error {
	if err := s.shell(ctx, "ip route replace 10.20.3.0/24 via 192.168.3.2 metric 512 proto static"); err != nil {
		return err
	}
	err := s.says(ctx, 5*time.Second, "kernel conflict: ")
	if err == nil {
		err = s.shell(ctx, "ip route show 10.20.3.0/24 | grep -q 'proto static'")
	}
	return errors.Join(err, s.shell(ctx, "ip route del 10.20.3.0/24 proto static"), s.routes(ctx, repairTime))
}

func conflictBefore(ctx context.Context, s *scene) error {
	const prefix = "10.20.90.0/24"
	if err := s.shell(ctx, "ip route add "+prefix+" via 192.168.5.2 metric 512 proto static"); err != nil {
		return err
	}
	if err := s.raw.write(announce(nil, nil, parse(prefix)...)); err != nil {
		return err
	}
	err := s.says(ctx, 5*time.Second, "kernel conflict: ")
	if err == nil {
		err = s.shell(ctx, "ip route show "+prefix+" | grep -q 'proto static'; test $(ip route show "+prefix+" | wc -l) = 1")
	}
	err = errors.Join(err, s.shell(ctx, "ip route del "+prefix+" proto static"))
	if err == nil {
		_, err = s.until(ctx, repairTime, "our route", func(context.Context) error {
			ours, _, err := kernelRoutes(s.east)
			if err == nil && !slices.Contains(ours, prefix+" via 192.168.5.2") {
				err = fmt.Errorf("the kernel has %q", ours)
			}
			return err
		})
	}
	return errors.Join(err, s.raw.write(withdraw(parse(prefix)...)))
}

// fight deletes a route until the daemon gives way.
func fight(ctx context.Context, s *scene) error {
	repairs := 0
	took, err := s.until(ctx, patience, "the daemon to give way", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(now.complaints(), func(c string) bool { return strings.HasPrefix(c, "kernel: ") }) {
			return nil
		}
		if s.run(ctx, "east-1", "ip", "route", "del", "10.20.1.0/24", "proto", "200") == nil {
			repairs++
		}
		return errors.New("it repairs on")
	})
	s.note("given up after %d deletions and %s", repairs, took)
	if err != nil {
		return err
	}
	return pause(ctx, time.Second) // it has to be heard
}

// overflow makes more notifications than a socket holds.
func overflow(ctx context.Context, s *scene) error {
	const churn = `seq 0 49999 | awk '{printf "route add 172.%d.%d.%d/32 via 192.168.1.2 table 99\n", 16+int($1/65536), int($1/256)%256, $1%256}' >/tmp/faults-$$
		ip -batch /tmp/faults-$$
		ip route del 10.20.4.0/24 proto 200
		sed 's/add/del/' /tmp/faults-$$ | ip -batch -
		rm /tmp/faults-$$`
	if err := s.shell(ctx, churn); err != nil {
		return err
	}
	return s.routes(ctx, 5*time.Second)
}
