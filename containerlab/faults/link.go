package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// linkRows are about interfaces and addresses.
func linkRows() []row {
	const own = "its routes go; nobody else notices; all is back < 10 s after the link"
	return []row{
		{
			name: "a link is set down and up", fast: true, required: own,
			touches: []string{"frr"}, rewrites: true, foreign: true, lost: unlimited, back: unlimited,
			says:   []string{"(?s)peer frr|kernel: "},
			inject: func(ctx context.Context, s *scene) error { return s.flap(ctx, s.east.LinkDown, s.east.LinkUp, "eth1") },
		},
		{
			name: "a cable is pulled and put back", required: own,
			touches: []string{"frr"}, rewrites: true, foreign: true, lost: unlimited, back: unlimited,
			inject: func(ctx context.Context, s *scene) error {
				return s.flap(ctx, s.Node("frr").LinkDown, s.Node("frr").LinkUp, "eth1")
			},
		},
		{
			name: "an interface gets another name", required: "nobody else notices; back by itself",
			touches: []string{"bird"}, rewrites: true, foreign: true, lost: unlimited, back: unlimited,
			inject: func(ctx context.Context, s *scene) error {
				const rename = "ip link set %s down; ip link set %[1]s name %s; ip link set %[2]s up"
				return errors.Join(
					s.shell(ctx, fmt.Sprintf(rename, "eth2", "uplink")), s.recovered(ctx, "bird"), s.shell(ctx, fmt.Sprintf(rename, "uplink", "eth2")))
			},
		},
		{
			name: "an interface is removed and another takes its place", required: "nobody else notices; back by itself",
			touches: []string{"bird"}, rewrites: true, foreign: true, lost: unlimited, back: unlimited,
			inject: replaceLink,
		},
		{
			name: "an address of the node is replaced by another", required: "its session moves once the peer knows; nobody else notices",
			touches: []string{"frr"}, rewrites: true, foreign: true, lost: unlimited, back: unlimited,
			inject: moveAddress,
		},
		{
			name: "an address is added and removed", required: "nothing happens",
			foreign: true,
			inject: func(ctx context.Context, s *scene) error {
				return s.shell(ctx, "ip addr add 192.168.1.77/24 dev eth1; ip -6 addr add fd00:fab:1::77/64 dev eth1 nodad; ip addr add 172.30.0.1/24 dev eth6; sleep 1; "+
					"ip addr del 192.168.1.77/24 dev eth1; ip -6 addr del fd00:fab:1::77/64 dev eth1; ip addr del 172.30.0.1/24 dev eth6")
			},
		},
		{
			name: "IPv6 is turned off on a link and on again", required: "IPv4 goes on; nobody else notices; IPv6 is back by itself",
			touches: []string{"bird"}, rewrites: true, foreign: true, lost: unlimited, back: unlimited,
			inject: func(ctx context.Context, s *scene) error {
				return s.shell(ctx, "sysctl -qw net.ipv6.conf.eth2.disable_ipv6=1; sleep 2; sysctl -qw net.ipv6.conf.eth2.disable_ipv6=0; "+
					"ip -6 addr replace fd00:fab:2::1/64 dev eth2 nodad")
			},
		},
		{
			name: "nobody answers for the next hop for 2 s", required: "no route touched; the session lives",
			touches: []string{"gobgp"}, lost: unlimited, back: unlimited,
			inject: func(ctx context.Context, s *scene) error {
				const drop = "table inet deaf { chain in { type filter hook forward priority 0; drop; }; }"
				return errors.Join(s.run(ctx, "gobgp", "nft", drop), pause(ctx, 2*time.Second), s.run(ctx, "gobgp", "nft", "delete", "table", "inet", "deaf"))
			},
		},
	}
}

// flap takes a link away for 2 s.
func (s *scene) flap(ctx context.Context, down, up func(string) error, link string) error {
	if err := down(link); err != nil {
		return err
	}
	err := s.routes(ctx, 10*time.Second, "frr") // without a carrier the session has to end first
	if err := errors.Join(err, pause(ctx, 2*time.Second), up(link)); err != nil {
		return err
	}
	return s.recovered(ctx, "frr")
}

// recovered waits until a session and all routes are there.
func (s *scene) recovered(ctx context.Context, peer string) error {
	took, err := s.until(ctx, 15*time.Second, "all to be back", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err == nil && now.session(peer).State != "established" {
			err = errors.New("there is no session")
		}
		return errors.Join(err, s.routesAre(wanted()), s.traffic.alive())
	})
	if err == nil {
		s.note("back after %s", took)
	}
	return err
}

// replaceLink makes the link with bird anew, with the same names and other interface numbers.
func replaceLink(ctx context.Context, s *scene) error {
	bird := s.Node("bird")
	err := s.east.Do(func() error {
		old, err := netlink.LinkByName("eth2")
		if err != nil {
			return err
		}
		if err := netlink.LinkDel(old); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = "eth2", old.Attrs().MTU
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerMTU, veth.PeerNamespace = "eth1", uint32(attrs.MTU), netlink.NsPid(bird.PID())
		return netlink.LinkAdd(veth)
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		s.shell(ctx, "ip link set eth2 up; ip addr add 192.168.2.1/24 dev eth2; ip -6 addr add fd00:fab:2::1/64 dev eth2 nodad"),
		s.run(ctx, "bird", "sh", "-ec", "ip link set eth1 up; ip addr add 192.168.2.2/24 dev eth1; ip -6 addr add fd00:fab:2::2/64 dev eth1 nodad"),
	)
	if err != nil {
		return err
	}
	return s.recovered(ctx, "bird")
}

// moveAddress gives the node another address on the link with frr, and back.
func moveAddress(ctx context.Context, s *scene) error {
	move := func(from, to string) error {
		return errors.Join(
			s.shell(ctx, fmt.Sprintf("ip addr del %s/24 dev eth1; ip addr add %s/24 dev eth1", from, to)),
			s.frr(ctx, "neighbor "+to+" peer-group east", "no neighbor "+from),
			s.sessionIs(ctx, "frr", true, 20*time.Second),
		)
	}
	return errors.Join(move("192.168.1.1", "192.168.1.9"), move("192.168.1.9", "192.168.1.1"))
}
