package apitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	agentNamespace = "kube-system"
	agentAccount   = "underlayd"
)

// Install applies the product's own manifests (k8s/deploy/base) as an
// administrator would, with server-side apply and strict field validation. The
// API server takes a moment more to put admission policies in force. Twice does
// no harm.
func (s *Server) Install(ctx context.Context, base fs.FS) error {
	objects, err := Manifests(base)
	if err != nil {
		return err
	}
	return s.Apply(ctx, objects, false)
}

// Apply is Install for objects from elsewhere. A dry run changes nothing: what the
// API server would refuse is an error all the same.
func (s *Server) Apply(ctx context.Context, objects []*unstructured.Unstructured, dryRun bool) error {
	options := metav1.PatchOptions{FieldManager: "apitest", FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	client, err := dynamic.NewForConfig(s.Admin())
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	groups, err := restmapper.GetAPIGroupResources(discovery.NewDiscoveryClient(s.admin.Discovery().RESTClient()))
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	for _, object := range objects {
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("install %s: %w", object.GetName(), err)
		}
		data, err := object.MarshalJSON()
		if err != nil {
			return fmt.Errorf("install %s: %w", object.GetName(), err)
		}
		_, err = client.Resource(mapping.Resource).Namespace(object.GetNamespace()).Patch(ctx, object.GetName(),
			"application/apply-patch+yaml", data, options)
		if err != nil {
			return fmt.Errorf("install %s %s: %w", kind.Kind, object.GetName(), err)
		}
	}
	return nil
}

// Manifests returns the objects of a kustomize base in the order its
// kustomization.yaml lists them. It reads plain resources only, and says so of
// anything else.
func Manifests(base fs.FS) ([]*unstructured.Unstructured, error) {
	data, err := fs.ReadFile(base, "kustomization.yaml")
	if err != nil {
		return nil, fmt.Errorf("manifests: %w", err)
	}
	var kustomization struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Resources  []string `json:"resources"`
	}
	if err := sigsyaml.UnmarshalStrict(data, &kustomization); err != nil {
		return nil, fmt.Errorf("kustomization.yaml: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, name := range kustomization.Resources {
		data, err := fs.ReadFile(base, name)
		if err != nil {
			return nil, fmt.Errorf("manifests: %w", err)
		}
		more, err := Objects(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

// Objects returns the objects of a YAML text, in its order; documents with nothing
// in them are none.
func Objects(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// Agent returns the configuration of the agent on one node: the service account
// of the manifests with a token bound to a Pod on that node, as the kubelet
// obtains it. Install comes first. While controllers run the Pod is the one that the
// DaemonSet controller made for the Node, which has to be there; without them one is
// made.
func (s *Server) Agent(ctx context.Context, node string) (*rest.Config, error) {
	pod := s.makePod
	if s.controllers != nil {
		pod = s.awaitPod
	}
	created, err := pod(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("pod of the agent on %s: %w", node, err)
	}
	seconds := int64(time.Hour / time.Second)
	token, err := s.admin.CoreV1().ServiceAccounts(agentNamespace).CreateToken(ctx, agentAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &seconds,
			BoundObjectRef: &authenticationv1.BoundObjectReference{
				APIVersion: "v1", Kind: "Pod", Name: created.Name, UID: created.UID,
			},
		}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token of the agent on %s: %w", node, err)
	}
	return s.config(token.Status.Token), nil
}

// makePod makes a Pod like the DaemonSet's, or returns the one that it made before.
func (s *Server) makePod(ctx context.Context, node string) (*corev1.Pod, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "underlayd-" + node, Namespace: agentNamespace},
		Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: agentAccount, HostNetwork: true,
			Containers: []corev1.Container{{Name: "underlayd", Image: "underlayd"}},
		},
	}
	pods := s.admin.CoreV1().Pods(agentNamespace)
	created, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		created, err = pods.Get(ctx, pod.Name, metav1.GetOptions{})
	}
	return created, err
}

// awaitPod waits for the Pod that the DaemonSet controller makes for a node, and
// binds it as the scheduler does.
func (s *Server) awaitPod(ctx context.Context, node string) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pods := s.admin.CoreV1().Pods(agentNamespace)
	var found *corev1.Pod
	err := poll(ctx, func() (bool, error) {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=underlayd"})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if Target(&list.Items[i]) == node {
				found = &list.Items[i]
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, s.ControllersLog())
	}
	if found.Spec.NodeName == "" {
		err = s.Bind(ctx, found)
	}
	return found, err
}

// Target is the node that the DaemonSet controller made a Pod for; empty: none.
func Target(pod *corev1.Pod) string {
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == metav1.ObjectNameField && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}

// Bind does what the scheduler does with a Pod of a DaemonSet: it goes to its Target.
func (s *Server) Bind(ctx context.Context, pod *corev1.Pod) error {
	return s.admin.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
		Target:     corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: Target(pod)},
	}, metav1.CreateOptions{})
}

// Kubeconfig writes a configuration as a kubeconfig file, readable by its owner
// only, and returns its path. The file goes with the Server.
func (s *Server) Kubeconfig(config *rest.Config) (string, error) {
	file := clientcmdapi.NewConfig()
	file.Clusters["apitest"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos["apitest"] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	file.Contexts["apitest"] = &clientcmdapi.Context{Cluster: "apitest", AuthInfo: "apitest"}
	file.CurrentContext = "apitest"
	data, err := clientcmd.Write(*file)
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	path := filepath.Join(s.scratch.dir, "kubeconfig-"+secret()[:8])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	return path, nil
}
