package k8s

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"
)

// down is a peer without a session, which may be back and was lost so many times.
func down(over bool, count uint64) Incident {
	return Incident{
		Reason: "PeerDown", Subject: "peer tor", Message: "the session with tor is down", Over: over, Count: count,
		End: "PeerUp", EndMessage: "the session with tor is up",
	}
}

// book is a ledger and what was told out of it.
type book struct {
	ledger
	now   time.Time
	names int
}

func newBook() *book {
	return &book{ledger: ledger{pause: 5 * time.Minute, series: map[incidentKey]*series{}}, now: mustTime("2026-01-01T00:00:00Z")}
}

// after lets time pass, and returns what is told of a list then: an Event, or that it
// is part of a series by now so long.
func (b *book) after(pause time.Duration, list ...Incident) string {
	b.now = b.now.Add(pause)
	b.observe(list, b.now)
	var told []string
	for {
		key, s, _ := b.next(b.now)
		if s == nil {
			return strings.Join(told, ", ")
		}
		name := s.event
		if name == "" {
			b.names++
			name = fmt.Sprint(b.names)
		}
		s.wrote(name, b.now)
		told = append(told, fmt.Sprintf("%s #%s x%d", key.reason, name, s.total))
	}
}

func TestWhatIsToldOfIncidents(t *testing.T) {
	type step struct {
		pause time.Duration
		list  []Incident
		told  string
	}
	up, gone := []Incident{down(true, 0)}, []Incident{down(false, 1)}
	for _, row := range []struct {
		name  string
		steps []step
	}{
		{"a peer that was never down is not told of", []step{{0, up, ""}, {time.Hour, up, ""}}},
		{"a peer that is lost and back", []step{
			{0, up, ""}, {0, gone, "PeerDown #1 x1"}, {time.Minute, gone, ""}, {time.Minute, []Incident{down(true, 1)}, "PeerUp #2 x1"},
		}},
		{"a peer that is lost and back between two reports", []step{{0, up, ""}, {0, []Incident{down(true, 3)}, "PeerDown #1 x3, PeerUp #2 x1"}}},
		{"what goes on is told once", []step{{0, gone, "PeerDown #1 x1"}, {time.Hour, gone, ""}, {24 * time.Hour, gone, ""}}},
		{"a peer that flaps is one series each way", []step{
			{0, gone, "PeerDown #1 x1"}, {time.Second, []Incident{down(true, 1)}, "PeerUp #2 x1"},
			{time.Second, []Incident{down(false, 2)}, ""}, {time.Second, []Incident{down(true, 2)}, ""},
			{time.Second, []Incident{down(true, 90)}, ""},
			{5 * time.Minute, []Incident{down(true, 90)}, "PeerDown #1 x90, PeerUp #2 x3"},
		}},
		{"after half an hour of peace it is a new Event", []step{
			{0, gone, "PeerDown #1 x1"}, {0, []Incident{down(true, 1)}, "PeerUp #2 x1"},
			{31 * time.Minute, []Incident{down(true, 1)}, ""}, {0, []Incident{down(false, 2)}, "PeerDown #3 x1"},
		}},
		{"a peer that is no longer configured is not told to be up", []step{{0, gone, "PeerDown #1 x1"}, {0, nil, ""}, {time.Hour, nil, ""}}},
		{"counts that begin again, as of a peer made anew, are no news", []step{
			{0, []Incident{down(true, 9)}, "PeerDown #1 x9, PeerUp #2 x1"}, {10 * time.Minute, up, ""}, {0, []Incident{down(true, 1)}, "PeerDown #1 x10, PeerUp #2 x2"},
		}},
		{"a flood of one kind", []step{
			{0, []Incident{{Reason: "PrefixRefused", Subject: "peer tor NoContract", Over: true, Count: 100000}}, "PrefixRefused #1 x100000"},
			{time.Second, []Incident{{Reason: "PrefixRefused", Subject: "peer tor NoContract", Over: true, Count: 200000}}, ""},
			{5 * time.Minute, []Incident{{Reason: "PrefixRefused", Subject: "peer tor NoContract", Over: true, Count: 300000}}, "PrefixRefused #1 x300000"},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBook()
			for i, s := range row.steps {
				require.Equal(t, s.told, b.after(s.pause, s.list...), "step %d", i)
			}
		})
	}
}

func TestWhatIsRememberedOfIncidentsIsBounded(t *testing.T) {
	b := newBook()
	var list []Incident
	for i := range 5000 {
		list = append(list, Incident{Reason: "PeerDown", Subject: fmt.Sprint("peer ", i), End: "PeerUp"})
	}
	b.observe(list, b.now)
	require.Len(t, b.series, maxSeries)
	require.EqualValues(t, 5000-maxSeries, b.dropped)
	b.drop()
	require.EqualValues(t, 5000, b.dropped)
	b.observe(nil, b.now.Add(seriesLife+time.Second))
	require.Empty(t, b.series, "what nobody reports any more is forgotten")
}

func TestNamesOfEvents(t *testing.T) {
	for _, node := range []string{"n", strings.Repeat("a", 253), strings.Repeat("a.", 126) + "a"} {
		require.Empty(t, validation.IsDNS1123Subdomain(eventName(node, time.Now())))
	}
}
