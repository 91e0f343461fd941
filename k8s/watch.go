package k8s

import (
	"context"
	"errors"
	"math"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// watch keeps the Node current until ctx ends. client-go's reflector does what
// is hard: it lists, watches from there, goes on where a cut watch ended, lists
// again when the version is gone (410), and backs off with jitter. Its store is
// the Node itself: for one object an informer's queue and cache are ballast.
func (n *Node) watch(ctx context.Context) {
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			nodes, err := n.client.listNode(ctx, n.name, options)
			n.watched(ctx, err)
			return nodes, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := n.client.watchNode(ctx, n.name, options)
			n.watched(ctx, err)
			return events, err
		},
	}
	follow(ctx, source, nodeStore{n}, following{log: n.log.WithField("node", n.name), backoff: n.pace.MaxBackoff, expected: &corev1.Node{}})
}

// following is how objects are followed.
type following struct {
	log      logrus.FieldLogger
	backoff  time.Duration // the longest
	expected runtime.Object
	// reflector, unless nil, is where to put who does it.
	reflector *atomic.Pointer[cache.Reflector]
}

// follow has the store know what the source says until ctx ends.
func follow(ctx context.Context, source *cache.ListWatch, store cache.ReflectorStore, how following) {
	logger := logr.New(logSink{how.log})
	const first = 500 * time.Millisecond
	reflector := cache.NewReflectorWithOptions(source, how.expected, store, cache.ReflectorOptions{
		Name: "node", Logger: &logger,
		Backoff: &wait.Backoff{
			Duration: first, Cap: how.backoff, Factor: 2, Jitter: 0.5,
			Steps: int(math.Ceil(math.Log2(float64(how.backoff)/float64(first)))) + 1,
		},
	})
	if how.reflector != nil {
		how.reflector.Store(reflector)
	}
	reflector.RunWithContext(klog.NewContext(ctx, logger))
}

// answerless recognises what client-go makes of a connection that is accepted and
// closed, as a load balancer in front of a dead API server does: an empty watch
// and no error. It is no contact with the API.
func answerless(events watch.Interface) bool {
	return reflect.TypeOf(events) == reflect.TypeOf(watch.NewEmptyWatch())
}

func (n *Node) watched(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil && n.problems[watching] != nil {
		// A watch that goes on at a version of the future, as after a restored backup,
		// is silent until the store gets there. A list of the Node tells of its own watch alone.
		n.mistrust()
		n.apart = time.Now()
	}
	n.problem(watching, err)
	if err == nil {
		n.contact()
	}
}

// nodeStore receives what the reflector learns, one call at a time.
type nodeStore struct{ n *Node }

func (s nodeStore) Add(object any) error    { return s.Update(object) }
func (s nodeStore) Resync() error           { return nil }
func (s nodeStore) Delete(object any) error { s.n.observe(nil); return nil }

func (s nodeStore) Update(object any) error {
	node, ok := object.(*corev1.Node)
	if !ok || node.Name != s.n.name {
		return errors.New("not the Node that was asked for")
	}
	s.n.observe(node)
	return nil
}

// Replace takes a whole list: the Node, or nothing when there is none.
func (s nodeStore) Replace(objects []any, _ string) error {
	if len(objects) == 0 {
		s.n.observe(nil)
		return nil
	}
	return s.Update(objects[0])
}

// logSink gives client-go's own messages to our logger, at debug level: what an
// operator must know, this package says itself.
type logSink struct{ log logrus.FieldLogger }

func (logSink) Init(logr.RuntimeInfo) {}

func (logSink) Enabled(level int) bool { return level <= 2 }

func (s logSink) Info(_ int, message string, pairs ...any) { s.with(pairs).Debug(message) }

func (s logSink) Error(err error, message string, pairs ...any) {
	s.with(pairs).WithError(err).Debug(message)
}

func (s logSink) WithValues(pairs ...any) logr.LogSink { return logSink{s.with(pairs)} }

func (s logSink) WithName(string) logr.LogSink { return s }

func (s logSink) with(pairs []any) logrus.FieldLogger {
	fields := logrus.Fields{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if key, ok := pairs[i].(string); ok {
			fields[key] = pairs[i+1]
		}
	}
	return s.log.WithFields(fields)
}
