package k8s

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// TestWhatIsBelieved applies readings a number of seconds after the start; those with ! are past every cache. The CIDRs
// are written as letters, sorted; - is a Node without any, x an odd entry.
func TestWhatIsBelieved(t *testing.T) {
	const after = 30 * time.Second
	for _, row := range []struct {
		name           string
		had, readings  string
		want, doubts   string
		known, nothing bool // nothing is to be confirmed
	}{
		{"nothing is known before a reading", "", "", "", "", false, true},
		{"what an earlier run had is kept until then", "a", "", "a", "", false, true},
		{"the first reading is believed", "", "0:ab", "ab", "", true, true},
		{"a Node that has none yet is unknown", "", "0:- 60!:-", "", "", false, true},
		{"additions are believed at once", "", "0:a 1:ab", "ab", "", true, true},
		{"what vanishes stays", "", "0:ab 1:a", "ab", "b", true, false},
		{"also when all of it vanishes", "", "0:ab 1:-", "ab", "ab", true, false},
		{"however often a cache says so", "", "0:ab 1:a 60:a 90:-", "ab", "ab", true, false},
		{"until it is confirmed", "", "0:ab 1:a 31!:a", "a", "", true, true},
		{"not by a reading too soon", "", "0:ab 1:a 30!:a", "ab", "b", true, false},
		{"a Node that has none for certain is known", "", "0:ab 1:- 31!:-", "", "", true, true},
		{"and may get some again", "", "0:ab 1:- 31!:- 50:c", "c", "", true, true},
		{"what is back is certain", "", "0:ab 1:a 2:ab", "ab", "", true, true},
		{"and its next absence a new one", "", "0:ab 1:a 2:ab 20:a 31!:a", "ab", "b", true, false},
		{"other CIDRs stand beside the old", "", "0:a 1:b", "ab", "a", true, false},
		{"and then in their place", "", "0:a 1:b 31!:b", "b", "", true, true},
		{"each waits for itself", "", "0:abc 1:ab 20:a 31!:a", "ab", "b", true, false},
		{"what only the second reading lacks needs a third", "", "0:ab 1:a 31!:-", "a", "a", true, false},
		{"an odd entry may be what is missing", "", "0:ab 1:ax 31!:ax", "ab", "b", true, false},
		{"what an earlier run had needs confirmation too", "ab", "0:a", "ab", "b", true, false},
		{"also by a Node that has none", "a", "0:-", "a", "a", false, false},
		{"which is then known", "a", "0:- 30!:-", "", "", true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			start := time.Now()
			b := belief{cidrs: letters(row.had), err: fmt.Errorf("not read: %w", ErrNotSynced)}
			for _, text := range strings.Fields(row.readings) {
				at, what, _ := strings.Cut(text, ":")
				var confirmed time.Duration
				if strings.HasSuffix(at, "!") {
					confirmed = after
				}
				seconds, err := time.ParseDuration(strings.TrimSuffix(at, "!") + "s")
				require.NoError(t, err)
				b.read(readingOf(what), start.Add(seconds), confirmed)
			}
			require.Equal(t, letters(row.want), b.cidrs)
			require.Equal(t, row.known, b.known())
			require.Equal(t, row.nothing, b.due(after).IsZero())
			require.Len(t, b.doubts, len(row.doubts))
			for _, prefix := range letters(row.doubts) {
				require.Contains(t, b.doubts, prefix)
				require.ErrorContains(t, b.doubt(), prefix.String())
			}
			if row.doubts == "" {
				require.NoError(t, b.doubt())
			}
		})
	}
}

func readingOf(letterList string) reading {
	var r reading
	if strings.Contains(letterList, "x") {
		r.err = errors.New("x is no CIDR")
	}
	if r.cidrs = letters(strings.Trim(letterList, "-x")); len(r.cidrs) == 0 {
		r.none = "none"
	}
	return r
}

func letters(list string) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range list {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(c), 0, 0}), 24))
	}
	return out
}

func TestAnOlderNodeIsNotTakenUntilTheStoreShowsIt(t *testing.T) {
	n, err := New(Config{REST: &rest.Config{Host: "https://127.0.0.1:1"}, NodeName: "n", Log: quiet()})
	require.NoError(t, err)
	version := func(v, annotated string) *corev1.Node {
		node := testNode("n")
		node.ResourceVersion, node.Annotations = v, map[string]string{annotation.Cluster: annotated}
		node.Spec.PodCIDRs = []string{"10.10.1.0/24"}
		return node
	}
	says := func() string { return n.current.annotations[annotation.Cluster] }
	n.observe(version("12", "new"))
	due, _ := n.unconfirmed(time.Second)
	require.Zero(t, due)

	n.observe(version("11", "old"))
	require.Equal(t, "new", says())
	require.Len(t, n.doubtful, 1)
	due, seen := n.unconfirmed(time.Second)
	require.NotZero(t, due)

	n.observe(version("13", "newer"))
	n.confirm(second{node: version("11", "old")}, seen, time.Second)
	require.Equal(t, "newer", says(), "the watch showed more while the store was read")

	n.observe(version("11", "old"))
	_, seen = n.unconfirmed(time.Second)
	n.confirm(second{node: version("11", "old")}, seen, time.Second)
	require.Equal(t, "old", says(), "versions went back for good")
	due, _ = n.unconfirmed(time.Second)
	require.Zero(t, due)

	n.observe(version("9", "of a Node that was made again"))
	other := version("8", "another")
	other.UID = "u-2"
	n.observe(other)
	require.Equal(t, "another", says(), "versions of two Nodes are not compared")
}

func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func TestAnOlderNodeAsksForAReading(t *testing.T) {
	start := time.Now()
	var b belief
	b.read(readingOf("a"), start, 0)
	b.mistrust(start.Add(time.Second))
	b.mistrust(start.Add(9 * time.Second))
	require.Equal(t, start.Add(31*time.Second), b.due(30*time.Second))
	require.NoError(t, b.doubt(), "nothing of it shows")
	b.read(readingOf("a"), start.Add(10*time.Second), 0)
	require.Zero(t, b.due(30*time.Second), "the watch was behind, and is no more")
}
