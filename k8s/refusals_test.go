package k8s

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

func TestARefusalIsBelievedWhenItGoesOn(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "blockaffinities"}, "", nil)
	for _, row := range []struct {
		says    string
		answers map[time.Duration]error // after the first refusal
		at      time.Duration
		want    bool
	}{
		{"nor one a little later", nil, 4 * time.Second, false},
		{"one after five seconds is", nil, 5 * time.Second, true},
		{"an answer in between begins it anew", map[time.Duration]error{3 * time.Second: nil}, 5 * time.Second, false},
		{"so does another error", map[time.Duration]error{3 * time.Second: errors.New("storage is (re)initializing")}, 5 * time.Second, false},
	} {
		t.Run(row.says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &refusals{least: 5 * time.Second}
				start := time.Now()
				require.False(t, r.believed(forbidden))
				for after, err := range row.answers {
					<-time.After(after)
					require.False(t, r.believed(err))
				}
				<-time.After(row.at - time.Since(start))
				require.Equal(t, row.want, r.believed(forbidden))
			})
		})
	}
}

// TestAListOfTheNodeSaysNothingOfOtherWatches: after an outage all of them are held against the store.
func TestAListOfTheNodeSaysNothingOfOtherWatches(t *testing.T) {
	n, err := New(Config{REST: &rest.Config{Host: "https://127.0.0.1:1"}, NodeName: "n", Log: quiet()})
	require.NoError(t, err)
	n.observe(testNode("n"))
	due, _ := n.unconfirmed(time.Second)
	require.Zero(t, due)
	n.watched(t.Context(), errors.New("connection refused"))
	n.watched(t.Context(), nil)
	n.observe(testNode("n"))
	due, _ = n.unconfirmed(time.Second)
	require.NotZero(t, due)
	_, _, apart := n.asked()
	n.watched(t.Context(), errors.New("connection refused"))
	n.watched(t.Context(), nil)
	n.observe(testNode("n"))
	n.together(apart)
	due, _ = n.unconfirmed(time.Second)
	require.NotZero(t, due, "it was away again while they were")
	_, _, apart = n.asked()
	n.together(apart)
	due, _ = n.unconfirmed(time.Second)
	require.Zero(t, due)
}
