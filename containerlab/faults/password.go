package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// passwordRows are about TCP MD5 (RFC 2385): a session whose two sides have the same password, until something happens.
func passwordRows() []row {
	const other = "not established|password"
	quiet := func(name, says, logs string, inject func(context.Context, *scene) error) row {
		return row{
			name: name, required: "the old password stays in force; named; nothing else happens",
			says: []string{"peer frr: .*" + says}, logs: []string{logs},
			prepare: secured("frr"), inject: inject,
		}
	}
	rotated := func(peer string) row {
		return row{
			name: "the password of the session with " + peer + " is changed on both sides", fast: peer == "frr", required: "only that session is reset; no route touched, no packet to it lost",
			touches: []string{peer}, back: map[string]int{"frr": fewPackets, "bird": unlimited}[peer], // BIRD drops routes for its own change logs: []string{"password read"},
			prepare: secured(peer),
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.password(peer, "second"), s.peerPassword(ctx, peer, "second"), s.anew(ctx, peer))
			},
		}
	}
	return []row{
		{
			name: "a peer gets another password than the node", required: "the session is never established, and named; nobody else notices",
			touches: []string{"frr"}, rewrites: true, lost: unlimited, back: unlimited, says: []string{"peer frr: .*" + other},
			prepare: secured("frr"), inject: wrongPassword,
		},
		{
			name: "the node gets another password than a peer", required: "the session is never established, and named; nobody else notices",
			touches: []string{"bird"}, rewrites: true, lost: unlimited, back: unlimited, says: []string{"peer bird: .*" + other},
			prepare: secured("bird"),
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.password("bird", "second"), s.stays(ctx, "bird", 8*time.Second), s.password("bird", "first"), s.sessionIs(ctx, "bird", true, 20*time.Second))
			},
		},
		{
			name: "a password file is missing at the start", required: "that peer does not run, and is named; all others do; it runs once the file is there",
			touches: []string{everyone}, restarts: true, back: fewPackets, says: []string{`peer frr: .*frr\.key`}, logs: []string{`frr\.key`},
			prepare: secured("frr"), inject: missingPassword,
		},
		quiet("a password file is removed", "stays in force", `frr\.key: no such file`, func(ctx context.Context, s *scene) error {
			return errors.Join(os.Remove(s.path("east-1", "frr.key")), s.says(ctx, 10*time.Second, "stays in force"), pause(ctx, 7*time.Second), s.password("frr", "first"))
		}),
		quiet("a password file is emptied", "stays in force", "is empty", func(ctx context.Context, s *scene) error {
			return errors.Join(s.password("frr", ""), s.says(ctx, 10*time.Second, "is empty"), s.password("frr", "first"))
		}),
		quiet("a password file can be read by everybody", "stays in force", "chmod 600", func(ctx context.Context, s *scene) error {
			file := s.path("east-1", "frr.key")
			return errors.Join(os.Chmod(file, 0o644), s.says(ctx, 10*time.Second, "must have no access"), os.Chmod(file, 0o600))
		}),
		rotated("frr"), rotated("bird"),
		{
			name: "the password of a session is removed on both sides", required: "only that session is reset; no route touched, no packet lost",
			touches: []string{"frr"}, back: fewPackets,
			prepare: secured("frr"),
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.restore("east-1", "config.yaml"), s.peerPassword(ctx, "frr", ""), s.anew(ctx, "frr"))
			},
		},
	}
}

// secured gives both sides of a session a password, until all is judged.
func secured(peer string) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		s.later(func(ctx context.Context) error { return s.peerPassword(ctx, peer, "") })
		asn := fmt.Sprintf("    asn: %d\n", neighbourOf(peer).asn)
		return errors.Join(s.password(peer, "first"),
			s.edit("east-1", "config.yaml", asn, asn+"    passwordFile: /etc/underlayd/"+peer+".key\n"),
			s.peerPassword(ctx, peer, "first"), s.sessionIs(ctx, peer, true, patience))
	}
}

// password writes the node's password of a session as an editor does.
func (s *scene) password(peer, text string) error {
	file := s.path("east-1", peer+".key")
	return errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file))
}

// peerPassword gives the other side a password, or takes it away.
func (s *scene) peerPassword(ctx context.Context, peer, text string) error {
	if peer == "frr" {
		if text == "" {
			return s.frr(ctx, "no neighbor 192.168.1.1 password")
		}
		return s.frr(ctx, "neighbor 192.168.1.1 password "+text)
	}
	original, err := os.ReadFile(s.o.here + "/bird/bird.conf")
	if err != nil {
		return err
	}
	changed := string(original)
	if text != "" {
		changed = strings.Replace(changed, "\tdirect;\n", fmt.Sprintf("\tdirect;\n\tpassword %q;\n", text), 1)
	}
	return errors.Join(s.write("bird", "bird.conf", changed), s.run(ctx, "bird", "birdc", "configure"))
}

// anew waits until a session is another one than it was when the row began.
func (s *scene) anew(ctx context.Context, peer string) error {
	_, err := s.until(ctx, 20*time.Second, "a new session with "+peer, func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err != nil {
			return err
		}
		if p := now.session(peer); p.State != "established" || p.Since.Equal(s.before.session(peer).Since) {
			return fmt.Errorf("it is %s since %s", p.State, p.Since)
		}
		return nil
	})
	return err
}

// stays makes sure that a session is lost and not established again within a period.
func (s *scene) stays(ctx context.Context, peer string, period time.Duration) error {
	if err := s.sessionIs(ctx, peer, false, 10*time.Second); err != nil {
		return err
	}
	return s.during(ctx, period, "without a session", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err == nil && now.session(peer).State == "established" {
			err = errors.New("there is one")
		}
		return err
	})
}

func wrongPassword(ctx context.Context, s *scene) error {
	return errors.Join(s.peerPassword(ctx, "frr", "second"), s.stays(ctx, "frr", 8*time.Second),
		s.peerPassword(ctx, "frr", "first"), s.sessionIs(ctx, "frr", true, 20*time.Second))
}

func missingPassword(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	err := errors.Join(os.Remove(s.path("east-1", "frr.key")), s.east.Launch(ctx))
	for _, p := range []string{"bird", "gobgp", "west-1", "raw"} {
		err = errors.Join(err, s.sessionIs(ctx, p, true, 10*time.Second))
	}
	return errors.Join(err, s.says(ctx, 5*time.Second, `peer frr: .*frr\.key`), s.stays(ctx, "frr", 2*time.Second),
		s.password("frr", "first"), s.converged(ctx))
}
