package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// hostRows are about settings of the host that make routes useless, and about those who are busy in its kernel.
func hostRows() []row {
	setting := func(name, value, key, mend string, r row) row {
		says := regexp.QuoteMeta("host, "+key) + ": .*" + mend
		r.name = fmt.Sprintf("%s becomes %s", name, value)
		r.required = "named with the command that mends it, in status, metrics and log, and no longer once it is mended; no route touched; nobody else notices"
		r.says, r.logs = []string{says}, []string{mend}
		sound := map[string]string{"0": "1", "1": "0"}[value]
		r.inject = func(ctx context.Context, s *scene) error {
			err := s.shell(ctx, "sysctl -qw "+name+"="+value)
			if err == nil {
				err = s.says(ctx, 10*time.Second, says)
			}
			return errors.Join(err, s.shell(ctx, "sysctl -qw "+name+"="+sound))
		}
		return r
	}
	cut := row{fast: true, touches: []string{everyone}, foreign: true, lost: unlimited, back: unlimited}
	return []row{
		setting("net.ipv4.ip_forward", "0", "net.ipv4.ip_forward", `sysctl -w net\.ipv4\.ip_forward=1`, cut),
		setting("net.ipv6.conf.all.forwarding", "0", "net.ipv6.conf.all.forwarding", `sysctl -w net\.ipv6\.conf\.all\.forwarding=1`, cut),
		setting("net.ipv4.conf.eth2.forwarding", "0", "net.ipv4.conf.eth2.forwarding", `sysctl -w net\.ipv4\.conf\.eth2\.forwarding=1`,
			row{touches: []string{"bird"}, back: unlimited}),
		setting("net.ipv4.conf.all.rp_filter", "1", "rp_filter", `sysctl -w net\.ipv4\.conf\.eth\d\.rp_filter=2`, row{}),
		{
			name: "IPv6 is turned off on the host, and on again", required: "named; IPv4 goes on without a loss, no session is lost; IPv6 is back by itself",
			touches: []string{everyone}, rewrites: true, foreign: true, lost: unlimited, back: unlimited,
			says:   []string{withoutIPv6},
			inject: noIPv6,
		},
		{
			name: "100,000 changes of foreign routes in another table", required: "nothing happens",
			foreign: true,
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.shell(ctx, `seq 0 49999 | awk '{printf "route add 172.%d.%d.%d/32 via 192.168.1.2 table 99\n", 16+int($1/65536), int($1/256)%256, $1%256}' >/tmp/busy
					ip -batch /tmp/busy
					sed 's/add/del/' /tmp/busy | ip -batch -
					rm /tmp/busy`), pause(ctx, 2*time.Second))
			},
		},
	}
}

// withoutIPv6 is what is said when it is off: the kernel announces that next hops are gone, and the reason is found when
// the host is looked at again.
const withoutIPv6 = `host, net\.ipv6\.conf\.all\.disable_ipv6: |kernel: .*next hop not on-link`

func noIPv6(ctx context.Context, s *scene) error {
	before, err := s.daemon.state(ctx)
	if err != nil {
		return err
	}
	err = s.shell(ctx, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
	if err == nil {
		err = s.says(ctx, 10*time.Second, withoutIPv6)
	}
	err = errors.Join(err, pause(ctx, time.Second), s.shell(ctx, `sysctl -qw net.ipv6.conf.all.disable_ipv6=0
		for i in 1 2 3 4 5; do ip -6 addr replace fd00:fab:$i::1/64 dev eth$i nodad; done
		ip -6 addr replace fd00:10:0:1::1/64 dev eth6 nodad`), s.routes(ctx, 15*time.Second))
	if err != nil {
		return err
	}
	for _, f := range s.traffic.flows {
		if t := f.tally(time.Now().Add(-grace)); !f.v6 && t.Lost > 0 {
			err = errors.Join(err, fmt.Errorf("%s lost %d packets of IPv4", t.Flow, t.Lost))
		}
	}
	after, failed := s.daemon.state(ctx)
	if failed != nil {
		return errors.Join(err, failed)
	}
	for _, p := range neighbours() {
		if n := after.session(p.name).Flaps - before.session(p.name).Flaps; n > 0 {
			err = errors.Join(err, fmt.Errorf("the session with %s was lost %s", p.name, times(n)))
		}
	}
	return err
}
