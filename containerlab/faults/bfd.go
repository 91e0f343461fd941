package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// bfdTime is how long after the last packet the routes of a peer that BFD watches may still be there; its detection time
// is 300 ms.
const bfdTime = time.Second

// What BFD has to notice, as rules of nftables in the peer's network.
const (
	dropAll = "table inet silence { chain in { type filter hook input priority 0; drop; }; chain out { type filter hook output priority 0; drop; }; " +
		"chain forward { type filter hook forward priority 0; drop; }; }"
	dropBFD = "table inet silence { chain in { type filter hook input priority 0; udp dport 3784 drop; }; chain out { type filter hook output priority 0; udp dport 3784 drop; }; }"
)

// bfdRows are about peers that are watched by BFD as well (RFC 5880). The brake is set so low that it would keep the
// routes of a single peer.
func bfdRows() []row {
	const given = "its routes go < 1 s after, though graceful restart and the brake would keep them; nobody else notices"
	watched := func(name, peer string, inject func(context.Context, *scene) error) row {
		return row{
			name: name, required: given, touches: []string{peer}, rewrites: true, lost: unlimited, back: unlimited,
			says: []string{"peer " + peer + ": .*BFD"}, logs: []string{"BFD session lost"},
			prepare: watchedByBFD(peer), inject: inject,
		}
	}
	restart := func(peer string, signal syscall.Signal) row {
		return row{
			name:     fmt.Sprintf("the daemon ends by %s, and is started again, while BFD watches the session with %s", signal, peer),
			required: "no route touched, no packet lost", touches: []string{everyone}, restarts: true,
			prepare: watchedByBFD(peer),
			inject:  func(ctx context.Context, s *scene) error { return s.restart(ctx, signal) },
		}
	}
	return []row{
		watched("the path to frr, which BFD watches, goes silent", "frr", func(ctx context.Context, s *scene) error { return s.unheard(ctx, "frr", dropAll) }),
		watched("the path to bird, which BFD watches, goes silent", "bird", func(ctx context.Context, s *scene) error { return s.unheard(ctx, "bird", dropAll) }),
		watched("the path to frr loses the packets of BFD alone", "frr", func(ctx context.Context, s *scene) error { return s.unheard(ctx, "frr", dropBFD) }),
		watched("the BFD daemon of frr is killed while its BGP daemon lives", "frr", func(ctx context.Context, s *scene) error {
			if err := s.Node("frr").Process("bfdd").Kill(); err != nil {
				return err
			}
			return errors.Join(s.routes(ctx, bfdTime, "frr"), s.says(ctx, 10*time.Second, "peer frr: .*BFD"), s.startBFD(ctx))
		}),
		restart("frr", syscall.SIGKILL), restart("frr", syscall.SIGTERM), restart("bird", syscall.SIGKILL),
	}
}

// watchedByBFD has both sides of a session watch it by BFD, until all is judged.
func watchedByBFD(peer string) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		asn := fmt.Sprintf("    asn: %d\n", neighbourOf(peer).asn)
		return errors.Join(s.peerBFD(ctx, peer),
			s.edit("east-1", "config.yaml", asn, asn+"    bfd: {interval: 100ms}\n"),
			s.edit("east-1", "config.yaml", "  startLimit: 20s\n", "  startLimit: 20s\n  brake: {share: 10}\n"),
			s.bfdUp(ctx, peer))
	}
}

// peerBFD turns it on at the other side, which is not to take a restart of the daemon for the end of the path.
func (s *scene) peerBFD(ctx context.Context, peer string) error {
	if peer == "frr" {
		s.later(func(ctx context.Context) error { return s.frr(ctx, "no neighbor 192.168.1.1 bfd") })
		return errors.Join(s.startBFD(ctx), s.frr(ctx, "neighbor 192.168.1.1 bfd 3 100 100", "neighbor 192.168.1.1 bfd check-control-plane-failure"))
	}
	s.later(func(ctx context.Context) error { return s.run(ctx, "bird", "birdc", "configure") })
	return errors.Join(
		s.edit("bird", "bird.conf", "protocol bgp east {\n", "protocol bfd {\n\tinterface \"eth1\" { interval 100 ms; multiplier 3; };\n}\nprotocol bgp east {\n\tbfd graceful;\n"),
		s.run(ctx, "bird", "birdc", "configure"))
}

// startBFD starts the BFD daemon of frr, which tells nobody when it is ready, unless it runs.
func (s *scene) startBFD(ctx context.Context) error {
	n := s.Node("frr")
	if p := n.Process("bfdd"); p != nil && p.Running() {
		return nil
	}
	if _, err := n.Start("bfdd", "/usr/lib/frr/bfdd", "-A", "127.0.0.1"); err != nil {
		return err
	}
	_, err := s.until(ctx, patience, "bfdd", func(ctx context.Context) error {
		return s.run(ctx, "frr", "vtysh", "-d", "bfdd", "-c", "show bfd peers")
	})
	return err
}

func (s *scene) bfdUp(ctx context.Context, peer string) error {
	took, err := s.until(ctx, patience, "BFD with "+peer, func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err != nil {
			return err
		}
		if b := now.session(peer).BFD; b == nil || b.State != "Up" {
			return fmt.Errorf("it is %+v", b)
		}
		return nil
	})
	if err == nil {
		s.note("BFD up after %s", took)
	}
	return err
}

// unheard drops packets from and to a peer until its routes have gone for that.
func (s *scene) unheard(ctx context.Context, peer, drop string) error {
	if err := s.run(ctx, peer, "nft", drop); err != nil {
		return err
	}
	err := s.routes(ctx, bfdTime, peer)
	if err == nil && drop == dropAll {
		err = s.during(ctx, 5*time.Second, "its routes", func(context.Context) error { return s.routesAre(wanted(peer)) })
	}
	if err == nil { // as long as it lasts
		err = s.says(ctx, 5*time.Second, "peer "+peer+": .*BFD")
	}
	return errors.Join(err, s.run(ctx, peer, "nft", "delete", "table", "inet", "silence"), s.sessionIs(ctx, peer, true, 20*time.Second), s.bfdUp(ctx, peer))
}
