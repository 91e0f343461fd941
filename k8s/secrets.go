package k8s

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// SecretsConfig is what Secrets need. REST, Namespace and Log are required.
type SecretsConfig struct {
	REST      *rest.Config // from Connect; not changed
	Namespace string       // of the Secrets
	Log       logrus.FieldLogger
	Pace      Pace
}

// Secrets follows Secrets of one namespace, each by its name: the right to get, list and
// watch that name (resourceNames) is enough, and it costs a watch for each name. What they
// hold is kept in memory alone and never logged. All methods may be called from any
// goroutine; Run must run for any of them to have effect.
type Secrets struct {
	namespace string
	log       logrus.FieldLogger
	client    *client
	pace      Pace
	changed   chan struct{}
	wake      chan struct{} // for Run: other ones are wanted

	mu    sync.Mutex // guards all below
	known map[string]*secretBelief
}

// secretBelief is what is known of a Secret that is followed.
type secretBelief struct {
	shown bool              // the API has said what there is, or that there is none
	held  map[string][]byte // what it holds, or held; never changed, only replaced
	now   map[string][]byte // what it holds now; nil: there is none
	err   error             // why it can't be followed at present
}

// ErrSecretUnread says that the API has not shown a Secret yet, nor that there is none. It
// never comes back once it did.
var ErrSecretUnread = errors.New("not read from the API yet")

// NewSecrets makes Secrets; it sends nothing. An error means an unusable config.
func NewSecrets(config SecretsConfig) (*Secrets, error) {
	if config.REST == nil || config.Namespace == "" || config.Log == nil {
		return nil, errors.New("kubernetes: REST, Namespace and Log are required")
	}
	client, err := newClient(config.REST)
	if err != nil {
		return nil, err
	}
	return &Secrets{
		namespace: config.Namespace, log: config.Log, client: client, pace: config.Pace.withDefaults(),
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), known: map[string]*secretBelief{},
	}, nil
}

// Follow makes the Secrets that are followed those with these names, and forgets the
// others. The same ones again cost nothing.
func (s *Secrets) Follow(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := make(map[string]*secretBelief, len(names))
	others := false
	for _, name := range names {
		if known[name] = s.known[name]; known[name] == nil {
			known[name], others = &secretBelief{}, true
		}
	}
	if others || len(known) != len(s.known) {
		s.known = known
		poke(s.wake)
	}
}

// Value returns what a key of a Secret holds, which must not be changed. An error says why
// it is not what is there now; beside it is what the Secret held last, nil if it never did:
// one that is deleted, to be made again maybe, takes no value away, and an API that does
// not answer none either. The error is ErrSecretUnread until the API has answered.
func (s *Secrets) Value(name, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.called(name)
	b := s.known[name]
	switch {
	case b == nil:
		return nil, fmt.Errorf("%s: %w", of, ErrSecretUnread)
	case b.err != nil && !b.shown:
		return nil, fmt.Errorf("%s: %w: %w", of, ErrSecretUnread, b.err)
	case !b.shown:
		return nil, fmt.Errorf("%s: %w", of, ErrSecretUnread)
	case b.now == nil:
		return b.held[key], fmt.Errorf("%s: there is none of this name", of)
	}
	if value, has := b.now[key]; has {
		return value, nil
	}
	return b.held[key], fmt.Errorf("%s: has no key %s", of, key)
}

func (s *Secrets) called(name string) string { return "Secret " + s.namespace + "/" + name }

// Problem is why Secrets can't be followed at present; nil if they can. It names no value.
func (s *Secrets) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.known)) {
		if err := s.known[name].err; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.called(name), err))
		}
	}
	return errors.Join(errs...)
}

// Changed has a value after Value or Problem may answer differently. It holds one value at
// most, is never closed and has one reader.
func (s *Secrets) Changed() <-chan struct{} { return s.changed }

// Run follows the Secrets until ctx ends, then returns nil. It is called once.
func (s *Secrets) Run(ctx context.Context) error {
	defer s.client.http.CloseIdleConnections()
	running := map[string]context.CancelFunc{}
	var all sync.WaitGroup
	defer all.Wait()
	for {
		names := s.names()
		for name, end := range running {
			if !slices.Contains(names, name) {
				end()
				delete(running, name)
			}
		}
		for _, name := range names {
			if running[name] == nil {
				one, end := context.WithCancel(ctx)
				running[name] = end
				all.Go(func() { s.watch(one, name) })
			}
		}
		select {
		case <-ctx.Done():
			for _, end := range running {
				end()
			}
			return nil
		case <-s.wake:
		}
	}
}

func (s *Secrets) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.known))
}

// watch keeps one Secret current until ctx ends. The API authorizes a list and a watch of one
// name by that name.
func (s *Secrets) watch(ctx context.Context, name string) {
	selecting := func(options metav1.ListOptions) metav1.ListOptions {
		options.FieldSelector = metav1.ObjectNameField + "=" + name
		return options
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := s.client.listSecrets(ctx, s.namespace, selecting(options))
			s.answered(ctx, name, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := s.client.watchSecrets(ctx, s.namespace, selecting(options))
			s.answered(ctx, name, err)
			return events, err
		},
	}
	follow(ctx, source, secretStore{s, name, ctx}, following{log: s.log, backoff: s.pace.MaxBackoff, expected: &corev1.Secret{}})
}

// answered notes whether the API shows a Secret, and logs each turn once.
func (s *Secrets) answered(ctx context.Context, name string, err error) {
	if ctx.Err() != nil {
		return
	}
	if apierrors.IsForbidden(err) {
		err = fmt.Errorf("grant get, list and watch of secrets with the resourceNames [%s] in namespace %s to underlayd: %w", name, s.namespace, err)
	}
	var unreachable *url.Error
	if errors.As(err, &unreachable) {
		err = unreachable.Err // not the whole request
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.known[name]
	if b == nil {
		return
	}
	log := s.log.WithField("secret", s.namespace+"/"+name)
	switch {
	case err != nil && b.err == nil:
		log.WithError(err).Warn("Secret: can't be followed, will be tried again; what it held stays in force")
	case err == nil && b.err != nil:
		log.Info("Secret: followed again")
	}
	if (err == nil) != (b.err == nil) {
		poke(s.changed)
	}
	b.err = err
}

// take notes what a Secret holds; nil: there is none.
func (s *Secrets) take(ctx context.Context, name string, data map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.known[name]
	if b == nil || ctx.Err() != nil {
		return
	}
	b.shown, b.now = true, data
	if len(data) > 0 {
		held := maps.Clone(b.held)
		if held == nil {
			held = map[string][]byte{}
		}
		maps.Copy(held, data)
		b.held = held
	}
	poke(s.changed)
}

// secretStore receives what the reflector learns, one call at a time.
type secretStore struct {
	s    *Secrets
	name string
	ctx  context.Context //nolint:containedctx // of the watch: what it learns late is of no Secret that is followed
}

func (t secretStore) Add(object any) error { return t.Update(object) }
func (t secretStore) Resync() error        { return nil }

func (t secretStore) Update(object any) error {
	secret, ok := object.(*corev1.Secret)
	if !ok || secret.Name != t.name {
		return errors.New("not the Secret that was asked for")
	}
	data := secret.Data
	if data == nil {
		data = map[string][]byte{}
	}
	t.s.take(t.ctx, t.name, data)
	return nil
}

func (t secretStore) Delete(any) error {
	t.s.take(t.ctx, t.name, nil)
	return nil
}

// Replace takes a whole list: the Secret, or nothing when there is none.
func (t secretStore) Replace(objects []any, _ string) error {
	if len(objects) == 0 {
		t.s.take(t.ctx, t.name, nil)
		return nil
	}
	return t.Update(objects[0])
}
