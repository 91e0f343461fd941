package ipam

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func party(peer string, asn uint32) Party { return Party{Peer: peer, OriginASN: asn} }
func declared(peer string, asn uint32) Party {
	return Party{Peer: peer, OriginASN: asn, Declared: true}
}
func (x Party) incumbent() Party { x.Incumbent = true; return x }
func reasons(t *testing.T, all ...Party) []Reason {
	verdicts := east().Dispute(prefix("10.20.1.0/24"), all)
	var out []Reason
	for _, v := range verdicts {
		require.False(t, v.Accepted)
		out = append(out, v.Reason)
	}
	return out
}

func TestWhoKeepsADisputedPrefix(t *testing.T) {
	for name, row := range map[string]struct {
		parties []Party
		want    []Reason
	}{
		"one path alone":                               {[]Party{party("a", 64513)}, nil},
		"two ways to one origin":                       {[]Party{party("a", 64513), party("b", 64513)}, nil},
		"two origins that declare the same cluster":    {[]Party{declared("a", 64513), declared("b", 64514)}, nil},
		"a declared origin and its path without id":    {[]Party{declared("a", 64513), party("b", 64513)}, nil},
		"a declared origin before one that is not":     {[]Party{party("a", 64512), declared("b", 64513)}, []Reason{Overlap, ""}},
		"a declared origin before the incumbent":       {[]Party{party("a", 64512).incumbent(), declared("b", 64513)}, []Reason{Overlap, ""}},
		"the incumbent before a lower AS number":       {[]Party{party("a", 64512), party("b", 64513).incumbent()}, []Reason{Overlap, ""}},
		"the lower AS number, for want of better":      {[]Party{party("a", 64514), party("b", 64513)}, []Reason{Overlap, ""}},
		"of two incumbents the lower AS number":        {[]Party{party("a", 64514).incumbent(), party("b", 64513).incumbent()}, []Reason{Overlap, ""}},
		"all paths of the winning origin stay":         {[]Party{party("a", 64513), party("b", 64599), party("c", 64513)}, []Reason{"", Overlap, ""}},
		"two declare, a third origin does not":         {[]Party{declared("a", 64514), party("b", 64513), declared("c", 64515)}, []Reason{"", Overlap, ""}},
		"the second of those that declare covers, too": {[]Party{declared("a", 64514), declared("b", 64515), party("c", 64515)}, nil},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, reasons(t, row.parties...)) })
	}
}

func TestADisputeNamesBothParties(t *testing.T) {
	p := east()
	for name, row := range map[string]struct {
		parties []Party
		want    string
	}{
		"by declaration": {[]Party{declared("tor-a", 64513), party("tor-b", 64599)},
			"10.20.1.0/24 comes from two origins: AS 64599 (peer tor-b) is refused, AS 64513 (peer tor-a) declares the id of cluster west and keeps it"},
		"by time": {[]Party{party("tor-a", 64600).incumbent(), party("tor-b", 64599)},
			"10.20.1.0/24 comes from two origins: AS 64599 (peer tor-b) is refused, AS 64600 (peer tor-a) has it already and keeps it"},
		"by number": {[]Party{party("tor-a", 64513), party("tor-b", 64599)},
			"10.20.1.0/24 comes from two origins: AS 64599 (peer tor-b) is refused, AS 64513 (peer tor-a) has the lower AS number and keeps it"},
	} {
		t.Run(name, func(t *testing.T) {
			v := p.Dispute(prefix("10.20.1.0/24"), row.parties)
			require.Equal(t, []Verdict{{}, {Cluster: "west", Reason: Overlap, Detail: row.want}}, v)
		})
	}
}

// TestADisputeIsSettledTheSameWayInRandomWorlds: somebody always keeps the prefix, all that keep it are of one origin or
// declare the cluster, the order in which they came makes no difference, what was decided is not decided otherwise once
// it is in force, and without a dispute nobody is refused.
func TestADisputeIsSettledTheSameWayInRandomWorlds(t *testing.T) {
	w, p, disputes := rand.New(rand.NewPCG(3, 10)), east(), 0
	for range 20000 {
		all := make([]Party, 1+w.IntN(5))
		disputed := false
		for i := range all {
			all[i] = Party{OriginASN: uint32(64513 + w.IntN(3)), Declared: w.IntN(3) == 0, Incumbent: w.IntN(3) == 0}
			disputed = disputed || Disputed(all[0], all[i])
		}
		verdicts := p.Dispute(prefix("10.20.1.0/24"), all)
		require.Equal(t, verdicts != nil, disputed && verdicts != nil, "%+v", all)
		if verdicts == nil {
			continue
		}
		disputes++
		var kept []Party
		for i, v := range verdicts {
			if v.Reason == "" {
				kept = append(kept, all[i])
			}
		}
		require.NotEmpty(t, kept, "%+v", all)
		for _, x := range kept {
			require.True(t, !Disputed(kept[0], x) || anyDeclared(kept), "%+v", all)
			require.Equal(t, anyDeclared(all), anyDeclared(kept), "%+v", all)
		}

		order := w.Perm(len(all))
		shuffled := make([]Party, len(all))
		for to, from := range order {
			shuffled[to] = all[from]
		}
		for to, v := range p.Dispute(prefix("10.20.1.0/24"), shuffled) {
			require.Equal(t, verdicts[order[to]].Reason, v.Reason, "%+v", all)
		}

		for i := range all {
			all[i].Incumbent = verdicts[i].Reason == ""
		}
		for i, v := range p.Dispute(prefix("10.20.1.0/24"), all) {
			require.Equal(t, verdicts[i].Reason, v.Reason, "%+v", all)
		}
	}
	require.Greater(t, disputes, 1000)
}

func anyDeclared(all []Party) bool {
	for _, x := range all {
		if x.Declared {
			return true
		}
	}
	return false
}

// TestReasonsAreComplete reads the declarations: a reason that is not listed could not be counted.
func TestReasonsAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	require.NoError(t, err)
	var want []Reason
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			value := spec.Values[0].(*ast.BasicLit).Value
			require.Equal(t, spec.Names[0].Name, value[1:len(value)-1])
			if r := Reason(spec.Names[0].Name); r != Accepted && r != OutsidePool && r != PassedOn {
				want = append(want, r)
			}
		}
		return true
	})
	require.Equal(t, want, Reasons())
}
