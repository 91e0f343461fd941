package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAGatewayThatIsCutOff(t *testing.T) {
	up, down := []bool{false, true}, []bool{false, false}
	start := time.Unix(1000, 0)
	for _, row := range []struct {
		name   string
		states [][]bool // one a second
		want   bool
	}{
		{"a session inside is up", [][]bool{down, up, up}, false},
		{"none has come up yet, which says nothing", [][]bool{down, down, down, down, down, down, down, down}, false},
		{"all have just been lost, as when a daemon restarts", [][]bool{up, down, down, down, down}, false},
		{"all have been lost for a while", [][]bool{up, down, down, down, down, down, down}, true},
		{"and one came back", [][]bool{up, down, down, down, down, down, down, up}, false},
		{"none is configured any more", [][]bool{up, down, down, down, down, down, down, nil}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var b border
			got := false
			for i, s := range row.states {
				got = b.isolatedBy(s, start.Add(time.Duration(i)*time.Second))
			}
			require.Equal(t, row.want, got)
		})
	}
}
