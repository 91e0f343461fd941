package k8s

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// looks has all kinds that the API does not serve looked for at the same time, with one request: each
// node does so for as long as it runs, and most clusters have at most one of them.
type looks struct {
	client *client
	every  time.Duration

	mu     sync.Mutex // guards all below, and is held while the API is asked
	groups *metav1.APIGroupList
	asked  time.Time // when groups came
	at     time.Time // of the next look
}

func newLooks(c *client, every time.Duration) *looks { return &looks{client: c, every: every} }

// shared is how much of the time between two looks an answer is good for those that look at the
// same time.
const shared = 12

// look returns the API groups that the API serves, as it said a moment ago at the earliest.
func (l *looks) look(ctx context.Context) (*metav1.APIGroupList, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.groups != nil && time.Since(l.asked) < l.every/shared {
		return l.groups, nil
	}
	groups, err := l.client.groups(ctx)
	if err == nil {
		l.groups, l.asked = groups, time.Now()
	}
	return groups, err
}

// wait returns the time to the next look, the same moment for all kinds. Nodes are not in step.
func (l *looks) wait() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.at.After(now) {
		l.at = now.Add(l.every + rand.N(l.every/10+1)) //nolint:gosec // spreading load needs no secrecy
	}
	return l.at.Sub(now)
}
