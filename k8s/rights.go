package k8s

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// Right is one thing that somebody may do, by RBAC or otherwise.
type Right struct {
	Verb, Group, Resource string
	Subresource           string
	Namespace, Name       string // empty: in all, and of each
}

func (r Right) String() string {
	what := r.Resource
	if r.Subresource != "" {
		what += "/" + r.Subresource
	}
	if r.Group != "" {
		what += "." + r.Group
	}
	text := r.Verb + " " + strings.TrimSpace(what+" "+r.Name)
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	return text
}

// Denied asks the API which of these rights the configuration's user does not have. Everybody who is known to the API may ask
// that of himself (system:basic-user). What admission refuses it does not know.
func Denied(ctx context.Context, config *rest.Config, rights []Right) (denied []Right, err error) {
	scheme := runtime.NewScheme()
	if err := authorizationv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	config = rest.CopyConfig(config)
	config.UserAgent, config.APIPath, config.GroupVersion = "underlayd", "/apis", &authorizationv1.SchemeGroupVersion
	config.QPS, config.Burst, config.WarningHandler = clientQPS, len(rights)+1, rest.NoWarnings{}
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	defer client.Client.CloseIdleConnections()
	for _, r := range rights {
		review := &authorizationv1.SelfSubjectAccessReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"},
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Namespace: r.Namespace, Name: r.Name,
			}},
		}
		if err := client.Post().Resource("selfsubjectaccessreviews").Body(review).Do(ctx).Into(review); err != nil {
			return nil, fmt.Errorf("ask whether one may %s: %w", r, err)
		}
		if !review.Status.Allowed {
			denied = append(denied, r)
		}
	}
	return denied, nil
}
