package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// fewPackets is what BIRD and FRR lose when they write their kernel routes anew, on a machine that has other things to do as well.
// Without graceful restart it would be thousands.
const fewPackets = 300

// restartTime is what the neighbours promise to be back within.
const restartTime = 20 * time.Second

// sessionRows are about sessions and the peers at their other end.
func sessionRows() []row {
	rows := []row{
		{
			name: "a peer falls silent", fast: true, required: "noticed within the hold time; its routes stay, no packet lost",
			touches: []string{"frr"}, back: fewPackets,
			says:   []string{"peer frr: .*not established"},
			inject: func(ctx context.Context, s *scene) error { return s.silence(ctx, "frr", false) },
		},
		{
			name: "a peer without graceful restart falls silent", required: "its routes go 1 s after the hold time at the latest",
			touches: []string{"raw"}, rewrites: true, lost: unlimited,
			says:   []string{"peer raw: .*hold timer expired"},
			inject: func(ctx context.Context, s *scene) error { return s.silence(ctx, "raw", true) },
		},
		{
			name: "a peer without graceful restart dies", fast: true, required: "its routes go at once, nobody else's",
			touches: []string{"raw"}, rewrites: true, lost: unlimited,
			says:   []string{"peer raw: .*not established"},
			inject: rawDies,
		},
		{
			name: "a peer dies and never returns", required: "its routes stay for its restart time and go then",
			touches: []string{"frr"}, rewrites: true, lost: unlimited, back: unlimited,
			says:   []string{"peer frr: .*not established"},
			inject: neverReturns,
		},
		{
			name: "a peer is shut down by its administrator", required: "its routes go within 1 s; what the administrator says is passed on",
			touches: []string{"frr"}, rewrites: true, lost: unlimited, back: unlimited,
			inject: administrator,
		},
		{
			name: "all sessions are reset each second for 10 s", required: "no route touched, no packet lost; back by itself",
			touches: []string{everyone}, rewrites: true, back: unlimited,
			inject: resetStorm,
		},
		{
			name: "three of five peers die at once, without graceful restart", required: "the brake: their routes are kept, and it is said",
			touches: []string{everyone}, rewrites: true, back: unlimited,
			prepare: withoutGR, inject: massLoss,
		},
		{
			name: "a peer asks for all routes again", fast: true, required: "nothing changes",
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.run(ctx, "frr", "vtysh", "-c", "clear bgp * soft"), s.run(ctx, "bird", "birdc", "reload", "all"), pause(ctx, time.Second))
			},
		},
	}
	return slices.Concat(rows, connectionRows(), peerRestarts(), passwordRows(), limitRows(), bfdRows(), gracefulRows())
}

// peerRestarts are restarts of each kind of peer, and of the session with it, as the side that dials and as the one that is dialled.
func peerRestarts() []row {
	var rows []row
	for _, peer := range []string{"frr", "bird", "gobgp", "west-1"} {
		for _, dials := range []bool{true, false} {
			how := map[bool]string{true: "which dials", false: "which is dialled"}[dials]
			limit := 10 * time.Second
			if peer == "gobgp" && dials {
				limit *= 2 // it rests for 5 s, and then waits for 5 to 10 s before it connects
			}
			prepare := func(ctx context.Context, s *scene) error { return s.direct(ctx, peer, dials) }
			rows = append(rows, row{
				name: fmt.Sprintf("%s, %s, is killed and started again", peer, how), fast: peer == "bird" && !dials,
				required: "no route touched, no packet to it lost",
				touches:  []string{peer}, back: unlimited,
				prepare: prepare,
				inject:  func(ctx context.Context, s *scene) error { return s.restartPeer(ctx, peer) },
			}, row{
				name: fmt.Sprintf("the session with %s, %s, is cut by a TCP reset", peer, how), fast: peer == "frr" && !dials,
				required: fmt.Sprintf("no route touched, no packet lost, up again < %s", limit),
				touches:  []string{peer}, back: fewPackets,
				prepare: prepare,
				inject:  func(ctx context.Context, s *scene) error { return s.cut(ctx, peer, limit) },
			})
		}
	}
	return rows
}

// direct has one side of a session dial, and only that.
func (s *scene) direct(ctx context.Context, peer string, dials bool) error {
	p := neighbourOf(peer)
	passive := fmt.Sprintf("    address: %s\n", p.address(false))
	text, err := s.read("east-1", "config.yaml")
	if err != nil {
		return err
	}
	has := strings.Contains(text, passive+fmt.Sprintf("    asn: %d\n    passive: true\n", p.asn))
	switch {
	case dials && !has:
		err = s.edit("east-1", "config.yaml", passive, passive+"    passive: true\n")
	case !dials && has:
		err = s.edit("east-1", "config.yaml", fmt.Sprintf("    asn: %d\n    passive: true\n", p.asn), fmt.Sprintf("    asn: %d\n", p.asn))
	}
	if err != nil {
		return err
	}
	return errors.Join(s.directPeer(ctx, peer, dials), pause(ctx, time.Second))
}

// directPeer tells the other side. Undone, it does what it did.
func (s *scene) directPeer(ctx context.Context, peer string, dials bool) error {
	switch peer {
	case "frr":
		if dials {
			return nil
		}
		s.later(func(ctx context.Context) error { return s.frr(ctx, "no neighbor 192.168.1.1 passive") })
		return errors.Join(s.edit("frr", "frr.conf", "peer-group east\n", "peer-group east\n neighbor 192.168.1.1 passive\n"), s.frr(ctx, "neighbor 192.168.1.1 passive"))
	case "bird":
		if !dials {
			return nil
		}
		s.later(func(ctx context.Context) error { return s.run(ctx, "bird", "birdc", "configure") })
		return errors.Join(s.edit("bird", "bird.conf", "passive on", "passive off"), s.run(ctx, "bird", "birdc", "configure"))
	case "gobgp":
		if dials {
			return nil
		}
		s.later(func(ctx context.Context) error { return s.restartGobgp(ctx) })
		if err := s.edit("gobgp", "gobgpd.toml", "[neighbors.timers.config]", "[neighbors.transport.config]\n    passive-mode = true\n  [neighbors.timers.config]"); err != nil {
			return err
		}
		return s.restartGobgp(ctx)
	default:
		if dials {
			return nil
		}
		return s.edit("west-1", "config.yaml", "    asn: 64512\n", "    asn: 64512\n    passive: true\n")
	}
}

func (s *scene) restartGobgp(ctx context.Context) error {
	return errors.Join(s.Node("gobgp").Process("bash").Kill(), s.Node("gobgp").Launch(ctx))
}

// frr changes the configuration of the BGP daemon of frr.
func (s *scene) frr(ctx context.Context, lines ...string) error {
	argv := []string{"vtysh", "-c", "configure terminal", "-c", "router bgp 65001"}
	for _, line := range lines {
		argv = append(argv, "-c", line)
	}
	return s.run(ctx, "frr", argv...)
}

// cut ends a session's connection and waits until the session is back.
func (s *scene) cut(ctx context.Context, peer string, limit time.Duration) error {
	if err := s.reset(ctx, peer); err != nil {
		return err
	}
	if err := s.sessionIs(ctx, peer, false, 2*time.Second); err != nil {
		return err
	}
	return s.sessionIs(ctx, peer, true, limit)
}

// reset has the kernel end the connections with a peer.
func (s *scene) reset(ctx context.Context, peer string) error {
	return s.run(ctx, "east-1", "ss", "-K", "dst", neighbourOf(peer).address(false).String())
}

// silence has a peer hear and say nothing for longer than the hold time.
func (s *scene) silence(ctx context.Context, peer string, gone bool) error {
	const drop = `table inet silence {
	chain in { type filter hook input priority 0; tcp sport 179 drop; tcp dport 179 drop; }
	chain out { type filter hook output priority 0; tcp sport 179 drop; tcp dport 179 drop; }
}`
	if err := s.run(ctx, peer, "nft", drop); err != nil {
		return err
	}
	speak := func(ctx context.Context) error { return s.run(ctx, peer, "nft", "delete", "table", "inet", "silence") }
	err := s.sessionIs(ctx, peer, false, 9*time.Second)
	if err == nil && gone {
		err = s.routes(ctx, time.Second, peer)
	} else if err == nil {
		err = s.during(ctx, 2*time.Second, "its routes", func(context.Context) error { return s.routesAre(wanted()) })
	}
	return errors.Join(err, speak(ctx))
}

func rawDies(ctx context.Context, s *scene) error {
	if err := s.raw.hush(); err != nil {
		return err
	}
	defer s.raw.resume()
	if err := s.routes(ctx, time.Second, "raw"); err != nil {
		return err
	}
	return pause(ctx, 500*time.Millisecond)
}

// restartPeer kills a peer's daemon and starts it again after a while.
func (s *scene) restartPeer(ctx context.Context, peer string) error {
	n, process := s.Node(peer), neighbourOf(peer).process
	if err := n.Process(process).Kill(); err != nil {
		return err
	}
	if err := s.sessionIs(ctx, peer, false, 2*time.Second); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	if peer == "bird" { // without -R it removes its routes from the kernel before it learns them again
		if _, err := n.Start("bird", "bird", "-f", "-R", "-c", "/etc/bird/bird.conf", "-s", "/run/bird/bird.ctl"); err != nil {
			return err
		}
	}
	if err := n.Launch(ctx); err != nil {
		return err
	}
	return s.sessionIs(ctx, peer, true, restartTime)
}

// neverReturns looks that routes of a peer that is gone stay no shorter and no longer than it asked for.
func neverReturns(ctx context.Context, s *scene) error {
	n := s.Node("frr")
	if err := n.Process("bgpd").Kill(); err != nil {
		return err
	}
	const slack = time.Second
	err := s.during(ctx, restartTime-slack, "routes", func(context.Context) error { return s.routesAre(wanted()) })
	if err == nil {
		err = s.routes(ctx, 2*slack, "frr")
	}
	return errors.Join(err, n.Launch(ctx))
}

func administrator(ctx context.Context, s *scene) error {
	if err := s.frr(ctx, "neighbor 192.168.1.1 shutdown message maintenance until noon"); err != nil {
		return err
	}
	err := s.routes(ctx, time.Second, "frr")
	if err == nil {
		err = s.says(ctx, time.Second, "maintenance until noon")
	}
	return errors.Join(err, s.frr(ctx, "no neighbor 192.168.1.1 shutdown"))
}

func resetStorm(ctx context.Context, s *scene) error {
	for range 10 {
		for _, p := range neighbours() {
			if p.name == "raw" {
				continue // it knows no graceful restart: its routes would go
			}
			if err := s.reset(ctx, p.name); err != nil {
				return err
			}
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// massLoss ends the daemons of three peers and the sessions with them, which nobody has promised to be back after.
func massLoss(ctx context.Context, s *scene) error {
	peers := []string{"frr", "bird", "gobgp"}
	var errs []error
	for _, p := range peers {
		errs = append(errs, s.Node(p).Process(neighbourOf(p).process).Kill())
	}
	errs = append(errs, s.during(ctx, 5*time.Second, "routes", func(context.Context) error { return s.routesAre(wanted()) }), s.says(ctx, time.Second, "(?i)brake|kept"))
	for _, p := range peers {
		errs = append(errs, s.Node(p).Launch(ctx))
	}
	return errors.Join(errs...)
}
