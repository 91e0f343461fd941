package k8s

import (
	"math"
	"strings"
	"time"
)

// Incident is one thing that an Event on the Node is to tell: that it is so, that it
// happened again, that it is over. A Report lists them all, also those that are over
// and may come back; what is new in that is found here.
type Incident struct {
	// Reason and Subject say which one it is: a CamelCase word, and what it is about
	// ("peer tor-a"). An Event bears the Reason.
	Reason, Subject string
	// Message is one sentence without times and without counters that tick. The one of
	// the first time stays for as long as a series of Events lasts.
	Message string
	// Normal makes the Event one that needs no attention.
	Normal bool
	// Over says that it is not so at present.
	Over bool
	// Count is how often it happened since the daemon started, zero where nobody counts:
	// so what came and went between two Reports is told too.
	Count uint64
	// End and EndMessage are an Event of its own when it is over; empty: none.
	End, EndMessage string
}

const (
	// maxSeries bounds what is remembered, in incidents.
	maxSeries = 1024
	// seriesLife is how long after the last time an incident begins a new series.
	// Kubernetes keeps Events for an hour by default.
	seriesLife = 30 * time.Minute
)

type incidentKey struct{ reason, subject string }

// series is one incident, and the Events that tell of it.
type series struct {
	note   string
	normal bool

	open     bool   // it was so by the last report
	seen     uint64 // Incident.Count of the last report
	listed   uint64 // the last round in which a report had it
	observed time.Time
	untold   uint64 // how often it happened that no Event tells yet
	turn     uint64 // the order of what is untold

	event string // the name of the Event; empty: none yet
	total uint64 // how often it happened by that Event
	told  time.Time
}

// ledger finds out of whole lists of incidents what is to be told, when, and what of
// it is one series. It is a value with no clock of its own; the recorder's goroutine
// owns it.
type ledger struct {
	pause   time.Duration // between two writes of one series
	series  map[incidentKey]*series
	round   uint64
	turns   uint64
	dropped uint64 // what will never be told
}

// observe takes the list of a report.
func (l *ledger) observe(list []Incident, now time.Time) {
	l.round++
	for i := range list {
		l.take(&list[i], now)
	}
	for key, s := range l.series {
		if s.listed == l.round {
			continue
		}
		if s.open = false; s.untold == 0 && now.Sub(s.observed) > seriesLife {
			delete(l.series, key)
		}
	}
}

// take notes what is new in an incident.
func (l *ledger) take(incident *Incident, now time.Time) {
	key := incidentKey{incident.Reason, incident.Subject}
	s := l.series[key]
	if s == nil {
		if incident.Over && incident.Count == 0 {
			return
		}
		if s = l.add(key); s == nil {
			return
		}
	}
	var times uint64
	if !incident.Over && !s.open {
		times = 1
	}
	if incident.Count > s.seen {
		times = max(times, incident.Count-s.seen)
	}
	ended := incident.Over && (s.open || times > 0)
	s.listed, s.seen, s.open = l.round, incident.Count, !incident.Over
	l.happened(s, times, now, incident)
	if !ended || incident.End == "" {
		return
	}
	if end := l.add(incidentKey{incident.End, incident.Subject}); end != nil {
		l.happened(end, 1, now, &Incident{Message: incident.EndMessage, Normal: true})
	}
}

// add returns the series of a key, nil when there are too many.
func (l *ledger) add(key incidentKey) *series {
	s := l.series[key]
	if s == nil && len(l.series) < maxSeries {
		s = &series{}
		l.series[key] = s
	}
	if s == nil {
		l.dropped++
	}
	return s
}

// happened notes that something happened so many times.
func (l *ledger) happened(s *series, times uint64, now time.Time, incident *Incident) {
	if times == 0 {
		return
	}
	if s.untold == 0 {
		l.turns++
		s.turn = l.turns
	}
	if now.Sub(s.observed) > seriesLife {
		s.event = ""
	}
	if s.event == "" {
		s.note, s.normal = oneLine(incident.Message), incident.Normal
	}
	s.untold, s.observed = s.untold+times, now
}

// next returns what is to be told first, or nothing and for how long that stays so.
func (l *ledger) next(now time.Time) (incidentKey, *series, time.Duration) {
	var first incidentKey
	var found *series
	wait := idle
	for key, s := range l.series {
		if s.untold == 0 {
			continue
		}
		if due := s.told.Add(l.pause); s.event != "" && due.After(now) {
			wait = min(wait, due.Sub(now))
			continue
		}
		if found == nil || s.turn < found.turn {
			first, found = key, s
		}
	}
	return first, found, wait
}

// wrote notes that the Event of this name tells all there is to tell.
func (s *series) wrote(event string, now time.Time) {
	if s.event != event {
		s.total = 0
	}
	s.event, s.total, s.untold, s.told = event, s.total+s.untold, 0, now
}

// anew has each series begin with an Event of its own: the Node is another one.
func (l *ledger) anew() {
	for _, s := range l.series {
		s.event = ""
	}
}

// drop gives up all that is untold.
func (l *ledger) drop() {
	for _, s := range l.series {
		l.dropped += s.untold
		s.untold = 0
	}
}

// seriesCount is a number as the API has it.
func seriesCount(n uint64) int32 { return int32(min(n, math.MaxInt32)) }

// eventName returns a name for an Event about a node, unique as client-go makes it.
func eventName(node string, now time.Time) string {
	const digits = 16
	node = strings.TrimRight(node[:min(len(node), 253-1-digits)], "-.")
	return node + "." + hexadecimal(now.UnixNano())
}
