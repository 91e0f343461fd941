package apitest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"
)

// Kubelets do for many Nodes what their kubelets do in the API, and nothing else: they register them, renew a Lease of each
// every ten seconds, and write the status now and then.
type Kubelets struct {
	client kubernetes.Interface
	status time.Duration
	stop   context.CancelFunc
	run    context.Context //nolint:containedctx // of the Nodes' heartbeats, from the first to Close
	beats  sync.WaitGroup
	writes atomic.Int64
	errors atomic.Int64
}

// kubeletRenews is how often a kubelet renews the Lease of its Node (nodeLeaseDurationSeconds / 4).
const kubeletRenews = 10 * time.Second

// Kubelets returns those of no Node yet. They write the status of each Node once in a period, a kubelet's
// nodeStatusReportFrequency (5 min).
func (s *Server) Kubelets(status time.Duration) (*Kubelets, error) {
	config := s.Admin()
	config.QPS, config.ContentType = -1, runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf
	config.UserAgent = "kubelets"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubelets: %w", err)
	}
	k := &Kubelets{client: client, status: status}
	k.run, k.stop = context.WithCancel(context.Background())
	return k, nil
}

// Close ends the heartbeats. The Nodes stay.
func (k *Kubelets) Close() {
	k.stop()
	k.beats.Wait()
}

// Writes is how many heartbeats were written, and how many were not since the API refused them or was away.
func (k *Kubelets) Writes() (written, failed int64) { return k.writes.Load(), k.errors.Load() }

// Register makes Nodes, some at a time, and begins with their heartbeats.
func (k *Kubelets) Register(ctx context.Context, nodes []NodeSpec) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range nodes {
		group.Go(func() error {
			node, err := k.register(ctx, &nodes[i])
			if err != nil {
				return fmt.Errorf("node %s: %w", nodes[i].Name, err)
			}
			k.beats.Go(func() { k.beat(node) })
			return nil
		})
	}
	return group.Wait()
}

func (k *Kubelets) register(ctx context.Context, spec *NodeSpec) (*corev1.Node, error) {
	// The status comes with a patch of its own: then it is the kubelet's in managedFields, as that of a real one is after its
	// first heartbeat. What is nobody's can get lost when another manager's apply takes something away.
	node := spec.node()
	status := node.Status
	node.Status = corev1.NodeStatus{}
	made, err := k.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{FieldManager: "kubelet"})
	if err != nil {
		return nil, err
	}
	changed := made.DeepCopy()
	changed.Status = status
	return k.patch(ctx, made, changed)
}

// patch writes a status as a kubelet does: what is different, and nothing else.
func (k *Kubelets) patch(ctx context.Context, was, is *corev1.Node) (*corev1.Node, error) {
	before, err := runtime.Encode(jsonOfNodes(), was)
	if err != nil {
		return nil, err
	}
	after, err := runtime.Encode(jsonOfNodes(), is)
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Node{})
	if err != nil {
		return nil, err
	}
	_, err = k.client.CoreV1().Nodes().Patch(ctx, was.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "kubelet"}, "status")
	return is, err
}

// beat writes the heartbeats of a Node until Close. Nodes are not in step.
func (k *Kubelets) beat(node *corev1.Node) {
	status := time.NewTimer(rand.N(k.status))     //nolint:gosec // spreading load needs no secrecy
	renew := time.NewTimer(rand.N(kubeletRenews)) //nolint:gosec // as above
	defer status.Stop()
	defer renew.Stop()
	var lease *coordinationv1.Lease
	for {
		var err error
		select {
		case <-k.run.Done():
			return
		case <-status.C:
			status.Reset(k.status)
			next := node.DeepCopy()
			for i := range next.Status.Conditions {
				next.Status.Conditions[i].LastHeartbeatTime = metav1.Now()
			}
			if _, err = k.patch(k.run, node, next); err == nil {
				node = next
			}
		case <-renew.C:
			renew.Reset(kubeletRenews)
			if lease, err = k.renew(k.run, node, lease); err != nil {
				lease = nil // is read again
			}
		}
		if err != nil {
			k.errors.Add(1)
		} else {
			k.writes.Add(1)
		}
	}
}

func (k *Kubelets) renew(ctx context.Context, node *corev1.Node, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	leases, now := k.client.CoordinationV1().Leases(corev1.NamespaceNodeLease), metav1.NowMicro()
	if lease == nil {
		seconds := int32(40)
		lease = &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: node.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &node.Name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}
		made, err := leases.Create(ctx, lease, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return leases.Get(ctx, node.Name, metav1.GetOptions{})
		}
		return made, err
	}
	lease.Spec.RenewTime = &now
	return leases.Update(ctx, lease, metav1.UpdateOptions{})
}
