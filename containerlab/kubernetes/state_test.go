package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// state is what `underlayd status -o json` says, as far as the tests look at it. The names are written out here:
// scripts depend on them.
type state struct {
	Phase      string   `json:"phase"`
	Advertised []string `json:"advertised"`
	From       []struct {
		Prefix, Source string
	} `json:"advertisedFrom"`
	Kubernetes struct {
		Enabled   bool   `json:"enabled"`
		Synced    bool   `json:"synced"`
		Writes    uint64 `json:"writes"`
		LastError string `json:"lastError"`
		Source    string `json:"podCIDRSource"`
	} `json:"kubernetes"`
	Problems []struct {
		Severity string `json:"severity"`
		Subject  string `json:"subject"`
		Message  string `json:"message"`
	} `json:"problems"`
}

func (w *world) ask(ctx context.Context, node string) (state, error) {
	var s state
	out, err := w.Node(node).Output(ctx, "underlayd", "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}

func (w *world) state(t *testing.T, node string) state {
	t.Helper()
	s, err := w.ask(t.Context(), node)
	require.NoError(t, err)
	return s
}

// is waits until what a daemon says of itself is as wanted.
func (w *world) is(t *testing.T, node, what string, f func(state) error) {
	t.Helper()
	until(t, node+" to be "+what, func(ctx context.Context) error {
		s, err := w.ask(ctx, node)
		if err != nil {
			return err
		}
		if err := f(s); err != nil {
			return fmt.Errorf("%w: %+v", err, s)
		}
		return nil
	})
}

// blames returns the message of the problem about a subject, or an empty string.
func (s state) blames(subject string) string {
	for _, p := range s.Problems {
		if p.Subject == subject {
			return p.Message
		}
	}
	return ""
}
