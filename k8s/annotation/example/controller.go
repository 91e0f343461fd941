package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/underlayd/underlayd/k8s/annotation"
)

const (
	fieldManager = "underlayd-example"
	// gather is how long a change waits for others: Nodes change together.
	gather = time.Second
)

// settings are what the flags say.
type settings struct {
	namespace, name string
	pods            map[string]string
	within          []netip.Prefix
	quorum          quorum
	log             *slog.Logger
}

// controller keeps the policy. The queue holds one thing at most: "look again".
type controller struct {
	settings
	client    kubernetes.Interface
	factories []informers.SharedInformerFactory
	nodes     corelisters.NodeLister
	policies  networkinglisters.NetworkPolicyLister
	queue     workqueue.TypedRateLimitingInterface[struct{}]
}

func newController(client kubernetes.Interface, s settings) *controller {
	ours := informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, s.name).String()
	})
	all := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(annotationsOnly))
	one := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(s.namespace), ours)
	c := &controller{
		settings: s, client: client, factories: []informers.SharedInformerFactory{all, one},
		nodes: all.Core().V1().Nodes().Lister(), policies: one.Networking().V1().NetworkPolicies().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[struct{}]()),
	}
	for _, informer := range []cache.SharedIndexInformer{all.Core().V1().Nodes().Informer(), one.Networking().V1().NetworkPolicies().Informer()} {
		// The only error is that an informer has stopped, and these have not begun.
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { c.look() }, DeleteFunc: func(any) { c.look() },
			UpdateFunc: func(old, now any) {
				// A Node is written every few seconds by others; only what underlayd says counts.
				if !equality.Semantic.DeepEqual(contract(old), contract(now)) {
					c.look()
				}
			},
		})
	}
	return c
}

func (c *controller) look() { c.queue.AddAfter(struct{}{}, gather) }

// annotationsOnly keeps of a Node what is used here: with images and the rest a Node
// is a hundred times as large.
func annotationsOnly(object any) (any, error) {
	if node, ok := object.(*corev1.Node); ok {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Annotations: node.Annotations,
		}}, nil
	}
	return object, nil
}

// contract is what underlayd says on a Node; of anything else it is the thing itself.
func contract(object any) any {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object
	}
	said := map[string]string{}
	for _, key := range annotation.Keys() {
		if value, ok := node.Annotations[key]; ok {
			said[key] = value
		}
	}
	return said
}

// run works until ctx ends.
func (c *controller) run(ctx context.Context) error {
	for _, factory := range c.factories {
		factory.Start(ctx.Done())
		defer factory.Shutdown()
	}
	for _, factory := range c.factories {
		for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
			if !synced {
				return fmt.Errorf("%v: not read", kind)
			}
		}
	}
	c.look() // without any Node too
	stop := context.AfterFunc(ctx, c.queue.ShutDown)
	defer stop()
	for {
		item, ended := c.queue.Get()
		if ended {
			return nil
		}
		if err := c.sync(ctx); err != nil {
			c.log.Error("the policy is not what it should be", "err", err)
			c.queue.AddRateLimited(item)
		} else {
			c.queue.Forget(item)
		}
		c.queue.Done(item)
	}
}

// sync makes the policy what it should be. When it is, nothing is written.
func (c *controller) sync(ctx context.Context) error {
	list, err := c.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	nodes := make([]annotation.Annotated, len(list))
	for i := range list {
		nodes[i] = list[i]
	}
	policy, err := c.policies.NetworkPolicies(c.namespace).Get(c.name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	var now []netip.Prefix
	if policy != nil {
		now = opened(policy.Spec)
	}
	cidrs, unknown := c.quorum.open(nodes, now, c.within)
	for _, err := range unknown {
		c.log.Warn("a Node is unknown; nothing changes on account of it", "err", err)
	}
	want := spec(c.pods, cidrs)
	if policy != nil && equality.Semantic.DeepEqual(policy.Spec, want) {
		return nil
	}
	c.log.Info("policy", "routable", cidrs)
	policies := c.client.NetworkingV1().NetworkPolicies(c.namespace)
	if policy == nil {
		policy = &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: c.name}, Spec: want}
		_, err = policies.Create(ctx, policy, metav1.CreateOptions{FieldManager: fieldManager})
		return err
	}
	// Not an apply: it would leave the rules that somebody else put where we want none.
	policy = policy.DeepCopy()
	policy.Spec = want
	_, err = policies.Update(ctx, policy, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}

// spec is the policy for pods. Without any CIDR there is no rule: a rule with an empty
// list of peers would allow everything.
func spec(pods map[string]string, cidrs []netip.Prefix) networkingv1.NetworkPolicySpec {
	s := networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: pods},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	}
	if len(cidrs) == 0 {
		return s
	}
	var peers []networkingv1.NetworkPolicyPeer
	for _, cidr := range cidrs {
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr.String()}})
	}
	s.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers}}
	s.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers}}
	return s
}

// opened is what a policy opens now, as far as it is one of ours.
func opened(s networkingv1.NetworkPolicySpec) []netip.Prefix {
	var list []netip.Prefix
	for _, rule := range s.Egress {
		for _, peer := range rule.To {
			if peer.IPBlock == nil {
				continue
			}
			if prefix, err := netip.ParsePrefix(peer.IPBlock.CIDR); err == nil {
				list = append(list, prefix)
			}
		}
	}
	return list
}
