package k8s

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Selection says which Nodes are members. Both are label selectors, as kubectl get -l takes them.
type Selection struct {
	Nodes string // empty: every Node. The API leaves out the others
	Hubs  string // which of them are hubs; empty: none
}

// parse returns what tells a hub.
func (s Selection) parse() (labels.Selector, error) {
	if _, err := labels.Parse(s.Nodes); err != nil {
		return nil, fmt.Errorf("selector %q: %w", s.Nodes, err)
	}
	hubs, err := labels.Parse(s.Hubs)
	if err != nil {
		return nil, fmt.Errorf("selector %q: %w", s.Hubs, err)
	}
	if s.Hubs == "" {
		hubs = labels.Nothing()
	}
	return hubs, nil
}

// Select makes members of other Nodes than before. They are listed and watched anew; until that is answered, those known
// stay, and then those that are no longer selected are gone, like Nodes that were deleted. The same selection again does
// nothing. An error means an unusable selection, and the one before stays.
func (m *Members) Select(s Selection) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s == m.selection {
		return nil
	}
	hubs, err := s.parse()
	if err != nil {
		return err
	}
	m.selection, m.hubs = s, hubs
	poke(m.selected)
	return nil
}

// watch keeps the members current until ctx ends, one selection after the other.
func (m *Members) watch(ctx context.Context) {
	for ctx.Err() == nil {
		select { // source reads the latest
		case <-m.selected:
		default:
		}
		round, end := context.WithCancel(ctx)
		over := make(chan struct{})
		go func() {
			defer close(over)
			follow(round, m.source(), memberStore{m}, following{log: m.log, backoff: m.pace.MaxBackoff, expected: &corev1.Node{}})
		}()
		select {
		case <-ctx.Done():
		case <-m.selected:
		}
		end()
		<-over // what it learns late is not of the next selection
	}
}

// source lists and watches the Nodes selected at present. The API looks at the labels, so that what is not selected
// costs nothing here.
func (m *Members) source() *cache.ListWatch {
	m.mu.Lock()
	selector := m.selection.Nodes
	m.mu.Unlock()
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = selector
			nodes, err := m.client.listNodes(ctx, options)
			m.answered(ctx, err)
			return nodes, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = selector
			events, err := m.client.watchNodes(ctx, options)
			m.answered(ctx, err)
			return events, err
		},
	}
}
