package kubernetes

import (
	"fmt"
	"slices"
	"time"
)

// latencies are times from a write to a Node to the routes that follow from it.
type latencies struct {
	sent      []time.Duration // since the request was sent
	confirmed []time.Duration // since the API had confirmed it
}

func (l latencies) String() string {
	return fmt.Sprintf("p50 %s, p99 %s since the API confirmed it; p50 %s, p99 %s since the request was sent",
		quantile(l.confirmed, 50), quantile(l.confirmed, 99), quantile(l.sent, 50), quantile(l.sent, 99))
}

// values are the figures of it, in milliseconds.
func (l latencies) values() map[string]any {
	values := map[string]any{"tries": len(l.sent)}
	for name, list := range map[string][]time.Duration{"SinceSent": l.sent, "SinceConfirmed": l.confirmed} {
		for _, percent := range []int{50, 90, 99, 100} {
			values[fmt.Sprintf("p%dMilliseconds%s", percent, name)] = quantile(list, percent).Seconds() * 1000
		}
	}
	return values
}

// quantile is the smallest of the values that so many per cent of them do not exceed.
func quantile(values []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	at := (len(sorted)*percent + 99) / 100
	return sorted[max(at, 1)-1].Round(10 * time.Microsecond)
}
