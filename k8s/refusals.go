package k8s

import (
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// refusals tell a right that is missing from an API server that has just started: until it has
// read its roles it refuses everything.
type refusals struct {
	least time.Duration // how long they go on before they are believed

	mu    sync.Mutex // guards since
	since time.Time  // when those that go on began; zero: the last answer was none
}

// believed takes in an answer and reports whether it is a refusal that has been told for long enough.
func (r *refusals) believed(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !apierrors.IsForbidden(err) {
		r.since = time.Time{}
		return false
	}
	if r.since.IsZero() {
		r.since = time.Now()
	}
	return time.Since(r.since) >= r.least
}
