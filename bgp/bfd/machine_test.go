package bfd

import (
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bfd"
	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// heard is a packet from a peer that wants 300 ms x 5 and knows us.
func heard(s Status, change ...func(*packet)) packet {
	p := packet{header: header{
		Version: version, State: bfd.StateType(s), DetectTimeMultiplier: 5, MyDiscriminator: 77, YourDiscriminator: 1,
		DesiredMinTxInterval: 300_000, RequiredMinRxInterval: 300_000,
	}}
	for _, f := range change {
		f(&p)
	}
	return p
}

func final(p *packet)           { p.Final = true }
func poll(p *packet)            { p.Poll = true }
func onDemand(p *packet)        { p.demand = true }
func diag(d Diag) func(*packet) { return func(p *packet) { p.Diagnostic = bfd.DiagnosticType(d) } }

func intervals(tx, rx time.Duration) func(*packet) {
	return func(p *packet) {
		p.DesiredMinTxInterval, p.RequiredMinRxInterval = uint32(tx/time.Microsecond), uint32(rx/time.Microsecond)
	}
}

// in brings a session of 50 ms x 3 into a state, as packets and an operator would.
func in(s Status) *machine {
	m := newMachine(1, pace{50 * ms, 3}, func() float64 { return 0.5 })
	m.transmitted(0)
	switch s {
	case AdminDown:
		m.hold(0)
	case Init:
		m.receive(0, heard(Down))
	case Up:
		m.receive(0, heard(Init))
		m.transmitted(0)
		m.receive(0, heard(Up, final))
	}
	m.transmitted(0)
	return &m
}

func TestStatesFollowThePeer(t *testing.T) {
	for _, c := range []struct {
		from, heard, to Status
		why             Diag
	}{
		{Down, AdminDown, Down, NoDiagnostic},
		{Down, Down, Init, NoDiagnostic},
		{Down, Init, Up, NoDiagnostic},
		{Down, Up, Down, NoDiagnostic},
		{Init, AdminDown, Down, NeighborSignaledDown},
		{Init, Down, Init, NoDiagnostic},
		{Init, Init, Up, NoDiagnostic},
		{Init, Up, Up, NoDiagnostic},
		{Up, AdminDown, Down, NeighborSignaledDown},
		{Up, Down, Down, NeighborSignaledDown},
		{Up, Init, Up, NoDiagnostic},
		{Up, Up, Up, NoDiagnostic},
		{AdminDown, AdminDown, AdminDown, AdministrativelyDown},
		{AdminDown, Down, AdminDown, AdministrativelyDown},
		{AdminDown, Init, AdminDown, AdministrativelyDown},
		{AdminDown, Up, AdminDown, AdministrativelyDown},
	} {
		t.Run(c.from.String()+" hears "+c.heard.String(), func(t *testing.T) {
			m := in(c.from)
			require.Equal(t, c.from, m.status)
			require.False(t, m.urgent)
			m.receive(ms, heard(c.heard, diag(4)))
			require.Equal(t, c.to, m.status)
			require.Equal(t, c.why, m.diag)
			require.Equal(t, c.from != c.to, m.urgent, "a change is told at once")
			require.Equal(t, c.heard, m.remoteStatus)
			require.Equal(t, Diag(4), m.remoteDiag)
			require.EqualValues(t, 77, m.header(false).YourDiscriminator)
		})
	}
}

func TestStatesEndWithTheDetectionTime(t *testing.T) {
	for _, c := range []struct {
		from, to Status
		why      Diag
	}{
		{Down, Down, NoDiagnostic},
		{Init, Down, DetectionTimeExpired},
		{Up, Down, DetectionTimeExpired},
		{AdminDown, AdminDown, AdministrativelyDown},
	} {
		t.Run(c.from.String(), func(t *testing.T) {
			m := in(c.from)
			m.remote = 77
			m.silent()
			require.Equal(t, c.to, m.status)
			require.Equal(t, c.why, m.diag)
			require.Zero(t, m.header(false).YourDiscriminator, "whoever comes next may be somebody else")
			require.Zero(t, m.expires)
		})
	}
}

func TestTimersAreNegotiated(t *testing.T) {
	for _, c := range []struct {
		what             string
		status           Status
		remote           func(*packet)
		interval, detect time.Duration
	}{
		{"a slower peer sets the pace both ways", Up, intervals(300*ms, 200*ms), 200 * ms, 1500 * ms},
		{"a faster peer is told to wait", Up, intervals(10*ms, 20*ms), 50 * ms, 250 * ms},
		{"each direction has its own", Up, intervals(500*ms, 10*ms), 50 * ms, 2500 * ms},
		{"a peer that wants nothing gets nothing", Up, intervals(50*ms, 0), 0, 250 * ms},
		{"nobody hurries before the session is up", Init, intervals(10*ms, 10*ms), time.Second, 250 * ms},
		{"demand of a peer that is up is met", Up, onDemand, 0, 1500 * ms},
		{"demand is only for sessions that are up", Init, onDemand, time.Second, 1500 * ms},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := in(c.status)
			status := c.status
			if status == Init {
				status = Down
			}
			m.receive(ms, heard(status, c.remote))
			require.Equal(t, c.status, m.status)
			require.Equal(t, c.interval, m.interval())
			require.Equal(t, c.detect, m.detection())
			require.Equal(t, ms+c.detect, m.expires)
			if c.interval == 0 {
				require.Equal(t, never, m.due(ms))
			}
		})
	}
}

func TestASessionThatComesUpPollsForItsPace(t *testing.T) {
	m := in(Init)
	require.EqualValues(t, slowest, m.header(false).DesiredMinTxInterval)
	m.receive(ms, heard(Init, intervals(50*ms, 50*ms)))
	require.True(t, m.header(false).Poll)
	require.EqualValues(t, 50_000, m.header(false).DesiredMinTxInterval)
	require.Equal(t, 50*ms, m.interval(), "less may be used at once")
	require.False(t, m.header(true).Poll, "an answer is no poll")
	m.receive(2*ms, heard(Up))
	require.True(t, m.header(false).Poll, "until it is answered")
	m.receive(3*ms, heard(Up, final))
	require.False(t, m.header(false).Poll)
	m.receive(4*ms, heard(Down))
	require.EqualValues(t, slowest, m.header(false).DesiredMinTxInterval, "and it slows down with the session")
	require.False(t, m.header(false).Poll)
	require.True(t, m.receive(5*ms, heard(Down, poll)), "a poll is answered in every state")
	require.False(t, in(AdminDown).receive(ms, heard(Up, poll)), "but this one")
}

func TestChangedTimersWaitForThePollWhereTheyMust(t *testing.T) {
	fast := intervals(10*ms, 10*ms)
	for _, c := range []struct {
		what                string
		interval            time.Duration
		duringTx, duringDet time.Duration
	}{
		{"slower: packets keep their pace, missing ones count slower at once", 200 * ms, 50 * ms, 1000 * ms},
		{"faster: packets come faster at once, missing ones count as before", 20 * ms, 20 * ms, 250 * ms},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := in(Up)
			m.receive(ms, heard(Up, fast))
			m.setPace(pace{c.interval, 3})
			require.True(t, m.urgent)
			h := m.header(false)
			require.True(t, h.Poll)
			require.EqualValues(t, c.interval/time.Microsecond, h.DesiredMinTxInterval)
			require.EqualValues(t, c.interval/time.Microsecond, h.RequiredMinRxInterval)
			require.Equal(t, c.duringTx, m.interval())
			require.Equal(t, c.duringDet, m.detection())

			m.setPace(pace{70 * ms, 4})
			h = m.header(false)
			require.EqualValues(t, c.interval/time.Microsecond, h.DesiredMinTxInterval, "one poll sequence at a time")
			require.EqualValues(t, 4, h.DetectTimeMultiplier, "the multiplier needs none")

			m.receive(2*ms, heard(Up, final, fast))
			require.True(t, m.header(false).Poll, "the next one")
			require.EqualValues(t, 70_000, m.header(false).DesiredMinTxInterval)
			m.receive(3*ms, heard(Up, final, fast))
			require.False(t, m.header(false).Poll)
			require.Equal(t, 70*ms, m.interval())
			require.Equal(t, 350*ms, m.detection())
			require.Equal(t, Up, m.status)
		})
	}
	t.Run("the same again is no change", func(t *testing.T) {
		m := in(Up)
		m.setPace(m.want)
		require.False(t, m.polling || m.urgent)
	})
	t.Run("a peer that wants more gets it at once", func(t *testing.T) {
		m := in(Up)
		require.Greater(t, m.due(ms), 200*ms)
		m.receive(ms, heard(Up, fast))
		require.Less(t, m.due(ms), 50*ms)
	})
}

func TestPacketsComeWithinTheirJitter(t *testing.T) {
	for _, c := range []struct {
		what        string
		multiplier  uint8
		least, most time.Duration
	}{
		{"75 to 100 %", 3, 75 * ms, 100 * ms},
		{"75 to 90 % when a single one counts", 1, 75 * ms, 90 * ms},
	} {
		t.Run(c.what, func(t *testing.T) {
			for i := range 101 {
				m := in(Up)
				m.random = func() float64 { return float64(i) / 100 }
				m.setPace(pace{100 * ms, c.multiplier})
				m.receive(0, heard(Up, final, intervals(50*ms, 50*ms)))
				m.transmitted(time.Second)
				wait := m.due(time.Second) - time.Second
				require.GreaterOrEqual(t, wait, c.least)
				require.LessOrEqual(t, wait, c.most)
			}
		})
	}
}

func TestAHeldSessionTellsThePeerForADetectionTime(t *testing.T) {
	m := in(Up)
	m.receive(0, heard(Up, intervals(50*ms, 50*ms)))
	m.hold(10 * ms)
	require.Equal(t, 260*ms, m.farewell, "the longer of both detection times")
	var sent []instant
	now := 10 * ms
	for ; now < m.farewell; now = m.due(now) {
		h := m.header(false)
		require.Equal(t, bfd.StateAdminDown, h.State)
		require.Equal(t, bfd.DiagnosticAdministrativelyDown, h.Diagnostic)
		require.EqualValues(t, slowest, h.DesiredMinTxInterval)
		m.transmitted(now)
		sent = append(sent, now)
	}
	require.GreaterOrEqual(t, len(sent), 5, "one that is lost is not all there was")
	m.transmitted(now)
	require.Greater(t, m.due(now)-now, 700*ms, "slowly from then on")
	m.hold(now)
	require.Equal(t, 260*ms, m.farewell, "it is told once")
	m.release()
	require.Equal(t, Down, m.status)

	m = in(Init)
	m.hold(5 * ms)
	require.Equal(t, 5*ms, m.farewell, "nobody misses a session that was not up")
	require.True(t, m.urgent)
}

func TestALateLookIsNotHeldAgainstThePeer(t *testing.T) {
	m := in(Up)
	m.receive(0, heard(Up, intervals(50*ms, 50*ms)))
	require.Equal(t, 250*ms, m.expires)
	require.True(t, m.spare(280*ms, 30*ms))
	require.Equal(t, 310*ms, m.expires)
	require.False(t, m.spare(320*ms, 10*ms), "once")
	m.receive(300*ms, heard(Up, intervals(50*ms, 50*ms)))
	require.True(t, m.spare(time.Second, 500*ms))
	require.Equal(t, 1050*ms, m.expires, "by one packet's time at most")
}
