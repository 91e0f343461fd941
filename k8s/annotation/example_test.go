package annotation_test

import (
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// A Node as the API shows it.
func exampleNode() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "east-1", Annotations: map[string]string{
		"underlayd.io/schema":          "1",
		"underlayd.io/cluster":         "east",
		"underlayd.io/local-cidrs":     "10.10.1.0/24",
		"underlayd.io/remote-cidrs":    `["10.20.0.0/16"]`,
		"underlayd.io/remote-clusters": `{"west":{"cidrs":["10.20.0.0/16"],"peers":2,"state":"Reachable"}}`,
		"underlayd.io/routes-hash":     "sha256:f8a286cb6d092018",
	}}}
}

func ExampleParseNode() {
	state, err := annotation.ParseNode(exampleNode())
	switch {
	case errors.Is(err, annotation.ErrAbsent):
		fmt.Println("no agent has spoken on this node yet")
	case errors.Is(err, annotation.ErrSchema):
		fmt.Println("the agent is newer than this program")
	case err != nil:
		fmt.Println("not written by an agent:", err)
	default:
		fmt.Println(state.Cluster, "reaches", state.RemoteCIDRs)
		for _, cluster := range state.Clusters {
			fmt.Println(cluster.Name, "is", cluster.State, "over", cluster.Peers, "sessions")
		}
	}
	// Output:
	// east reaches [10.20.0.0/16]
	// west is Reachable over 2 sessions
}

func ExampleState_Routable() {
	state, err := annotation.ParseNode(exampleNode())
	if err != nil {
		fmt.Println(err) // and state, nil, answers Unknown
	}
	for _, text := range []string{"10.20.7.9", "10.30.0.1"} {
		answer, cluster := state.Routable(netip.MustParseAddr(text))
		fmt.Println(text, answer, cluster)
	}
	// Output:
	// 10.20.7.9 yes west
	// 10.30.0.1 no
}

func ExampleParse_unknown() {
	node := exampleNode()
	node.Annotations[annotation.Schema] = "2"
	state, err := annotation.Parse(node.Annotations)
	answer, _ := state.Routable(netip.MustParseAddr("10.20.7.9"))
	fmt.Println(answer, "-", err)
	// Output:
	// unknown - unknown underlayd annotation schema "2"
}
