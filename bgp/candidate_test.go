package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

func TestTheStepThatDecidesBetweenTwoPathsIsNamed(t *testing.T) {
	best := Candidate{Path: Path{LocalPref: 200, MED: 5}, Length: 2, External: true}
	for what, c := range map[string]struct {
		change func(*Candidate)
		step   Step
		words  string
	}{
		"nothing":                           {func(*Candidate) {}, ByNothing, ""},
		"a lower preference":                {func(c *Candidate) { c.LocalPref, c.Length = 100, 1 }, ByLocalPref, "100 < 200"},
		"a longer AS path":                  {func(c *Candidate) { c.Length, c.MED = 3, 0 }, ByASPath, "3 > 2"},
		"an incomplete origin":              {func(c *Candidate) { c.Code = 2 }, ByOrigin, "incomplete after IGP"},
		"a higher MED":                      {func(c *Candidate) { c.MED = 9 }, ByMED, "9, not 5"},
		"a lower MED from another AS":       {func(c *Candidate) { c.MED = 0 }, ByMED, "0, not 5"},
		"our own AS":                        {func(c *Candidate) { c.External = false }, ByExternal, "internal after external"},
		"a higher preference: it is better": {func(c *Candidate) { c.LocalPref, c.Length = 300, 9 }, ByNothing, ""},
	} {
		other := best
		c.change(&other)
		step, words := other.Loses(best)
		require.Equal(t, c.step, step, what)
		require.Equal(t, c.words, words, what)
	}
}

func TestCandidatesAreAllPathsInTheSpeakersOrder(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	c := startRemote(t, "192.168.0.4", ownASN, s)
	preferred := a.peer("a")
	preferred.LocalPref = 300
	require.NoError(t, s.SetPeers(t.Context(), []Peer{preferred, b.peer("b"), c.peer("c")}))
	set := gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{
		gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65008}),
		gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SET, []uint32{65010, 65011, 65012}),
	})
	a.announce(west)
	b.announce(west, set)
	c.announce(west)
	want := []string{"192.168.0.2 300 1 true", "192.168.0.4 100 0 false", "192.168.0.3 100 3 true"}
	var got []string
	require.Eventually(t, func() bool {
		all, err := s.Candidates(t.Context(), west)
		require.NoError(t, err)
		got = nil
		for _, x := range all {
			got = append(got, fmt.Sprint(x.Peer, x.LocalPref, x.Length, x.External))
		}
		return slices.Equal(want, got)
	}, patience, 10e6, "%v", &got)
	none, err := s.Candidates(t.Context(), netip.MustParsePrefix("10.20.99.0/24"))
	require.NoError(t, err)
	require.Empty(t, none)
}
