package kubernetes

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// events returns the Events about a Node that its daemon wrote.
func (w *world) events(ctx context.Context, node string) ([]eventsv1.Event, error) {
	list, err := w.apis[placeOf(node).cluster].Client().EventsV1().Events("default").List(ctx, metav1.ListOptions{
		FieldSelector: "regarding.kind=Node,regarding.name=" + node + ",reportingController=underlayd.io/agent",
	})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// eventful waits until a Node has an Event with this reason that mentions this.
func (w *world) eventful(t *testing.T, node, reason, mention string) {
	t.Helper()
	until(t, "an Event "+reason+" on "+node, func(ctx context.Context) error {
		events, err := w.events(ctx, node)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Reason == reason && strings.Contains(e.Note, mention) {
				return nil
			}
		}
		return errors.New("not yet")
	})
}

// lose has the fabric close its sessions with east-1, and open them again. The Node's Events tell both.
func (w *world) lose(t *testing.T) {
	events, err := w.events(t.Context(), "east-1")
	require.NoError(t, err)
	for _, e := range events {
		require.NotEqual(t, "PeerDown", e.Reason, "a start and a restart are no loss: %s", e.Note)
	}
	require.NoError(t, w.vtysh(t.Context(), "router bgp 65000", "neighbor 192.168.11.1 shutdown"))
	w.eventful(t, "east-1", "PeerDown", "the BGP session with peer fabric")
	require.NoError(t, w.vtysh(t.Context(), "router bgp 65000", "no neighbor 192.168.11.1 shutdown"))
	w.eventful(t, "east-1", "PeerUp", "the BGP session with peer fabric")
	w.settled(t)
}
