package k8s

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// kindWatch follows the objects of a kind that are about this Node. While the API does not serve
// the kind it looks for it now and then.
type kindWatch struct {
	kind
	n    *Node
	wake chan struct{} // the source is another one, or the store is
	wide atomic.Bool   // the API server does not select by the kind's field
	// reflector is that of the watch, nil before the first.
	reflector atomic.Pointer[cache.Reflector]
	refusals  refusals
}

func newKindWatch(n *Node, k kind) *kindWatch {
	return &kindWatch{kind: k, n: n, wake: make(chan struct{}, 1), refusals: refusals{least: n.looks.every / shared}}
}

// wanted says whether the kind is followed for a configured source: for SourceNode, to say when
// pods have other addresses.
func (k *kindWatch) wanted(configured Source) bool {
	return configured == SourceAuto || configured == SourceNode || configured == k.source
}

// run works until ctx ends.
func (k *kindWatch) run(ctx context.Context) {
	failing := backoff{max: k.n.pace.MaxBackoff}
	for ctx.Err() == nil {
		wait := idle
		if k.n.follows(k) {
			err := k.look(ctx)
			switch {
			case err == nil || errors.Is(err, errNotServed) || k.refusals.believed(err):
				failing.reset()
				wait = k.n.looks.wait()
			default:
				failing.failed(time.Now(), retryAfter(err))
				wait = time.Until(failing.until)
			}
			if errors.Is(err, errRestart) {
				continue
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// errNotServed says that the API has no such kind, errRestart that the watch has to begin anew.
var (
	errNotServed = errors.New("the API does not serve it")
	errRestart   = errors.New("another source or another store")
)

// look finds out whether there is such a kind, and follows it until it is gone, the API refuses
// it or something asks for a new start.
func (k *kindWatch) look(ctx context.Context) error {
	groups, err := k.n.looks.look(ctx)
	if err == nil {
		var served bool
		if served, err = k.n.client.serves(ctx, groups, k.resource); err == nil && !served {
			err = errNotServed
		}
	}
	if err == nil {
		err = k.follow(ctx)
	}
	if ctx.Err() == nil && !errors.Is(err, errRestart) {
		k.note(err)
	}
	return err
}

// follow has the evidence be what the objects say.
func (k *kindWatch) follow(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	saw := func(err error) {
		switch {
		case ctx.Err() != nil:
		case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
			stop(err)
		default:
			k.note(err)
		}
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := k.list(ctx, options)
			saw(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := k.watch(ctx, options)
			saw(err)
			return events, err
		},
	}
	woken := make(chan bool, 1)
	go func() {
		select {
		case <-ctx.Done():
			woken <- false
		case <-k.wake:
			stop(errRestart)
			woken <- true
		}
	}()
	expected := &unstructured.Unstructured{}
	expected.SetGroupVersionKind(k.resource.GroupVersion().WithKind(k.name))
	follow(ctx, source, &kindStore{k: k, own: map[string]shown{}},
		following{log: k.n.log.WithField("kind", k.name), backoff: k.n.pace.MaxBackoff, expected: expected, reflector: &k.reflector})
	if <-woken {
		return errRestart
	}
	return context.Cause(ctx)
}

// selecting says which objects the API server is to show.
func (k *kindWatch) selecting(options metav1.ListOptions) metav1.ListOptions {
	if !k.wide.Load() {
		options.FieldSelector = k.selector + "=" + k.n.name
	}
	return options
}

// tooNarrow reports whether the API server refused the selector, and if so drops it for good.
func (k *kindWatch) tooNarrow(err error) bool {
	return k.optional && apierrors.IsBadRequest(err) && k.wide.CompareAndSwap(false, true)
}

func (k *kindWatch) list(ctx context.Context, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	list, err := k.n.client.listObjects(ctx, k.resource, k.selecting(options))
	if k.tooNarrow(err) {
		return k.n.client.listObjects(ctx, k.resource, k.selecting(options))
	}
	return list, err
}

func (k *kindWatch) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	events, err := k.n.client.watchObjects(ctx, k.resource, k.selecting(options))
	if k.tooNarrow(err) {
		return k.n.client.watchObjects(ctx, k.resource, k.selecting(options))
	}
	return events, err
}

// readAgain returns what the store says now, past every cache.
func (k *kindWatch) readAgain(ctx context.Context) (evidence, error) {
	groups, err := k.n.client.groups(ctx)
	if err != nil {
		return evidence{}, err
	}
	served, err := k.n.client.serves(ctx, groups, k.resource)
	if err != nil {
		return evidence{}, err
	}
	if !served {
		return k.absent(), nil
	}
	const page = 500
	own, options := map[string]shown{}, metav1.ListOptions{Limit: page}
	for {
		list, err := k.list(ctx, options)
		if err != nil {
			return evidence{}, fmt.Errorf("list %s: %w", k.resource.Resource, err)
		}
		for i := range list.Items {
			if s, ok := k.show(&list.Items[i], k.n.name); ok {
				own[list.Items[i].GetName()] = s
			}
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return k.evidence(own), nil
		}
	}
}

// absent is the evidence of a kind that there is not.
func (k *kindWatch) absent() evidence { return none(k.source, "the API serves no "+k.name) }

// behind reports whether the store is at an earlier version than the watch, as after a restored
// backup: then the watch is silent until the store gets there.
func (k *kindWatch) behind(ctx context.Context) (bool, error) {
	r := k.reflector.Load()
	if r == nil || r.LastSyncResourceVersion() == "" {
		return false, nil
	}
	list, err := k.list(ctx, metav1.ListOptions{Limit: 1})
	refused := k.refusals.believed(err)
	if apierrors.IsNotFound(err) || refused {
		return false, nil // the watch notices too
	}
	if err != nil {
		return false, fmt.Errorf("list %s: %w", k.resource.Resource, err)
	}
	order, err := resourceversion.CompareResourceVersion(list.GetResourceVersion(), r.LastSyncResourceVersion())
	return err == nil && order < 0, nil
}

// note says what an answer about the kind means: there is no such kind, it may not be read, or
// something fails. What was known before stays known.
func (k *kindWatch) note(err error) {
	n, refused := k.n, k.refusals.believed(err)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !k.wanted(n.source) || apierrors.IsForbidden(err) && !refused {
		return
	}
	switch before := n.facts[k.source]; {
	case errors.Is(err, errNotServed):
		absent := k.absent()
		if err = nil; !before.known || before.shows() || before.reading.none != absent.reading.none {
			n.seen++
			n.facts[k.source] = absent
			n.settle(0)
		}
	case apierrors.IsNotFound(err):
		return // the next look tells
	case errors.As(err, new(*url.Error)):
		return // no answer at all: the watch of the Node, over the same connection, says so
	case refused:
		err = fmt.Errorf("%s can't be read: grant get, list and watch of %s in the group %s to underlayd: %w",
			k.source.place(), k.resource.Resource, k.resource.Group, err)
		if !before.known && !before.refused {
			n.facts[k.source] = evidence{refused: true}
			n.settle(0)
		}
	case err != nil:
		err = fmt.Errorf("%s: %w", k.source.place(), err)
	}
	if n.source != SourceNode { // there it is looked at for a warning alone
		n.problem(k.trouble, err)
	}
}
