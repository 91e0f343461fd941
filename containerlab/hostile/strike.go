package main

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// early attacks before the session is up, and listens to what the daemon has to say about it.
func (f *foe) early(a attack, t target) (outcome, error) {
	defer f.hangUp()
	if _, err := f.conn.Write(a.build(t)); err != nil {
		return closed, nil // it was quicker
	}
	if a.cut {
		return silence, nil
	}
	if err := f.conn.SetReadDeadline(time.Now().Add(hearing)); err != nil {
		return 0, err
	}
	for {
		kind, _, err := wire.ReadMessage(f.in)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return silence, nil
		case err != nil:
			return closed, nil
		case kind == wire.TypeNotification:
			return told, nil
		case kind == wire.TypeKeepalive:
			return answered, nil
		}
	}
}

// strike attacks an established session. What follows, a question that the daemon answers in its turn, tells when the
// attack has been worked off.
func (f *foe) strike(a attack, t target) (outcome, error) {
	if _, err := f.conn.Write(a.build(t)); err != nil {
		return f.last(err), nil
	}
	if a.cut {
		return silence, nil
	}
	wait := patience
	if a.may&silence != 0 {
		wait = hearing
	}
	if err := f.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	if a.may != silence {
		if _, err := f.conn.Write(refresh(1, 1)); err != nil {
			return f.last(err), nil
		}
	}
	if err := f.heard(); err != nil {
		return f.last(err), nil
	}
	prefix, good := t.prefix4, t.good4
	if a.v6 {
		prefix, good = t.prefix6, t.good6
	}
	got := f.eye.settle(prefix, good, a.waitFor(kept))
	if got != gone {
		return got, nil
	}
	return f.withSession(a.waitFor(gone))
}

// waitFor is how long to wait for anything but an outcome: a busy machine must not make it look as if it were the last word.
func (a attack) waitFor(o outcome) time.Duration {
	if a.may&o == 0 {
		return patience
	}
	return settling
}

// withSession tells a withdrawal from one that is the end of the session: after a NOTIFICATION, and before the end, the
// daemon may still answer.
func (f *foe) withSession(wait time.Duration) (outcome, error) {
	if err := f.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	for {
		err := f.heard()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return gone, nil
		case err != nil:
			return f.last(err), nil
		}
	}
}

// last is the outcome of a session that ended, or is silent. What the daemon said before it closed may be there still.
func (f *foe) last(err error) outcome {
	var n notification
	switch {
	case errors.As(err, &n):
		return told
	case errors.Is(err, os.ErrDeadlineExceeded):
		return silence
	}
	if err := f.conn.SetReadDeadline(time.Now().Add(hearing)); err != nil {
		return closed
	}
	if !errors.Is(err, io.EOF) && errors.As(f.heard(), &n) {
		return told
	}
	return closed
}
