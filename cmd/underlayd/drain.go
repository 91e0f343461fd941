package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/underlayd/underlayd/status"
)

// Draining is the opposite of a restart: the node leaves the underlay, and nobody keeps a route to it. The order for it
// is a file in the runtime directory: it outlives a restart of the daemon, and a reboot takes it away.
//
// First the node's prefixes are advertised as about to go, so that whoever has another path takes it (RFC 8326); then they
// are withdrawn, then the sessions are closed, then BFD ends with AdminDown, and then the node's own routes go. BFD comes
// after the sessions: FRR takes its end for a failure while the session is up, AdminDown or not, and answers with a Hard Reset.

const drainFile = "drain.json"

// drainOrder is the file.
type drainOrder struct {
	Reason string        `json:"reason,omitempty"`
	Grace  time.Duration `json:"graceNanoseconds"` // between saying that the prefixes go and withdrawing them
}

// readOrder returns the order, nil if there is none. One that can't be read is one: somebody wanted the node to leave.
func readOrder(directory string) *drainOrder {
	text, err := os.ReadFile(filepath.Join(directory, drainFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	order := &drainOrder{}
	if err != nil || json.Unmarshal(text, order) != nil {
		return &drainOrder{Reason: "the order can't be read"}
	}
	return order
}

func writeOrder(directory string, order drainOrder) error {
	text, err := json.Marshal(order)
	if err == nil {
		err = replaceFile(filepath.Join(directory, drainFile), text)
	}
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// removeOrder takes it back; that there is none is fine.
func removeOrder(directory string) error {
	if err := os.Remove(filepath.Join(directory, drainFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// stage is how far the node is in leaving.
type stage int

const (
	staying   stage = iota
	leaving         // its prefixes are advertised as about to go
	withdrawn       // they are withdrawn
	closing         // the sessions are being closed
	drained         // nothing is left
)

// The least time for peers to take a withdrawal in, and the most for them to notice that a session is closed.
const (
	withdrawTime = time.Second
	closeTime    = 5 * time.Second
)

// drain is where we are.
type drain struct {
	stage stage
	since time.Time
	order drainOrder
}

// followDrain takes the next step, one at a time.
func (a *agent) followDrain(ctx context.Context, now time.Time) {
	order := readOrder(a.config.Runtime.Directory)
	waited := now.Sub(a.drain.since)
	switch {
	case order == nil && a.drain.stage == staying:
	case order == nil:
		a.stay(ctx)
	case a.drain.stage == staying:
		a.drain.order = *order
		a.log.WithField("reason", order.Reason).Warn("drain: the node leaves")
		a.reach(leaving, now, a.speaker.Leave(ctx, true))
	case a.drain.stage == leaving && waited >= a.drain.order.Grace:
		a.reach(withdrawn, now, nil)
		a.advertise(ctx)
		a.setPeers(ctx) // what was passed on goes too
	case a.drain.stage == withdrawn && waited >= withdrawTime:
		a.reach(closing, now, a.speaker.Close(ctx, a.farewell()))
		a.watchReach(nil)
	case a.drain.stage == closing && (waited >= closeTime || !a.anyEstablished()):
		a.reach(drained, now, nil)
		a.setPeers(ctx)
		a.hear(ctx, 0)
		a.leaveKernel(ctx)
		a.log.Warn("drain: the node has left")
	}
}

// reach notes a stage and what went wrong on the way: a node that leaves does not turn back for that.
func (a *agent) reach(s stage, now time.Time, err error) {
	if err != nil {
		a.log.WithError(err).Error("drain")
	}
	a.drain.stage, a.drain.since, a.stale = s, now, true
}

// stay takes everything back.
func (a *agent) stay(ctx context.Context) {
	a.log.Warn("drain: taken back, the node stays")
	a.reach(staying, time.Now(), a.speaker.Leave(ctx, false))
	if err := a.speaker.SetPeers(ctx, nil); err != nil { // sessions that were closed are opened by adding the peers again
		a.failed(err)
	}
	a.advertise(ctx)
	a.handPeers(ctx)
}

// leaveKernel removes what is left of our routes, those of an earlier run too.
func (a *agent) leaveKernel(ctx context.Context) {
	a.held = nil
	if _, err := a.kernel.Prune(ctx); err != nil {
		a.log.WithError(err).Warn("drain: not all routes are gone from the kernel")
	}
	a.converged = true
	a.exempt(ctx)
}

// farewell is what the peers' operators read, 128 bytes at most.
func (a *agent) farewell() string {
	return fmt.Sprintf("underlayd %s: node %s is drained: %s", buildVersion(), a.config.Node.Name, a.drain.order.Reason)
}

func (a *agent) anyEstablished() bool {
	for _, s := range a.speaker.Sessions() {
		if s.Established {
			return true
		}
	}
	return false
}

// drainProblems says why nothing is advertised.
func (a *agent) drainProblems() []status.Problem {
	words := map[stage]string{
		leaving: "its prefixes are advertised as about to go", withdrawn: "its prefixes are withdrawn",
		closing: "its sessions are being closed", drained: "it has no sessions and no routes; underlayd drain --cancel brings it back",
	}
	if a.drain.stage == staying {
		return nil
	}
	return []status.Problem{{Severity: status.Warning, Subject: "drain", Since: a.drain.since,
		Message: "this node leaves" + optional(" (", a.drain.order.Reason, ")") + ": " + words[a.drain.stage]}}
}

func optional(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

// stayDrained keeps a node that has left away when its daemon starts again.
func (a *agent) stayDrained(ctx context.Context) {
	if order := readOrder(a.config.Runtime.Directory); order != nil {
		a.log.WithField("reason", order.Reason).Warn("drain: the node has left; it stays so until the order is taken back")
		a.drain = drain{stage: drained, since: a.started, order: *order}
		a.leaveKernel(ctx)
	}
}
