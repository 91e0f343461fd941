package kubernetes

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// reaches sends three packets over each family from a node's pod to that of another; all must be answered.
func (w *world) reaches(t *testing.T, from, to string) {
	t.Helper()
	target := placeOf(to)
	for _, address := range []string{target.pod4.String(), target.pod6.String()} {
		_, err := w.Node("pod-"+from).Output(t.Context(), "ping", "-c", "3", "-i", "0.05", "-W", "2", address)
		require.NoError(t, err)
	}
}

// ping is a ping that goes on, a packet every 20 ms.
type ping struct {
	*containerlab.Process
	what string
}

// startPings starts pings of both families from a node's pod to that of another.
func (w *world) startPings(t *testing.T, from, to string) []ping {
	t.Helper()
	target := placeOf(to)
	var pings []ping
	for _, address := range []string{target.pod4.String(), target.pod6.String()} {
		w.pings++ // logs of one name would be one
		p, err := w.Node("pod-"+from).Start(fmt.Sprintf("ping-%d", w.pings), "ping", "-n", "-i", "0.02", address)
		require.NoError(t, err)
		pings = append(pings, ping{p, "pod of " + from + " to " + address})
	}
	return pings
}

var (
	pingReply   = regexp.MustCompile(`icmp_seq=(\d+) ttl=`)
	pingSummary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)
)

// answered ends the ping; every packet must have been answered, but for the one that was on its way. It returns how
// many there were.
func (p ping) answered(t *testing.T) int {
	t.Helper()
	require.True(t, p.Running(), p.LogTail(5))
	require.NoError(t, p.Signal(syscall.SIGINT))
	<-p.Done()
	text, err := os.ReadFile(p.LogPath())
	require.NoError(t, err)
	summary := pingSummary.FindStringSubmatch(string(text))
	require.NotNil(t, summary, p.LogTail(5))
	sent, err := strconv.Atoi(summary[1])
	require.NoError(t, err)
	received, err := strconv.Atoi(summary[2])
	require.NoError(t, err)
	require.False(t, strings.Contains(string(text), "DUP!"), p.what) //nolint:testifylint // as below
	replies := pingReply.FindAllStringSubmatch(string(text), -1)
	require.Equal(t, received, len(replies)) //nolint:testifylint // Len would print all of them
	require.NotZero(t, received)
	if last := replies[received-1][1]; last != strconv.Itoa(sent%65536) {
		sent--
	}
	require.Equal(t, sent, received, "%s: packets were lost; unanswered: %s", p.what, unanswered(replies))
	return received
}

// unanswered lists the gaps in the sequence numbers.
func unanswered(replies [][]string) string {
	var gaps []string
	next := 1
	for _, r := range replies {
		number, _ := strconv.Atoi(r[1])
		if number > next {
			gaps = append(gaps, strconv.Itoa(next)+"-"+strconv.Itoa(number-1))
		}
		next = number + 1
	}
	return strings.Join(gaps, " ")
}

// vtysh gives the fabric's router lines of configuration.
func (w *world) vtysh(ctx context.Context, lines ...string) error {
	argv := []string{"vtysh", "-c", "configure terminal"}
	for _, line := range lines {
		argv = append(argv, "-c", line)
	}
	_, err := w.Node("fabric").Output(ctx, argv...)
	return err
}
