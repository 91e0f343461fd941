package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

// Should a message of a peer ever end the daemon, the routes stay in the kernel, the next run starts, and the same
// message may end that one too. So after a crash peers are let in one after the other: if it happens again, the one that
// was let in last is kept out for a while, longer each time. All others do their work.
const (
	crashMemory     = 10 * time.Minute // for how long a crash makes us careful
	probationStep   = 3 * time.Second  // a peer has to send what does harm, at least
	probationTotal  = 30 * time.Second // for all of them: peers keep our routes for a time only
	quarantineFirst = 10 * time.Minute
	quarantineLast  = 24 * time.Hour
)

const (
	crashFile     = "crash.txt"
	lastCrashFile = "crash-last.txt"
)

// catchCrash has the Go runtime write its last words into the runtime directory, and says whether there are some of the
// last run; they are kept in another file for whoever wants to report them.
func catchCrash(directory string) (crashed bool, err error) {
	path := filepath.Join(directory, crashFile)
	info, err := os.Stat(path)
	if err == nil && info.Size() > 0 {
		crashed = true
		if err := os.Rename(path, filepath.Join(directory, lastCrashFile)); err != nil {
			return crashed, fmt.Errorf("crash report: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return crashed, fmt.Errorf("crash report: %w", err)
	}
	return crashed, errors.Join(debug.SetCrashOutput(f, debug.CrashOptions{}), f.Close())
}

// removeCrash deletes both files.
func removeCrash(directory string) error {
	var errs []error
	for _, name := range []string{crashFile, lastCrashFile} {
		if err := os.Remove(filepath.Join(directory, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// probation lets peers in one after the other.
type probation struct {
	on   bool
	let  int       // how many of those that are not in quarantine
	last time.Time // when the last one was
	over time.Time // when all of them were
}

// beginProbation judges what the last run left, once at the start.
func (a *agent) beginProbation(now time.Time) {
	m := &a.memo
	if m.Running && !a.crashed {
		a.log.Info("the last run was killed")
	}
	if a.crashed {
		m.Crashes = append(m.Crashes, now)
		a.log.WithField("report", filepath.Join(a.config.Runtime.Directory, lastCrashFile)).
			Error("the last run ended by a fault of its own; peers are let in one after the other")
	}
	if a.crashed && m.Trying != "" {
		a.quarantine(m.Trying, now)
	}
	m.Crashes = slices.DeleteFunc(m.Crashes, func(at time.Time) bool { return now.Sub(at) > crashMemory })
	m.Running, m.Trying = true, ""
	a.probation.on = len(m.Crashes) > 0
	a.remember()
}

// quarantine keeps a peer out.
func (a *agent) quarantine(peer string, now time.Time) {
	q := a.memo.Quarantine[peer]
	q.Times++
	q.Until = now.Add(min(quarantineFirst<<min(q.Times-1, 10), quarantineLast))
	if a.memo.Quarantine == nil {
		a.memo.Quarantine = map[string]quarantine{}
	}
	a.memo.Quarantine[peer] = q
	a.log.WithFields(logrus.Fields{"peer": peer, "until": q.Until.Format(time.RFC3339)}).
		Error("peer in quarantine: the daemon crashed again while it was the last one let in")
}

// unquarantined returns the peers that are not kept out.
func (a *agent) unquarantined(peers []bgp.Peer, now time.Time) []bgp.Peer {
	if len(a.memo.Quarantine) == 0 {
		return peers
	}
	return slices.DeleteFunc(slices.Clone(peers), func(p bgp.Peer) bool { return now.Before(a.memo.Quarantine[p.Name].Until) })
}

// admitted returns the peers that are to be let in now.
func (a *agent) admitted(peers []bgp.Peer, now time.Time) []bgp.Peer {
	in := a.unquarantined(peers, now)
	if a.probation.on {
		return in[:min(a.probation.let, len(in))]
	}
	return in
}

// followProbation lets the next peer in when the last one has behaved for a while, and those whose quarantine is over.
func (a *agent) followProbation(ctx context.Context, now time.Time) {
	if !a.peersSet {
		return
	}
	for name, q := range a.memo.Quarantine {
		switch {
		case now.Before(q.Until):
		case !q.Over:
			q.Over = true
			a.memo.Quarantine[name] = q
			a.log.WithField("peer", name).Warn("the peer's quarantine is over")
			a.try(name)
			a.setPeers(ctx)
		case now.Sub(q.Until) > crashMemory:
			delete(a.memo.Quarantine, name) // it has behaved since
			a.try("")
		}
	}
	if a.probation.on {
		a.letNextIn(ctx, now)
	}
}

func (a *agent) letNextIn(ctx context.Context, now time.Time) {
	peers := a.unquarantined(a.speakerPeers(), now)
	step := probationStep
	if len(peers) > 0 {
		step = min(step, probationTotal/time.Duration(len(peers)))
	}
	if now.Sub(a.probation.last) < step {
		return
	}
	a.probation.last = now
	if a.probation.let >= len(peers) {
		a.probation.on, a.probation.over = false, now
		a.try("")
		a.log.Info("all peers are in again")
		return
	}
	next := peers[a.probation.let].Name
	a.log.WithField("peer", next).Info("letting a peer in")
	a.try(next)
	a.probation.let++
	a.setPeers(ctx)
}

// try notes which peer it was if the daemon crashes now. It is on the disk before the peer is let in.
func (a *agent) try(peer string) {
	a.memo.Trying = peer
	a.remember()
}

// crashProblems tells of crashes and of who is kept out for them.
func (a *agent) crashProblems(now time.Time) []status.Problem {
	var out []status.Problem
	if n := len(a.memo.Crashes); n > 0 && now.Sub(a.memo.Crashes[n-1]) < crashMemory {
		out = append(out, status.Problem{Severity: status.Error, Subject: "crash", Since: a.memo.Crashes[n-1], Message: fmt.Sprintf(
			"the daemon ended by a fault of its own, %s within %s; the report is %s",
			times(n), crashMemory, filepath.Join(a.config.Runtime.Directory, lastCrashFile)) + optional("; ", a.probation.state(), ""),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(a.memo.Quarantine)) {
		if q := a.memo.Quarantine[name]; now.Before(q.Until) {
			out = append(out, status.Problem{Severity: status.Error, Subject: "peer " + name, Message: fmt.Sprintf(
				"is in quarantine until %s: the daemon crashed while it was the last peer let in", q.Until.Format(time.DateTime))})
		}
	}
	return out
}

// state says in words that not all peers are in.
func (p probation) state() string {
	if !p.on {
		return ""
	}
	return "peers are being let in one after the other"
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
