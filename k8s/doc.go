// Package k8s is the agent's line to the Kubernetes API: pod CIDRs, labels and
// people's annotations of its own Node and Secrets by their names in, what the node can reach out, as annotations, a condition and a
// Lease, and as Events. Package annotation is the contract of what goes out.
//
// It watches one Node and writes one Node, with server-side apply to
// nodes/status and only the keys of the contract; nothing is written when
// nothing changed, also not after a restart. Beside the Node, it follows objects of
// CNIs that say which pod CIDRs the Node has, if the API serves such; Source says
// which of them counts. Unknown is not empty: until the
// Node was seen with pod CIDRs, they are an error, and pod CIDRs that the API takes
// away are given up only when it has said so twice. The API's outage, the Node's
// deletion and a refused write delay what the Node says; they are retried for
// ever and never reach the caller as an end of Run, so they cannot touch routing.
//
// It refuses to decide anything about routes, to write what people set
// (underlayd.io/asn, …), and to put a time or a counter that ticks on the Node.
// Kubernetes' types stay inside.
package k8s
