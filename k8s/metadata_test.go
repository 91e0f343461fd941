package k8s

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWhichLabelsAreBelieved applies readings a number of seconds after the start, of the Node with a number, as it was made
// the first time, the second one and so on; those with ! are past every cache. Labels are written as letters; - is none.
func TestWhichLabelsAreBelieved(t *testing.T) {
	const after = 30 * time.Second
	for _, row := range []struct {
		name, had, readings, want string
		due                       time.Duration // when the next reading is to be; 0: there is none
	}{
		{"those of an earlier run are there until the API says them", "ab", "", "ab", 0},
		{"and no longer", "ab", "0:1a", "a", 0},
		{"to have none is known", "", "0:1-", "", 0},
		{"what is set is believed at once", "", "0:1a 1:1ab", "ab", 0},
		{"so is what is taken away", "", "0:1ab 1:1b", "b", 0},
		{"a Node made again has at first what it had", "", "0:1ab 5:2-", "ab", 35 * time.Second},
		{"and what it is given", "", "0:1ab 5:2- 6:2c", "abc", 35 * time.Second},
		{"however often that is seen", "", "0:1ab 5:2- 40:2-", "ab", 35 * time.Second},
		{"not by a reading too soon", "", "0:1ab 5:2- 34!:2-", "ab", 35 * time.Second},
		{"until it is confirmed", "", "0:1ab 5:2a 35!:2a", "a", 0},
		{"what is back is certain", "", "0:1ab 5:2a 6:2ab", "ab", 0},
		{"and may then be taken away", "", "0:1ab 5:2a 6:2ab 7:2a", "a", 0},
		{"one that has all of it needs no confirmation", "", "0:1a 5:2ab", "ab", 0},
		{"one made a third time waits no longer", "", "0:1ab 5:2a 20:3- 35!:3-", "", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			start := time.Now()
			var l metadataBelief
			if row.had != "" {
				l.all = labelsOf(row.had)
			}
			for _, text := range strings.Fields(row.readings) {
				at, what, _ := strings.Cut(text, ":")
				var confirmed time.Duration
				if strings.HasSuffix(at, "!") {
					confirmed = after
				}
				passed, err := time.ParseDuration(strings.TrimSuffix(at, "!") + "s")
				require.NoError(t, err)
				before := slices.Collect(maps.Keys(l.all))
				changed := l.take(what[:1], labelsOf(what[1:]), start.Add(passed), confirmed)
				if passed > 0 {
					require.Equal(t, len(before) != len(l.all), changed, text)
				}
			}
			require.Equal(t, row.want, strings.Join(slices.Sorted(maps.Keys(l.all)), ""))
			if due := l.due(after); row.due == 0 {
				require.Zero(t, due)
			} else {
				require.Equal(t, start.Add(row.due), due)
			}
			require.Equal(t, row.readings != "", l.shown)
		})
	}
}

func labelsOf(letters string) map[string]string {
	all := map[string]string{}
	for _, letter := range strings.Trim(letters, "-") {
		all[string(letter)] = ""
	}
	return all
}
