package bfd

import (
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bfd"
)

// instant is the time since the monitor was made, on the monotonic clock. Zero means never.
type instant = time.Duration

// never is later than everything.
const never = instant(1<<63 - 1)

// Jitter of the transmit interval (RFC 5880, section 6.8.7): a packet is sent after 75 to 100 % of it, or to 90 % if the
// peer would declare the session down after a single missing packet. A little is kept for waking up late.
const (
	jitterLeast  = 0.75
	jitterMost   = 0.99
	jitterSingle = 0.89
)

// pace is what an operator chooses of a session.
type pace struct {
	interval   time.Duration
	multiplier uint8
}

// machine is the state of one session (RFC 5880, section 6.8.1) and the rules that change it. It does no I/O and has no
// clock: it is told what arrived and what time it is, and says what to send and when to be asked again.
type machine struct {
	want   pace
	random func() float64 // 0..1

	status       Status
	diag         Diag
	local        uint32 // our discriminator, never 0
	desiredTx    time.Duration
	requiredRx   time.Duration
	usedTx       time.Duration // desiredTx, or the earlier one until a poll sequence ends
	usedRx       time.Duration // requiredRx, likewise
	polling      bool
	heard        instant // the last packet
	sent         instant // the last periodic packet
	part         float64 // of the transmit interval, to wait since then
	expires      instant // the end of the detection time; 0: nobody is there to be missed
	spared       bool    // the detection time was prolonged since the last packet
	urgent       bool    // something that the peer should hear at once
	farewell     instant // until then AdminDown is told at the pace of farewellPace
	farewellPace time.Duration

	remote            uint32 // 0: unknown
	remoteStatus      Status
	remoteDiag        Diag
	remoteMultiplier  uint8
	remoteTx          time.Duration
	remoteRx          time.Duration
	remoteDemand      bool
	remoteIndependent bool
}

// newMachine is a session that is Down and has heard of nobody.
func newMachine(local uint32, want pace, random func() float64) machine {
	m := machine{local: local, want: want, random: random, status: Down, remoteStatus: Down, remoteRx: time.Microsecond}
	m.adjust()
	return m
}

// setPace changes the timers: at once while the session is not up, by a poll sequence while it is. The multiplier needs
// none: it counts from the next packet on.
func (m *machine) setPace(want pace) {
	m.urgent = m.urgent || want.multiplier != m.want.multiplier
	m.want = want
	m.adjust()
}

// adjust brings the timers to where they are wanted (RFC 5880, section 6.8.3). Poll sequences run one at a time: the end
// of one calls it again.
func (m *machine) adjust() {
	if m.polling {
		return
	}
	tx, rx := m.want.interval, m.want.interval
	if m.status != Up {
		tx = max(tx, slowest*time.Microsecond)
	}
	if tx == m.desiredTx && rx == m.requiredRx {
		return
	}
	m.desiredTx, m.requiredRx, m.urgent = tx, rx, true
	if m.status != Up {
		m.usedTx, m.usedRx = tx, rx
		return
	}
	// The peer must have heard of it before it gets fewer packets, and before it is expected to send more.
	m.usedTx, m.usedRx = min(m.usedTx, tx), max(m.usedRx, rx)
	m.polling = true
}

// polled ends a poll sequence.
func (m *machine) polled() {
	m.polling = false
	m.usedTx, m.usedRx = m.desiredTx, m.requiredRx
	m.adjust()
}

// become enters a state.
func (m *machine) become(s Status, why Diag) {
	if s == m.status {
		return
	}
	m.status, m.diag, m.urgent = s, why, true
	if m.polling {
		m.polled() // a poll sequence is of a session that is up
		return
	}
	m.adjust()
}

// receive takes a packet that passed all checks, at the time it arrived, and says whether it must be answered at once:
// with the Final bit (RFC 5880, section 6.8.6).
func (m *machine) receive(at instant, p packet) (answer bool) {
	m.remote, m.remoteStatus, m.remoteDiag = p.MyDiscriminator, Status(p.State), Diag(p.Diagnostic)
	m.remoteDemand, m.remoteIndependent = p.demand, p.independent
	m.remoteMultiplier = p.DetectTimeMultiplier
	m.remoteTx = time.Duration(p.DesiredMinTxInterval) * time.Microsecond
	m.remoteRx = time.Duration(p.RequiredMinRxInterval) * time.Microsecond
	if p.Final && m.polling {
		m.polled()
	}
	m.heard, m.spared = at, false
	if m.status != AdminDown {
		m.follow(m.remoteStatus)
	}
	m.expires = at + m.detection()
	return p.Poll && m.status != AdminDown
}

// follow is the state machine (RFC 5880, section 6.2).
func (m *machine) follow(remote Status) {
	switch {
	case remote == AdminDown:
		if m.status != Down {
			m.become(Down, NeighborSignaledDown)
		}
	case m.status == Down && remote == Down:
		m.become(Init, m.diag)
	case m.status == Down && remote == Init, m.status == Init && remote >= Init:
		m.become(Up, NoDiagnostic)
	case m.status == Up && remote == Down:
		m.become(Down, NeighborSignaledDown)
	}
}

// detection is the time after which silence means that the peer is gone (RFC 5880, section 6.8.4).
func (m *machine) detection() time.Duration {
	return time.Duration(m.remoteMultiplier) * max(m.usedRx, m.remoteTx)
}

// silent takes the end of the detection time.
func (m *machine) silent() {
	m.expires = 0
	// Whoever comes next may be somebody else: nothing of this one binds us to it.
	m.remote, m.remoteRx, m.remoteDemand = 0, time.Microsecond, false
	if m.status == Init || m.status == Up {
		m.become(Down, DetectionTimeExpired)
	}
}

// spare prolongs the detection time once, because we were that late ourselves since the last packet: what the peer sent
// meanwhile may still be on its way through a machine that was as busy as we were. One packet's time is enough.
func (m *machine) spare(now instant, late time.Duration) (ok bool) {
	if m.spared {
		return false
	}
	m.spared = true
	m.expires = now + min(late, m.detection()/time.Duration(m.remoteMultiplier))
	return true
}

// hold takes the session administratively down, and tells so often and long enough that the peer does not take it for a
// failure: RFC 5880, section 6.8.16, wants a detection time. The packets come at the pace that was agreed before, for one
// that is lost must not be all that the peer gets within its detection time.
func (m *machine) hold(now instant) {
	if m.status == AdminDown {
		return
	}
	m.farewell = now
	if m.status == Up {
		m.farewellPace = m.interval()
		m.farewell += max(m.detection(), time.Duration(m.want.multiplier)*max(m.desiredTx, m.farewellPace))
	}
	m.become(AdminDown, AdministrativelyDown)
}

// release ends hold.
func (m *machine) release() {
	if m.status == AdminDown {
		m.farewell = 0
		m.become(Down, NoDiagnostic)
	}
}

// interval is the agreed time between two packets, before jitter; 0 means that the peer wants none.
func (m *machine) interval() time.Duration {
	if m.remoteRx == 0 || m.remoteDemand && m.status == Up && m.remoteStatus == Up && !m.polling {
		return 0
	}
	return max(m.usedTx, m.remoteRx)
}

// due is when a packet is to be sent. What the peer should hear at once goes out at once; a shorter interval counts from
// the last packet on (RFC 5880, sections 6.8.3 and 6.8.7).
func (m *machine) due(now instant) instant {
	if m.urgent {
		return now
	}
	interval := m.interval()
	if interval == 0 {
		return never
	}
	if m.farewell > now {
		interval = min(interval, m.farewellPace)
	}
	return m.sent + time.Duration(m.part*float64(interval))
}

// transmitted notes that a periodic packet was sent.
func (m *machine) transmitted(now instant) {
	most := jitterMost
	if m.want.multiplier == 1 {
		most = jitterSingle
	}
	m.sent, m.urgent, m.part = now, false, jitterLeast+m.random()*(most-jitterLeast)
}

// header is the packet to send (RFC 5880, section 6.8.7). An answer is never a poll.
func (m *machine) header(final bool) header {
	return header{
		Version:               version,
		Diagnostic:            bfd.DiagnosticType(m.diag),
		State:                 bfd.StateType(m.status),
		Poll:                  m.polling && !final,
		Final:                 final,
		DetectTimeMultiplier:  m.want.multiplier,
		MyDiscriminator:       m.local,
		YourDiscriminator:     m.remote,
		DesiredMinTxInterval:  uint32(m.desiredTx / time.Microsecond),
		RequiredMinRxInterval: uint32(m.requiredRx / time.Microsecond),
	}
}
