// Package kubernetes runs two clusters with a Kubernetes API each: a real kube-apiserver and etcd for east and for west,
// a real daemon on every node that reads its Node and writes it with the rights of k8s/deploy and no others, real FRR
// between them. What a Node is given must become routes in the other cluster, and what a node can reach must stand on
// its Node, whatever becomes of the API.
//
// It holds tests only. There is no kubelet and no controller: the tests play the part of those that create Nodes and
// assign pod CIDRs.
package kubernetes
