package k8s

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// requestTimeout bounds every call but the watch, whose connection client-go
// probes by itself.
const requestTimeout = 15 * time.Second

// Each call is one request: client-go's own retries would sleep in the middle of
// a call and hide from Stats and from the back-off what the server says.

func (c *client) listNode(ctx context.Context, name string, options metav1.ListOptions) (*corev1.NodeList, error) {
	options.FieldSelector = metav1.ObjectNameField + "=" + name
	return c.listNodes(ctx, options)
}

func (c *client) listNodes(ctx context.Context, options metav1.ListOptions) (*corev1.NodeList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	nodes := &corev1.NodeList{}
	err := c.core.Get().Resource("nodes").VersionedParams(&options, c.parameters).MaxRetries(0).Do(ctx).Into(nodes)
	return nodes, err
}

// getNode reads the Node without a resource version: the API server answers from the
// store and not from a cache of its own.
func (c *client) getNode(ctx context.Context, name string) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	node := &corev1.Node{}
	err := c.core.Get().Resource("nodes").Name(name).MaxRetries(0).Do(ctx).Into(node)
	return node, err
}

func (c *client) watchNode(ctx context.Context, name string, options metav1.ListOptions) (watch.Interface, error) {
	options.FieldSelector = metav1.ObjectNameField + "=" + name
	return c.watchNodes(ctx, options)
}

func (c *client) watchNodes(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.Watch = true
	request := c.core.Get().Resource("nodes").VersionedParams(&options, c.parameters).MaxRetries(0)
	return openWatch(ctx, request, options)
}

// openWatch begins a watch.
func openWatch(ctx context.Context, request *rest.Request, options metav1.ListOptions) (watch.Interface, error) {
	if options.TimeoutSeconds != nil {
		// The server ends the watch by then; a server that forgets is left.
		request = request.Timeout(time.Duration(*options.TimeoutSeconds)*time.Second + requestTimeout)
	}
	events, err := request.Watch(ctx)
	if err == nil && answerless(events) {
		return events, errors.New("the connection was closed before an answer")
	}
	return events, err
}

// patchStatus sends a patch to nodes/status and returns the Node as it is then.
func (c *client) patchStatus(ctx context.Context, name string, kind types.PatchType, body []byte) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	options := metav1.PatchOptions{FieldManager: annotation.FieldManager}
	if kind == types.ApplyPatchType {
		force := true // over our own fields only: the body holds no others
		options.Force = &force
	}
	node := &corev1.Node{}
	err := c.core.Patch(kind).Resource("nodes").Name(name).SubResource("status").
		VersionedParams(&options, c.parameters).Body(body).MaxRetries(0).Do(ctx).Into(node)
	if err != nil {
		return nil, fmt.Errorf("write status of node %s: %w", name, err)
	}
	return node, nil
}

// patchNode sends a patch to the Node itself and returns the Node as it is then.
func (c *client) patchNode(ctx context.Context, name string, kind types.PatchType, body []byte) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	options := metav1.PatchOptions{FieldManager: annotation.FieldManager}
	node := &corev1.Node{}
	err := c.core.Patch(kind).Resource("nodes").Name(name).VersionedParams(&options, c.parameters).Body(body).MaxRetries(0).Do(ctx).Into(node)
	if err != nil {
		return nil, fmt.Errorf("remove the startup taint of node %s: %w", name, err)
	}
	return node, nil
}

func (c *client) listSecrets(ctx context.Context, namespace string, options metav1.ListOptions) (*corev1.SecretList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list := &corev1.SecretList{}
	err := c.core.Get().Namespace(namespace).Resource("secrets").VersionedParams(&options, c.parameters).MaxRetries(0).Do(ctx).Into(list)
	return list, err
}

func (c *client) watchSecrets(ctx context.Context, namespace string, options metav1.ListOptions) (watch.Interface, error) {
	options.Watch = true
	request := c.core.Get().Namespace(namespace).Resource("secrets").VersionedParams(&options, c.parameters).MaxRetries(0)
	return openWatch(ctx, request, options)
}

func (c *client) getLease(ctx context.Context, namespace, name string) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	lease := &coordinationv1.Lease{}
	err := c.coordination.Get().Namespace(namespace).Resource("leases").Name(name).MaxRetries(0).Do(ctx).Into(lease)
	return lease, err
}

// putLease creates the lease when it has no version yet, and updates it otherwise.
func (c *client) putLease(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request := c.coordination.Post()
	if lease.ResourceVersion != "" {
		request = c.coordination.Put().Name(lease.Name)
	}
	stored := &coordinationv1.Lease{}
	err := request.Namespace(lease.Namespace).Resource("leases").Body(lease).MaxRetries(0).Do(ctx).Into(stored)
	return stored, err
}

func (c *client) deleteLease(ctx context.Context, namespace, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.coordination.Delete().Namespace(namespace).Resource("leases").Name(name).MaxRetries(0).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete lease %s/%s: %w", namespace, name, err)
	}
	return nil
}

func (c *client) createEvent(ctx context.Context, event *eventsv1.Event) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.events.Post().Namespace(event.Namespace).Resource("events").Body(event).MaxRetries(0).Do(ctx).Error()
}

func (c *client) patchEvent(ctx context.Context, namespace, name string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.events.Patch(types.MergePatchType).Namespace(namespace).Resource("events").Name(name).Body(body).MaxRetries(0).Do(ctx).Error()
}

// retryAfter returns how long the server asked to be left alone, zero if it did
// not. More than five minutes is taken as five: a proxy's odd answer must not
// silence a node for a day.
func retryAfter(err error) time.Duration {
	seconds, ok := apierrors.SuggestsClientDelay(err)
	if !ok || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, 5*time.Minute)
}

// answered reports whether an error is an answer of the API, not the lack of one.
func answered(err error) bool {
	var status apierrors.APIStatus
	var contested *contestError
	return errors.As(err, &status) || errors.As(err, &contested)
}
