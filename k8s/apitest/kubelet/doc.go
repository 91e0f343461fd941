// Package kubelet plays the kubelets of a lab's nodes, so that a DaemonSet that is
// applied becomes daemons, and one that is changed or deleted replaces or ends them:
// the DaemonSet controller makes the Pods and says which of them go, and this runs
// what is in them, as processes in the nodes.
//
// It owns the Node's registration, the Pods on it, their volumes, tokens, probes and
// status. A container has its arguments, environment, capabilities and files as its
// Pod says; what it has of an image is the program that the lab put into the node.
//
// It refuses to be more: there are no limits of memory, no liveness probe, no logs
// or exec through the API, and a token is not renewed. It acts as an administrator,
// not as a node. Where a Pod belongs is written into it by the DaemonSet controller,
// so the scheduler's part is one binding, and that is done here too.
package kubelet
