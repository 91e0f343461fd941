package k8s

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// ErrNotInCluster says that there is no kubeconfig and the process does not run
// in a Pod with a service account.
var ErrNotInCluster = errors.New("no kubeconfig, and not in a Kubernetes Pod")

// The whole agent's share of the API: a watch, a Lease every ten seconds and
// the odd patch need far less.
const (
	clientQPS   = 5
	clientBurst = 10
)

const tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path, not a credential

// InCluster reports whether Connect("") can work: the process runs in a Pod
// with a service account. The setting kubernetes.enabled: auto asks it.
func InCluster() bool {
	_, err := os.Stat(tokenFile)
	return err == nil && os.Getenv("KUBERNETES_SERVICE_HOST") != "" && os.Getenv("KUBERNETES_SERVICE_PORT") != ""
}

// Connect returns how to reach the API: by the kubeconfig file, or as the Pod's
// service account when the path is empty (ErrNotInCluster when there is none).
// Nothing is sent yet. The file is trusted local configuration, credential
// plugins included; no error repeats its content.
func Connect(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) || errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotInCluster
		}
		if err != nil {
			return nil, fmt.Errorf("in-cluster configuration: %w", err)
		}
		return config, nil
	}
	// LoadFromFile opens the file itself; opening it first tells an absent file
	// from a broken one. A decoder may quote the text it stumbled over, and that
	// may be a token: its error is not passed on.
	if _, err := os.ReadFile(kubeconfig); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	file, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: not valid (its content is not shown, it may hold credentials)", kubeconfig)
	}
	if err := clientcmd.ResolveLocalPaths(file); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	config, err := clientcmd.NewDefaultClientConfig(*file, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	return config, nil
}

const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// Namespace returns the namespace of the daemon's own: that of its Pod, or the one that the
// kubeconfig's context names; else that of the manifests.
func Namespace(kubeconfig string) string {
	if kubeconfig == "" {
		if text, err := os.ReadFile(namespaceFile); err == nil && len(text) > 0 {
			return strings.TrimSpace(string(text))
		}
		return annotation.LeaseNamespace
	}
	if file, err := clientcmd.LoadFromFile(kubeconfig); err == nil {
		if now := file.Contexts[file.CurrentContext]; now != nil && now.Namespace != "" {
			return now.Namespace
		}
	}
	return annotation.LeaseNamespace
}

// client speaks to the three API groups the agent needs, and reads objects of others. client-go's full
// clientset would register every type of Kubernetes: 20 MB for one Node.
type client struct {
	core, coordination *rest.RESTClient
	objects            *rest.RESTClient // of any group, as client-go's dynamic client speaks with it
	events             *rest.RESTClient // with a limit of its own: Events delay nothing
	parameters         runtime.ParameterCodec
	http               *http.Client
}

func newClient(given *rest.Config) (*client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), eventsv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	config := rest.CopyConfig(given)
	config.UserAgent = "underlayd"
	config.Timeout = 0 // would cut the watch as well; each call has its own deadline
	config.WarningHandler = rest.NoWarnings{}
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(clientQPS, clientBurst)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c := &client{parameters: runtime.NewParameterCodec(scheme)}
	var err error
	if c.http, err = rest.HTTPClientFor(config); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	group := func(path string, version schema.GroupVersion) *rest.RESTClient {
		config := rest.CopyConfig(config)
		config.APIPath, config.GroupVersion = path, &version
		client, failure := rest.RESTClientForConfigAndClient(config, c.http)
		err = errors.Join(err, failure)
		return client
	}
	c.core = group("/api", corev1.SchemeGroupVersion)
	c.coordination = group("/apis", coordinationv1.SchemeGroupVersion)
	objects, failure := rest.UnversionedRESTClientForConfigAndClient(objectConfig(config), c.http)
	c.objects, err = objects, errors.Join(err, failure)
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(clientQPS, clientBurst)
	c.events = group("/apis", eventsv1.SchemeGroupVersion)
	if err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	return c, nil
}

// objectConfig has objects decoded without a type, in JSON: others' kinds have no protobuf.
func objectConfig(config *rest.Config) *rest.Config {
	out := dynamic.ConfigFor(config)
	out.APIPath, out.GroupVersion = "/apis", nil
	return out
}
