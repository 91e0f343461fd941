package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
)

// Config says what a Kubelet is to know.
type Config struct {
	Node    *containerlab.Node
	API     *apitest.Server
	Address netip.Addr // of the node, its InternalIP; that of its Pods, which are in the host's network
	// Binds are mount paths of containers where the lab has folders of this machine,
	// by path: what goes there is written into the folder.
	Binds map[string]string
	// Program returns where in the node the program of an image is; nil stands for
	// the path in its command, or what its name is in the node's PATH.
	Program func(image string) string
	// Every is how often the API is asked; 200 ms by default.
	Every time.Duration
}

// Kubelet runs the Pods of one Node. It ends with Close.
type Kubelet struct {
	Config
	client  kubernetes.Interface
	forward *containerlab.Forward
	cancel  context.CancelFunc
	ended   chan struct{} // closed when run has returned

	mu      sync.Mutex // guards problem
	problem error

	running map[types.UID]*pod // of run alone
}

// Start registers the Node, or takes over the one that is there, makes the API
// reachable in the node at the address it has here, and runs what is for it until
// Close.
func Start(ctx context.Context, c Config) (*Kubelet, error) {
	if c.Every == 0 {
		c.Every = 200 * time.Millisecond
	}
	k := &Kubelet{Config: c, client: c.API.Client(), ended: make(chan struct{}), running: map[types.UID]*pod{}}
	if err := k.register(ctx); err != nil {
		return nil, fmt.Errorf("kubelet of %s: %w", c.Node.Name(), err)
	}
	var err error
	if k.forward, err = c.Node.Forward(c.API.Address(), c.API.Address()); err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k.cancel = cancel
	go k.run(background)
	return k, nil
}

// Close ends the kubelet and leaves the Pods running, as the end of a kubelet does;
// they end with the lab.
func (k *Kubelet) Close() error {
	k.cancel()
	<-k.ended
	return k.forward.Close()
}

// Problem is what is wrong now, nil when nothing is: for those who wait in vain.
func (k *Kubelet) Problem() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.problem
}

// register makes the Node and says in its status what a kubelet would.
func (k *Kubelet) register(ctx context.Context) error {
	name := k.Node.Name()
	nodes := k.client.CoreV1().Nodes()
	_, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux",
	}}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	// The controllers write as well.
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		k.describe(&node.Status)
		_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
		return err
	})
}

func (k *Kubelet) describe(status *corev1.NodeStatus) {
	now := metav1.Now()
	status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: k.Node.Name()}, {Type: corev1.NodeInternalIP, Address: k.Address.String()},
	}
	status.Capacity = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	status.Allocatable = status.Capacity
	status.Conditions = append(status.Conditions, corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "the lab's kubelet runs",
		LastHeartbeatTime: now, LastTransitionTime: now,
	})
}

// run looks at the Pods again and again, and does what is to be done: what was
// missed once is seen the next time.
func (k *Kubelet) run(ctx context.Context) {
	defer close(k.ended)
	tick := time.NewTicker(k.Every)
	defer tick.Stop()
	for {
		err := k.sync(ctx)
		if ctx.Err() == nil {
			k.mu.Lock()
			k.problem = err
			k.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sync brings the node to what the API wants of it. What can't be read changes
// nothing: Pods outlive an API that is away.
func (k *Kubelet) sync(ctx context.Context) error {
	list, err := k.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	wanted := map[types.UID]bool{}
	for i := range list.Items {
		object := &list.Items[i]
		switch {
		case object.Spec.NodeName == "" && apitest.Target(object) == k.Node.Name():
			errs = append(errs, k.API.Bind(ctx, object))
		case object.Spec.NodeName == k.Node.Name():
			wanted[object.UID] = true
			errs = append(errs, k.tend(ctx, object))
		}
	}
	for uid, p := range k.running {
		if !wanted[uid] { // deleted by force
			errs = append(errs, p.stop(ctx, 0))
			delete(k.running, uid)
		}
	}
	return errors.Join(errs...)
}

// tend brings one Pod of the node further.
func (k *Kubelet) tend(ctx context.Context, object *corev1.Pod) error {
	p := k.running[object.UID]
	if object.DeletionTimestamp != nil {
		return k.finish(ctx, object, p)
	}
	if p == nil {
		if len(object.Spec.Containers) != 1 || !object.Spec.HostNetwork {
			return fmt.Errorf("pod %s: only one container in the host's network can be run", object.Name)
		}
		p = &pod{kubelet: k}
		k.running[object.UID] = p
	}
	p.object = object
	if err := p.volumes(ctx); err != nil {
		return fmt.Errorf("pod %s: %w", object.Name, err)
	}
	if err := p.start(); err != nil {
		return fmt.Errorf("pod %s: %w", object.Name, err)
	}
	return p.report(ctx)
}

// finish ends a Pod that is being deleted and says that it has ended.
func (k *Kubelet) finish(ctx context.Context, object *corev1.Pod, p *pod) error {
	if p != nil {
		grace := int64(30)
		if object.DeletionGracePeriodSeconds != nil {
			grace = *object.DeletionGracePeriodSeconds
		}
		if err := p.stop(ctx, time.Duration(grace)*time.Second); err != nil {
			return err
		}
		delete(k.running, object.UID)
	}
	err := k.client.CoreV1().Pods(object.Namespace).Delete(ctx, object.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &object.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // it, or another one of its name
		err = nil
	}
	return err
}

// inNode is where a path of the node is seen from here. /var/run is a link to /run,
// which would lead to this machine's.
func (k *Kubelet) inNode(path string) string {
	if rest, ok := strings.CutPrefix(path, "/var/run/"); ok {
		path = "/run/" + rest
	}
	if folder, ok := k.Binds[path]; ok {
		return folder
	}
	return k.Node.Path(path)
}
