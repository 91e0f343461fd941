package bgp

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// Candidate is a path to a prefix with what the decision process compares (RFC 4271, section 9.1.2.2).
type Candidate struct {
	Path
	// Length is that of the AS_PATH, in which a set counts once (section 9.1.2.2, a); Code is the ORIGIN: 0 IGP, 1 EGP, 2 incomplete.
	Length int
	Code   uint8
	// External says that it came from another AS.
	External bool
}

// Step is a step of the comparison of two paths.
type Step string

// The steps, in their order. Paths between which none of them decides are used side by side.
const (
	ByLocalPref Step = "LocalPref"
	ByASPath    Step = "ASPath"
	ByOrigin    Step = "Origin"
	ByMED       Step = "MED"
	ByExternal  Step = "External" // of another AS before of our own
	ByNothing   Step = ""
)

// Loses says which step of the comparison decides between a path and a better one, and of what values; ByNothing when none
// does, or when none decides for the other one.
func (c Candidate) Loses(better Candidate) (Step, string) {
	for _, s := range []struct {
		step  Step
		worse int // by as much
		text  string
	}{
		{ByLocalPref, int(better.LocalPref) - int(c.LocalPref), fmt.Sprintf("%d < %d", c.LocalPref, better.LocalPref)},
		{ByASPath, c.Length - better.Length, fmt.Sprintf("%d > %d", c.Length, better.Length)},
		{ByOrigin, int(c.Code) - int(better.Code), fmt.Sprintf("%s after %s", originName(c.Code), originName(better.Code))},
		{ByMED, abs(int(c.MED) - int(better.MED)), fmt.Sprintf("%d, not %d", c.MED, better.MED)},
		{ByExternal, cmp.Compare(rank(better.External), rank(c.External)), "internal after external"},
	} {
		switch {
		case s.worse > 0:
			return s.step, s.text
		case s.worse < 0:
			return ByNothing, ""
		}
	}
	return ByNothing, ""
}

// abs: a higher MED is worse only within one neighbouring AS, but paths that differ in it are not used side by side.
func abs(n int) int { return max(n, -n) }

func rank(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func originName(code uint8) string {
	switch code {
	case gobgp.BGP_ORIGIN_ATTR_TYPE_IGP:
		return "IGP"
	case gobgp.BGP_ORIGIN_ATTR_TYPE_EGP:
		return "EGP"
	default:
		return "incomplete"
	}
}

// Candidates returns every imported path of one prefix, the best first, as Paths does. It is for a person's question; its
// cost does not grow with the table.
func (s *Speaker) Candidates(ctx context.Context, prefix netip.Prefix) ([]Candidate, error) {
	var all []Candidate
	reader := s.table.newReader()
	err := s.list(ctx, []netip.Prefix{prefix}, func(_ netip.Prefix, found []*apiutil.Path) {
		for _, p := range found {
			if p.PeerAddress.IsValid() {
				all = append(all, newCandidate(p, reader))
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("paths of %s: %w", prefix, err)
	}
	return all, nil
}

func newCandidate(in *apiutil.Path, like pathReader) Candidate {
	c := Candidate{Path: newPath(in, like), External: in.PeerASN != like.ownASN}
	for _, attribute := range in.Attrs {
		switch a := attribute.(type) {
		case *gobgp.PathAttributeOrigin:
			c.Code = a.Value
		case *gobgp.PathAttributeAsPath:
			for _, segment := range a.Value {
				c.Length += segment.ASLen()
			}
		}
	}
	return c
}
