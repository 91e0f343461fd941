package status

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lines renders entries without their times.
func lines(entries []Entry) []string {
	var out []string
	for i := range entries {
		e := &entries[i]
		unsure := ""
		if e.Unsure {
			unsure = " unsure"
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s×%d %s %s %s%s", e.Kind, e.Peer, e.Count, e.examples(), e.Cause, e.Detail, unsure)))
	}
	return out
}

func numbered(i int) netip.Prefix {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24|uint32(i)<<8)
	return netip.PrefixFrom(netip.AddrFrom4(b), 24)
}

func TestTheHistoryFoldsWhatBelongsTogether(t *testing.T) {
	p, q := prefix("10.20.1.0/24"), prefix("10.20.2.0/24")
	for name, row := range map[string]struct {
		notes []Note
		pause time.Duration
		want  []string
	}{
		"what differs in its cause is apart": {notes: []Note{
			{Kind: PrefixRefused, Peer: "a", Cause: "NoContract", Prefix: p}, {Kind: PrefixRefused, Peer: "a", Cause: "Reserved", Prefix: p},
		}, want: []string{"PrefixRefused a×1 10.20.1.0/24 NoContract", "PrefixRefused a×1 10.20.1.0/24 Reserved"}},
		"prefixes with one cause are one, with the words of the first": {notes: []Note{
			{Kind: PrefixRefused, Peer: "a", Cause: "NoContract", Detail: "one", Prefix: p}, {Kind: PrefixRefused, Peer: "a", Cause: "NoContract", Detail: "two", Prefix: q},
		}, want: []string{"PrefixRefused a×2 10.20.1.0/24,10.20.2.0/24 NoContract one"}},
		"a prefix that goes up and down is two, and counted": {notes: []Note{
			{Kind: PrefixAccepted, Prefix: p}, {Kind: PrefixWithdrawn, Prefix: p}, {Kind: PrefixAccepted, Prefix: p}, {Kind: PrefixWithdrawn, Prefix: p},
		}, want: []string{"PrefixAccepted ×2 10.20.1.0/24", "PrefixWithdrawn ×2 10.20.1.0/24"}},
		"of sessions the words count too": {notes: []Note{
			{Kind: SessionDown, Peer: "a", Detail: "one"}, {Kind: SessionDown, Peer: "a", Detail: "two"}, {Kind: SessionDown, Peer: "a", Detail: "two"},
		}, want: []string{"SessionDown a×1   one", "SessionDown a×2   two"}},
		"after a rest it is another one": {pause: foldRest + 1, notes: []Note{
			{Kind: PrefixAccepted, Prefix: p}, {Kind: PrefixAccepted, Prefix: q},
		}, want: []string{"PrefixAccepted ×1 10.20.1.0/24", "PrefixAccepted ×1 10.20.2.0/24"}},
		"what counts several counts them": {notes: []Note{{Kind: Failover, Peer: "a", Count: 3}, {Kind: Failover, Peer: "a"}},
			want: []string{"Failover a×4"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, at := &History{}, now
			for _, n := range row.notes {
				h.Note(at, &n)
				at = at.Add(row.pause)
			}
			got, _ := h.Entries(HistoryFilter{})
			require.Empty(t, got, "nothing is told before it is published")
			h.Publish(at)
			got, _ = h.Entries(HistoryFilter{})
			require.Equal(t, row.want, lines(got))
		})
	}
}

func TestAPrefixHasAHistoryOfItsOwn(t *testing.T) {
	h, flapping := &History{}, prefix("10.0.7.0/24")
	for i := range 5 {
		h.Note(now.Add(time.Duration(i)*time.Second), &Note{Kind: PrefixAccepted, Peer: "a", Prefix: flapping})
		h.Note(now.Add(time.Duration(i)*time.Second), &Note{Kind: PrefixWithdrawn, Peer: "a", Cause: "Withdrawn", Prefix: flapping})
	}
	for i := range 100_000 {
		h.Note(now.Add(time.Minute), &Note{Kind: PrefixWithdrawn, Peer: "a", Cause: "SessionLost", Prefix: numbered(i)})
	}
	h.Publish(now.Add(time.Minute))

	all, _ := h.Entries(HistoryFilter{})
	require.Equal(t, []string{"PrefixAccepted a×5 10.0.7.0/24", "PrefixWithdrawn a×5 10.0.7.0/24 Withdrawn", "PrefixWithdrawn a×100000 10.0.0.0/24,10.0.1.0/24,10.0.2.0/24,… SessionLost"},
		lines(all), "a storm is one entry")
	own, _ := h.Entries(HistoryFilter{Prefix: flapping})
	require.Len(t, own, 11, "each time of its own, and the storm it went with")
	require.Equal(t, now.Add(2*time.Second), own[4].Time.UTC())
	require.Equal(t, "PrefixWithdrawn a×1 10.0.7.0/24 SessionLost", lines(own)[10])
	late, _ := h.Entries(HistoryFilter{Prefix: flapping, Since: now.Add(4 * time.Second)})
	require.Len(t, late, 3)
	far, _ := h.Entries(HistoryFilter{Prefix: numbered(90_000)})
	require.Equal(t, []string{"PrefixWithdrawn a×100000 10.0.0.0/24,10.0.1.0/24,10.0.2.0/24,… SessionLost  unsure"}, lines(far),
		"what is not remembered one by one is not denied")
	none, _ := h.Entries(HistoryFilter{Prefix: prefix("172.16.0.0/12")})
	require.Empty(t, none)
}

func TestTheHistoryIsBounded(t *testing.T) {
	h := &History{}
	const notes = 3 * historyEntries
	for i := range notes {
		at := now.Add(time.Duration(i) * time.Minute)
		h.Note(at, &Note{Kind: PrefixRefused, Detail: strings.Repeat("x", 10_000), Prefix: numbered(i)})
		h.Publish(at)
	}
	all, omitted := h.Entries(HistoryFilter{Limit: maxHistory})
	require.Len(t, all, historyEntries)
	require.Zero(t, omitted)
	require.Less(t, len(all[0].Detail), detailBytes+10)
	require.LessOrEqual(t, len(h.open), 2, "what can't grow any more is not held")
	require.Equal(t, all[0].Time, h.remembers())
	last, omitted := h.Entries(HistoryFilter{Limit: 3})
	require.Equal(t, uint64(notes), last[2].ID)
	require.Equal(t, historyEntries-3, omitted)
	grown, _ := h.Entries(HistoryFilter{Prefix: numbered(0)})
	require.Empty(t, grown)
}

func TestAStormAllocatesNothingForEachRoute(t *testing.T) {
	h, i := &History{}, 0
	require.Zero(t, testing.AllocsPerRun(50_000, func() {
		h.Note(now, &Note{Kind: PrefixWithdrawn, Peer: "a", Cause: "SessionLost", Prefix: numbered(i)})
		i++
	}))
}

func TestReadersAndTheWriterDoNotWaitForEachOther(t *testing.T) {
	h := &History{}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			seen := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, e := range h.after(seen) {
					seen = max(seen, e.Revision)
				}
				_, _ = h.Entries(HistoryFilter{Prefix: prefix("10.0.0.0/8")})
			}
		})
	}
	for i := range 20_000 {
		at := now.Add(time.Duration(i) * time.Second)
		h.Note(at, &Note{Kind: PrefixAccepted, Peer: fmt.Sprint(i % 7), Prefix: numbered(i % 100)})
		h.Publish(at)
	}
	close(stop)
	readers.Wait()
	all, _ := h.Entries(HistoryFilter{Limit: maxHistory})
	require.NotEmpty(t, all)
}

func TestTheHistoryOverTheSocket(t *testing.T) {
	d := serve(t, sample())
	d.board.History().Note(now, &Note{Kind: SessionDown, Peer: "tor-a", Cause: "HoldTimerExpired", Detail: "bye\x1b[31m"})
	d.board.History().Note(now, &Note{Kind: ClusterChanged, Cluster: "west", Cause: "Unreachable"})
	d.board.History().Note(now, &Note{Kind: PrefixWithdrawn, Peer: "tor-a", Cluster: "west", Cause: "SessionLost", Prefix: prefix("10.20.1.0/24")})
	d.board.History().Publish(now)
	for name, row := range map[string]struct {
		filter HistoryFilter
		want   int
	}{
		"all of it":       {HistoryFilter{}, 3},
		"of a peer":       {HistoryFilter{Peer: "tor-a"}, 2},
		"of a cluster":    {HistoryFilter{Cluster: "west"}, 2},
		"of a prefix":     {HistoryFilter{Prefix: prefix("10.20.1.7/32")}, 1},
		"the last one":    {HistoryFilter{Limit: 1}, 1},
		"since tomorrow":  {HistoryFilter{Since: now.Add(24 * time.Hour)}, 0},
		"since yesterday": {HistoryFilter{Since: now.Add(-24 * time.Hour)}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := d.client.History(t.Context(), row.filter)
			require.NoError(t, err)
			require.Equal(t, KindHistoryList, l.Kind)
			require.Len(t, l.Items, row.want)
		})
	}
	for query, says := range map[string]string{
		"limit=0": "must be a number above 0", "limit=5000": "must be 1..4096", "since=then": "neither a duration", "colour=red": "not known",
		"prefix=x": "neither an address", "peer=a&peer=b": "given 2 times",
	} {
		code, body := d.raw(t, "GET /v1/history?"+query+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		require.Equal(t, 400, code, query)
		require.Contains(t, body, says)
	}
}

func BenchmarkNote(b *testing.B) {
	h := &History{}
	b.ReportAllocs()
	for i := range b.N {
		h.Note(now, &Note{Kind: PrefixWithdrawn, Peer: "tor-a", Cluster: "west", Cause: "SessionLost", Prefix: numbered(i & 0xffff)})
	}
}

func TestTheHistoryLooksLikeTheGoldenFiles(t *testing.T) {
	h := &History{}
	at := now.Add(-time.Hour)
	for i, n := range []Note{
		{Kind: DaemonStarted, Detail: "v0.1.0"},
		{Kind: SessionUp, Peer: "tor-a", Detail: "AS 65000 at 172.16.0.1"},
		{Kind: PrefixRefused, Peer: "tor-a", Cause: "NoContract", Detail: "10.40.0.0/24 lies in no declared cluster's range", Prefix: prefix("10.40.0.0/24")},
		{Kind: SessionDown, Peer: "tor-a", Cause: "NotificationReceived", Detail: "ended by the peer with code 6, subcode 2: \"bye\x1b[31m\n\""},
		{Kind: Failover, Peer: "tor-a", Cause: "SessionLost", Detail: "172.16.0.1 → 172.16.0.2", Count: 3},
	} {
		h.Note(at.Add(time.Duration(i)*time.Second), &n)
	}
	for i := range 5000 {
		h.Note(at.Add(time.Duration(i)*time.Millisecond), &Note{Kind: PrefixWithdrawn, Peer: "tor-a", Cluster: "west", Cause: "SessionLost", Prefix: numbered(i)})
	}
	h.Publish(now)
	for name, f := range map[string]HistoryFilter{"all": {}, "prefix": {Prefix: numbered(4500)}, "none": {Peer: "tor-x"}, "last": {Limit: 2}} {
		for _, format := range []Format{Table, JSON} {
			t.Run(name+" "+string(format), func(t *testing.T) {
				l := &HistoryList{APIVersion: APIVersion, Kind: KindHistoryList, Node: "east-1", Time: now}
				l.Items, l.Omitted = h.Entries(f)
				l.Items = list(l.Items)
				var b bytes.Buffer
				require.NoError(t, WriteHistory(&b, l, Options{Format: format, Now: now, Location: time.UTC}))
				golden(t, "history-"+name+"."+string(format), b.Bytes())
			})
		}
	}
}
