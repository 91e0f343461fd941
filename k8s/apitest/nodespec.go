package apitest

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// NodeSpec is what differs between Nodes that Kubelets register.
type NodeSpec struct {
	Name    string
	Address string // the InternalIP
	PodCIDR string
	Hub     bool // has the label HubLabel
}

// HubLabel is a label by which some Nodes can be selected, as KEY=VALUE.
const HubLabel = "example.org/role=hub"

func jsonOfNodes() runtime.Encoder { return scheme.Codecs.LegacyCodec(corev1.SchemeGroupVersion) }

// node is the Node as a kubelet of a busy machine registers it: some 12 KB, most of it the names of fifty images.
func (s *NodeSpec) node() *corev1.Node {
	role := "worker"
	if s.Hub {
		role = "hub"
	}
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	sizes := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("263856020Ki"), corev1.ResourcePods: resource.MustParse("110"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1845278632Ki"), "hugepages-1Gi": resource.MustParse("0"), "hugepages-2Mi": resource.MustParse("0"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Name,
			Labels: map[string]string{
				"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
				"kubernetes.io/hostname": s.Name, "node.kubernetes.io/instance-type": "metal.64", "topology.kubernetes.io/region": "region-1",
				"topology.kubernetes.io/zone": "region-1a", "example.org/pool": "general", "example.org/role": role,
			},
			Annotations: map[string]string{
				"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true",
				"csi.volume.kubernetes.io/nodeid": `{"csi.example.org":"` + s.Name + `"}`,
			},
		},
		Spec: corev1.NodeSpec{PodCIDR: s.PodCIDR, PodCIDRs: []string{s.PodCIDR}, ProviderID: "example://region-1a/" + s.Name},
		Status: corev1.NodeStatus{
			Capacity: sizes, Allocatable: sizes,
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: s.Address}, {Type: corev1.NodeHostName, Address: s.Name}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
			NodeInfo: corev1.NodeSystemInfo{
				MachineID: "8c1f4e0a7d5b4c0a9a55a0f3b1de2c11", SystemUUID: "8c1f4e0a-7d5b-4c0a-9a55-a0f3b1de2c11", BootID: "5d9b5f0e-42a7-4be6-9d62-1fb0a3a3f0c4",
				KernelVersion: "6.12.48", OSImage: "Debian GNU/Linux 13 (trixie)", ContainerRuntimeVersion: "containerd://2.1.4",
				KubeletVersion: Version, OperatingSystem: "linux", Architecture: "amd64",
			},
		},
	}
	for _, c := range []struct{ kind, status, reason, message string }{
		{"MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"},
		{"DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
		{"PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"},
		{"Ready", "True", "KubeletReady", "kubelet is posting ready status"},
	} {
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
			Type: corev1.NodeConditionType(c.kind), Status: corev1.ConditionStatus(c.status), Reason: c.reason, Message: c.message,
			LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	for i := range 50 { // nodeStatusMaxImages
		image := fmt.Sprintf("registry.example.org/platform/component-%02d", i)
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{
			Names:     []string{fmt.Sprintf("%s@sha256:%064x", image, 0x9e3779b97f4a7c15*uint64(i+1)), image + ":v1.28.4"},
			SizeBytes: 83_520_512 + int64(i),
		})
	}
	return node
}
