// Package kubernetes runs two clusters with a Kubernetes API each: a real kube-apiserver and etcd for east and for west,
// a real daemon on every node that reads its Node and writes it with the rights of k8s/deploy and no others, real FRR
// between them. What a Node is given must become routes in the other cluster, and what a node can reach must stand on
// its Node, whatever becomes of the API.
//
// It holds tests only. There is no kubelet: the tests create the Nodes. In the story of the two clusters a real
// kube-controller-manager gives them their pod CIDRs, and makes the Pods that the daemons' tokens are bound to; elsewhere
// the tests play its part.
package kubernetes
