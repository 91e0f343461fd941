package status

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuestionsAreReadAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct{ target, source, want, wrong string }{
		{"10.20.1.7", "", "10.20.1.7/32", ""},
		{"10.20.1.7/16", "", "10.20.0.0/16", ""},
		{"fd00::1", "fd00:10::1", "fd00::1/128", ""},
		{"10.20.1", "", "", "neither an address nor a prefix"},
		{"", "", "", "neither an address nor a prefix"},
		{"10.20.1.7", "pod", "", "must be an address"},
		{"10.20.1.7", "fd00::1", "", "must be of one family"},
	} {
		q, err := ParseQuestion(c.target, c.source)
		if c.wrong != "" {
			require.ErrorContains(t, err, c.wrong, c.target)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, q.Target.String())
	}
}

func TestAnExplanationIsWrittenSafely(t *testing.T) {
	prefix := netip.MustParsePrefix("10.20.1.0/24")
	e := &Explanation{Answer: "10.20.1.7 is not reachable: \x1b[2Jgone.", Steps: []Step{
		{Name: StepReceived, Result: StepFailed, Reason: "NoSession", Sentence: "peer said \x07\nhello", Remedy: &Remedy{Action: "look", Key: "bgp.peers[a]", Value: "1", Command: "ping\x1b", Doc: "docs"}},
		{Name: StepChoice, Result: StepOK, Sentence: "one", Paths: []ExplainedPath{{Prefix: prefix, Path: Path{Peer: "a\x1b"}, Decided: "ASPath: 2 > 1"}}},
	}, Parts: []Part{{Prefix: prefix, Hole: true}}, PartsLeftOut: 3}
	var out strings.Builder
	require.NoError(t, WriteExplanation(&out, e, Options{Format: Table}))
	require.NotContains(t, out.String(), "\x1b")
	require.NotContains(t, out.String(), "\x07")
	for _, words := range []string{"What to do: look", "bgp.peers[a]: 1", "failed (NoSession)", "ASPath: 2 > 1", "no route", "and 3 more"} {
		require.Contains(t, out.String(), words)
	}
}

func TestOnlyWhatExplainsExplains(t *testing.T) {
	d := serve(t, sample())
	_, err := d.client.Explain(t.Context(), Question{Target: netip.MustParsePrefix("10.20.1.7/32")})
	require.ErrorContains(t, err, "nothing to tell yet")
	code, body := d.raw(t, "GET /v1/explain?target=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.Equal(t, 400, code)
	require.Contains(t, body, "neither an address nor a prefix")
	code, body = d.raw(t, "GET /v1/explain?target=10.0.0.1&colour=blue HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.Equal(t, 400, code)
	require.Contains(t, body, "colour")
}
