package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus"
)

// The rhythms of tending. While peers send it is done often, so that one that sends too much is stopped before it has
// filled the memory; while they don't, a look in a while is enough for what makes no noise.
const (
	tendBusy  = 50 * time.Millisecond
	tendIdle  = time.Second
	tendQuiet = time.Second // nothing received for that long is idle

	// mendLimit is how long the next session waits for the one before to come back.
	mendLimit = 10 * time.Second
)

// tender looks after what GoBGP does not: peers that send too much or read nothing, and sessions that a clock which
// was set back made deaf. Everything it holds belongs to the goroutine of tend.
type tender struct {
	*Speaker
	clock   *clock
	wards   map[netip.Addr]*ward
	noisy   time.Time // when something was received last
	mending netip.Addr
	since   time.Time // of mending

	contests contests
}

// ward is a session as the tender knows it.
type ward struct {
	live
	socket
	uptime  int64     // the second in which it came up, as GoBGP has it
	read    bool      // what GoBGP knows of it has been read
	counted int       // prefixes, of the family with most of them
	at      uint64    // bytes that surely were worked off then
	seen    uint64    // bytes received at the last look
	again   bool      // there is more to look at when it rests
	last    time.Time // when it was counted
	next    time.Time // not to be counted before
	deaf    bool
}

// live is an established session as the table knows it.
type live struct {
	name  string
	ends  ends
	peer  netip.Addr // with its link
	up    time.Time
	hold  time.Duration
	limit int
	key   Secret
}

// tend runs until ctx is cancelled.
func (s *Speaker) tend(ctx context.Context) {
	t := &tender{Speaker: s, clock: newClock(s.cfg.WallClock), wards: map[netip.Addr]*ward{}}
	t.contests.of = map[netip.Addr]*contender{}
	timer := time.NewTimer(tendIdle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.table.awoken:
			t.noisy = time.Now()
		case <-timer.C:
		}
		t.look(ctx)
		if time.Since(t.noisy) < tendQuiet {
			timer.Reset(tendBusy)
		} else {
			s.table.sleep()
			timer.Reset(tendIdle)
		}
	}
}

// look is one round.
func (t *tender) look(ctx context.Context) {
	t.meet(ctx)
	t.followExtended(ctx)
	back, earliest := t.clock.look()
	if back > 0 {
		t.log.WithField("by", back.Round(time.Millisecond)).Warn("the wall clock was set back")
	}
	for _, w := range t.wards {
		if w.read && !w.deaf && earliest < w.uptime {
			w.deaf = true
			t.table.trouble(w.peer, troubleClock, "the wall clock was set back behind the time the session came up: "+
				"what the peer sends is ignored until the session has been reset")
		}
		t.weigh(ctx, w)
	}
	t.mend()
	t.unstick()
	t.contend(ctx, time.Now())
	t.unpark(ctx)
}

// meet finds the connections of sessions that have come up.
func (t *tender) meet(ctx context.Context) {
	lives := t.table.live()
	present := make(map[netip.Addr]bool, len(lives))
	var found map[ends]socket
	for _, l := range lives {
		present[l.peer] = true
		if w := t.wards[l.peer]; w != nil && w.up.Equal(l.up) {
			w.live = l
			continue
		}
		delete(t.wards, l.peer)
		if found == nil {
			var err error
			if found, err = connections(); err != nil {
				t.log.WithError(err).Warn("can't find the connections of the sessions")
				return
			}
		}
		if connection, ok := found[l.ends]; ok {
			w := &ward{live: l, socket: connection}
			t.wards[l.peer] = w
			t.greet(ctx, w)
		}
	}
	for address := range t.wards {
		if !present[address] {
			delete(t.wards, address)
		}
	}
}

// greet sets up what a session that has come up needs.
func (t *tender) greet(ctx context.Context, w *ward) {
	if !w.key.IsZero() {
		if err := w.secure(w.peer, w.key); err != nil {
			t.log.WithFields(logrus.Fields{"peer": w.name, "address": w.peer}).WithError(err).
				Error("session reset: its connection does not take the password")
			_ = w.breakOff()
			return
		}
	}
	c, timers, err := t.inspect(ctx, w.peer)
	if err != nil || timers == nil {
		delete(t.wards, w.peer) // tried again
		return
	}
	w.read, w.uptime = true, timers.GetUptime().GetSeconds()
	w.counted, _ = c.most()
	hold := w.hold
	if negotiated := time.Duration(timers.GetNegotiatedHoldTime()) * time.Second; negotiated > 0 {
		hold = negotiated
	} else {
		t.table.trouble(w.peer, troubleHold, "the peer wants a hold time of 0, no keepalives at all (RFC 4271, section 4.2): "+
			"whether it is alive is known of its TCP only")
		err = w.probe(hold)
	}
	if err := errors.Join(err, w.limitSending(hold)); err != nil {
		t.log.WithFields(logrus.Fields{"peer": w.name, "address": w.peer}).WithError(err).
			Warn("no limit on how long the peer may read nothing")
	}
}

// could is how many prefixes a peer may have sent at most.
func (w *ward) could(bytes uint64) int {
	return w.counted + shortPrefixes + int(bytes-w.at)/prefixBytes
}

// noise says whether what came since the last look is more than keepalives: of fifty peers there always comes one, and
// nothing else grows by them.
func noise(bytes uint64) bool { return bytes > 2*gobgp.BGP_HEADER_LENGTH }

// weigh estimates how many prefixes a peer may have sent, and counts them if these could be many. Counting takes a walk
// over all of them: while they still come it waits until there could be twice as many as there may be.
func (t *tender) weigh(ctx context.Context, w *ward) {
	bytes, unread, ok := w.received()
	grows := bytes != w.seen
	if !ok || w.limit == 0 || !grows && !w.again {
		return
	}
	now := time.Now()
	if noise(bytes - w.seen) {
		t.noisy = now
	}
	w.seen = bytes
	could := w.could(bytes)
	near := could*100 >= w.limit*nearLimit
	if !near || grows && could < 2*w.limit && now.Sub(w.last) < countPatience || now.Before(w.next) {
		w.again = grows || near
		return
	}
	c, _, err := t.inspect(ctx, w.peer)
	if err != nil {
		return
	}
	w.last, w.next = now, time.Now().Add(countDuty*time.Since(now))
	w.at, w.again = bytes-unread, grows || unread > 0
	if grows {
		w.at -= min(w.at, gobgp.BGP_MAX_EXTENDED_MESSAGE_LENGTH) // it may be working on one of these
	}
	count, family := c.most()
	w.counted = count
	switch near := fmt.Sprintf("%d %s prefixes, at most %d may be sent", count, family, w.limit); {
	case count > w.limit:
		t.park(ctx, w.peer, count, family)
	case count*100 >= w.limit*nearLimit:
		if t.table.trouble(w.peer, troubleLimit, near) {
			t.log.WithFields(logrus.Fields{"peer": w.name, "address": w.peer, "reason": near}).Warn("peer comes near its limit")
		}
	default:
		t.table.trouble(w.peer, troubleLimit, "")
	}
}

// mend gives deaf sessions new connections, one after the other. Nothing is lost where both sides agreed to graceful
// restart; where they did not, the routes of other peers stand in.
func (t *tender) mend() {
	if w := t.wards[t.mending]; t.mending.IsValid() && (w == nil || w.deaf) && time.Since(t.since) < mendLimit {
		return // it is not back
	}
	t.mending = netip.Addr{}
	for _, w := range t.wards {
		if !w.deaf {
			continue
		}
		log := t.log.WithFields(logrus.Fields{"peer": w.name, "address": w.peer})
		if err := w.breakOff(); err != nil {
			log.WithError(err).Debug("connection is gone already")
			continue
		}
		log.Warn("session reset: the wall clock was set back, and what the peer sends would be ignored")
		t.mending, t.since = w.peer, time.Now()
		return
	}
}
