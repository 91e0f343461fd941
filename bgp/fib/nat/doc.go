// Package nat has the kernel leave the source address of pods alone on the way to pods of other clusters.
//
// A CNI masquerades what its pods send to addresses outside of their cluster, and so to the pods of all other clusters:
// these would see a node. This package does not touch the CNI's rules. It has one nftables table of its own, whose chain
// comes before everybody else's and settles what becomes of the source address of a new connection:
//
//	table inet underlayd-200 {
//		chain postrouting {
//			type nat hook postrouting priority 90; policy accept;
//			ip saddr @local4 ip daddr @remote4 counter snat ip to ip saddr
//			ip6 saddr @local6 ip6 daddr @remote6 counter snat ip6 to ip6 saddr
//		}
//	}
//
// A source NAT to the address that the packet has already is one: the kernel does no other one after it. To accept the packet
// would not do, for that ends this chain and not the next one. Masquerading chains have the priority 100 (srcnat); that of
// nftables and of both kinds of iptables are in one order.
//
// The table is of the family inet, whose NAT chains came with Linux 5.2: both address families are one transaction, one
// thing to adopt, and one to see and to remove. A kernel that runs with IPv6 disabled takes it all the same. Its name carries the route protocol number, as the routes do. That name is
// the mark of ownership: whatever is in the table is ours.
//
// # Which packets
//
// A packet is exempt when its source is local and its destination remote. Local are the pods of this node alone, not those
// of its cluster: their address is on this node, so that what is answered comes back through it, and with it through the
// conntrack entry, whatever else was done to the connection. This is why the marks of kube-proxy (0x4000, KUBE-POSTROUTING)
// play no part. It marks what needs a masquerade so that answers find back to the node that rewrote the destination:
//
//   - a pod that reaches itself by a service, or another pod of this node: its destination is not remote;
//   - what came from elsewhere, by a NodePort or an address of a load balancer: its source is not local, not even if it is
//     a pod of another node of this cluster, and even if the service has endpoints in another cluster;
//   - a pod of this node that reaches a pod of another cluster by a service: the answers come here without a masquerade
//     too. It is exempt, marked or not, and its policies see the pod.
//
// What a node sends itself has no local source, and so has what pods of its own network namespace send. What comes from a
// remote pod matches neither, and answers follow their connection; the kernel asks NAT chains about the first packet of a
// connection only. So a connection that was masqueraded before it was exempt stays as it is until conntrack forgets it.
// Nothing is flushed: to break other people's connections is no way to repair ours.
//
// # Which remote prefixes
//
// This package takes any. The daemon hands it the ranges that the contracts of the configured clusters name, whether there
// is a route or not, and not the prefixes in the kernel. The first packet of a connection decides for all that follow, and
// nothing says that it is sent after its route was written: a pod that retries while the other cluster is away sends its
// first packets over the default route, and when the route comes the connection would still be masqueraded, for as long as
// it is retried. Not even a transaction that holds both could help it. What the configuration says is never late, and costs
// nothing when routes come and go.
//
// It means that a packet to a range without a route is not masqueraded on its way over the default route. The CNI meant it to be,
// so that somebody out there could answer. But by contract nobody has such an address except the pods of that cluster, and
// those have to see pods, not nodes: a policy that lets nodes pass must not let pods pass whose route is missing for a moment.
// Such a packet goes nowhere either way.
//
// # Sets
//
// The sets hold the union of what was asked for, as the fewest ranges that there are for it: prefixes that overlap or touch
// each other are one range. The kernel's interval sets take no overlaps, and of the ways to merge in the kernel none is
// exact. A change sends the ranges that are new and those that are gone, in one transaction, and nothing else. The kernel looks
// at each element of a set that changes, for those that have expired, though none does here: 17 ms for 100,000 ranges.
//
// # What is promised
//
// The table stays when the program ends, and the next one takes it over as it is. When somebody else removes or changes it,
// it is put back at once; after five such repairs within a minute, once a minute, and the state says who it is. A packet never
// sees half of a change.
package nat
