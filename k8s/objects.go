package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// serves reports whether the API serves a kind. No is the API's own word only: a 404 may be that
// of a proxy. groups are those that it serves.
func (c *client) serves(ctx context.Context, groups *metav1.APIGroupList, resource schema.GroupVersionResource) (bool, error) {
	version := resource.GroupVersion().String()
	for _, group := range groups.Groups {
		for _, v := range group.Versions {
			if group.Name == resource.Group && v.GroupVersion == version {
				return c.servesResource(ctx, resource)
			}
		}
	}
	return false, nil
}

// groups asks the API which groups of kinds it serves.
func (c *client) groups(ctx context.Context) (*metav1.APIGroupList, error) {
	var groups metav1.APIGroupList
	if err := c.discover(ctx, &groups, "/apis"); err != nil {
		return nil, err
	}
	if groups.Kind != "APIGroupList" {
		return nil, errors.New("the answer on /apis is not a list of API groups")
	}
	return &groups, nil
}

func (c *client) servesResource(ctx context.Context, resource schema.GroupVersionResource) (bool, error) {
	var resources metav1.APIResourceList
	if err := c.discover(ctx, &resources, "/apis", resource.Group, resource.Version); err != nil {
		return false, err
	}
	if resources.Kind != "APIResourceList" {
		return false, fmt.Errorf("the answer on /apis/%s is not a list of resources", resource.GroupVersion())
	}
	for _, r := range resources.APIResources {
		if r.Name == resource.Resource {
			return true, nil
		}
	}
	return false, nil
}

func (c *client) discover(ctx context.Context, into any, path ...string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := c.objects.Get().AbsPath(path...).MaxRetries(0).Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("look what the API serves: %w", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("look what the API serves: the answer is not JSON")
	}
	return nil
}

func (c *client) objectsOf(resource schema.GroupVersionResource, options *metav1.ListOptions) *rest.Request {
	return c.objects.Get().AbsPath("/apis", resource.Group, resource.Version, resource.Resource).
		SpecificallyVersionedParams(options, c.parameters, schema.GroupVersion{Version: "v1"}).MaxRetries(0)
}

func (c *client) listObjects(ctx context.Context, resource schema.GroupVersionResource, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list := &unstructured.UnstructuredList{}
	err := c.objectsOf(resource, &options).Do(ctx).Into(list)
	return list, err
}

func (c *client) watchObjects(ctx context.Context, resource schema.GroupVersionResource, options metav1.ListOptions) (watch.Interface, error) {
	options.Watch = true
	request := c.objectsOf(resource, &options)
	return openWatch(ctx, request, options)
}
