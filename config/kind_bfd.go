package config

import (
	"fmt"
	"strings"
	"time"
)

// bfdInterval is what BFD can keep, in whole milliseconds, or 0s.
func bfdInterval() kind[time.Duration] {
	const lowest, highest = 10 * time.Millisecond, time.Minute
	k := seconds(0, highest, "")
	k.want = "a duration with its unit, such as 300ms"
	k.parse = func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil || strings.HasPrefix(text, "+"):
			return 0, broken("must be a duration with its unit, such as 300ms")
		case d != 0 && (d < lowest || d > highest):
			return 0, broken("must be 10ms to 60s, or 0s for none")
		case d%time.Millisecond != 0:
			return 0, broken("must be whole milliseconds")
		}
		return d, nil
	}
	k.format = func(d time.Duration) string {
		if d%time.Second == 0 {
			return inSeconds(d)
		}
		return fmt.Sprintf("%dms", d/time.Millisecond)
	}
	return k
}
