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
// # On a gateway
//
// A gateway forwards what pods of other nodes of its cluster and pods of other networks send each other, and what clusters
// of different networks do. To the CNI there that is traffic that leaves the cluster, too, and it masquerades; and the two
// directions of a connection may take different gateways, since both sides spread over all of theirs: to connection tracking,
// answers without a question are invalid, and kube-proxy, like many a firewall, drops what is. To exempt them from NAT by
// address would not help against that, and would exempt what kube-proxy has to masquerade. So they are not tracked at all,
// by a chain that is only there on a gateway:
//
//	chain prerouting {
//		type filter hook prerouting priority -300; policy accept;
//		ip saddr @transit4 ip daddr @far4 counter notrack
//		ip saddr @far4 ip daddr @transit4 counter notrack
//		ip daddr @transit4 ip saddr != @local4 icmp type & 247 == 3 counter notrack
//		…
//	}
//
// Far are the pods of other networks, transit are these and all other pods that are not on this node. What is not tracked meets no NAT,
// and is not invalid. It is not established, either: a firewall that drops what it does not know has to know the addresses.
//
// What the chain decides by are the addresses that a packet comes with, before those of services are rewritten. Who sends and who receives, of
// L, a pod of this node, C, one of another node, B, one of another network, N, this node, and O, anybody else; a service is a
// cluster's address or a port of this node, and then its endpoint:
//
//	L → B                tracked, exempt from NAT        B sees L
//	C → B, B → C         not tracked                     B sees C, C sees B
//	B → B', of another   not tracked                     B' sees B
//	B → L                tracked                         L sees B
//	L ↔ C, N → B, N → C  tracked, as without us
//	O ↔ anybody          tracked, as without us
//	L → service → B      tracked, exempt from NAT        B sees L
//	L → service → L, C   tracked, as without us          masqueraded if kube-proxy says so
//	C → service → any    tracked, as without us          B sees N, if kube-proxy or the CNI masquerades; answers come to N
//	B → service → any    tracked, as without us          C sees N, if kube-proxy masquerades
//	O → service → any    tracked, as without us          B sees N
//
// Of services one case remains: a node port with an endpoint elsewhere that nobody masquerades, where C and B talk by N and the
// answers are for C or B. These are not tracked, and keep the address of the endpoint. kube-proxy masquerades wherever an endpoint
// may be elsewhere, and without it such connections would depend on the way of their answers, too.
//
// Errors about what is not tracked, most of all that a fragment is needed, come from routers, whose addresses say nothing.
// They would be invalid. So none is tracked that is for a pod elsewhere, whatever it is about: what is made of it is decided
// where the pod is. The expression takes 3, destination unreachable, and 11, time exceeded, which differ in one bit; for IPv6
// all errors. Those from pods of this node are left out, for they may be about services. A rule that looks at the packet inside would be
// more exact, but nft can't read back what it prints of one that looks that up in a set.
//
// Fragments are put together, if at all, before this chain (-400), and each has addresses anyhow. Pods of this node that have an
// address outside of its pod CIDRs are taken for those of another node; what they send through services to B gets no answer.
//
// Connections of others that were masqueraded here end when this begins, for their packets are not translated any more.
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
