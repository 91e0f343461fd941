package k8s

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// Access is how a person reaches a cluster: as kubectl does, with nothing given.
type Access struct {
	Kubeconfig string // empty: $KUBECONFIG, or else ~/.kube/config
	Context    string // empty: the current one
	Namespace  string // of the daemons; empty: that of the manifests
	Selector   string // of their Pods, as kubectl get -l takes
}

// Agent is one daemon.
type Agent struct {
	Node  string
	Phase string   // of its Pod
	URL   *url.URL // of what it serves over HTTP, by way of the API server
}

// Agents are the daemons of a cluster, and how they are asked by way of the API server's proxy of Pods. It takes the rights
// to list Pods in the namespace and to get their subresource proxy.
type Agents struct {
	client *client
	access Access
	port   int
}

// NewAgents makes them; port is the one that the daemons serve HTTP on. Nothing is sent yet.
func NewAgents(access Access, port int) (*Agents, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = access.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: access.Context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	access.Namespace = cmp.Or(access.Namespace, annotation.LeaseNamespace)
	return &Agents{client: c, access: access, port: port}, nil
}

// HTTP is what speaks with the API server.
func (a *Agents) HTTP() *http.Client { return a.client.http }

// List returns the daemons, by node. A node has more than one while a Pod of an older version goes.
func (a *Agents) List(ctx context.Context) ([]Agent, error) {
	var pods corev1.PodList
	err := a.client.core.Get().Namespace(a.access.Namespace).Resource("pods").
		VersionedParams(&metav1.ListOptions{LabelSelector: a.access.Selector}, a.client.parameters).Do(ctx).Into(&pods)
	if err != nil {
		return nil, fmt.Errorf("pods %s in namespace %s: %w", a.access.Selector, a.access.Namespace, err)
	}
	var all []Agent
	for i := range pods.Items {
		p := &pods.Items[i]
		all = append(all, Agent{Node: p.Spec.NodeName, Phase: string(p.Status.Phase), URL: a.client.core.Get().Namespace(p.Namespace).
			Resource("pods").Name("http:" + p.Name + ":" + strconv.Itoa(a.port)).SubResource("proxy").URL()})
	}
	if len(all) == 0 {
		return nil, errors.New("no Pods " + a.access.Selector + " in namespace " + a.access.Namespace)
	}
	slices.SortStableFunc(all, func(x, y Agent) int { return cmp.Compare(x.Node, y.Node) })
	return all, nil
}
