// Package fib keeps the kernel's routing table equal to what the rest of the program wants.
//
// It owns everything in the kernel that carries our mark and nothing else. The mark is the route
// protocol number (Config.Protocol) on routes in one table (Config.Table), and the same protocol
// number together with an id in 0x55400000–0x554fffff on next-hop objects, and alone on rules. Objects
// in that range with another protocol belong to somebody else: their ids are stepped over.
//
// # Shape in the kernel
//
// Each distinct set of next hops is one next-hop group, shared and counted by all prefixes that
// use it; each neighbour that packets are handed to is one next-hop object, shared by the groups. A next
// hop that is on no link has no object of its own: it is resolved by the kernel's routes, if Config.Resolve
// lets it, and its gateways' objects are the members of the groups of the sets that it is in. When
// the gateways change those groups are rewritten, and no route is; a State names the next hops, and
// NextHops says through which gateways they go.
//
// A set of one is a group of one as well: only then can a change of path for many prefixes ("their
// only next hop died, the backup is another one") be a single message that rewrites the group, with
// no route touched. A route names its group and is rewritten only when it moves to another group.
// Kernels without next-hop objects (before 5.3) get the next hops inside each route; Mode says which
// is in use.
//
// A group can be rewritten before anybody knows which prefixes that moves: Failover sends whole
// sets another way, and Ensure, told prefix by prefix afterwards, finds it done.
//
// # What is promised
//
// Ensure records and writes differences and never deletes what nobody spoke of; Prune deletes what
// is ours and undesired. A route is replaced by adding the new one and then deleting the old one
// by its exact identity, never by NLM_F_REPLACE: that takes the first route with the prefix and
// metric whoever owns it, in IPv4 and in IPv6, and no flag makes it look at the protocol. A foreign
// route that got there between our last look and our request would be overwritten. What is ours is
// repaired within a second when someone else removes or changes it; after five such repairs of one
// thing within a minute, one repair a minute is made and the state says why.
//
// # Foreign routes
//
// A foreign route to the same prefix in the same table is never replaced. One with our metric
// collides: ours is not written until the other is gone. One with a lower metric wins: ours is
// written beneath it, takes over the moment the other goes, and is reported as Conflict
// meanwhile because traffic does not follow it. One with a higher metric loses to ours and is
// no conflict.
//
// # Discard routes
//
// Where a prefix is advertised as a whole, packets to parts of it that nobody has must not follow a default route back
// to where they came from (RFC 4632 5.1). Discard writes a blackhole for them, with the highest metric there is, so that
// whatever else leads to the prefix goes first, ours and foreign, and can stand beside it. What is ours with that metric,
// and drops packets, is a discard route; it is owned and repaired as routes are, and told of apart from them.
//
// # What the kernel does not tell
//
// When a link goes down the kernel deletes next-hop objects, the groups that become empty, and the
// IPv4 routes that name them, without a notification; deleting an object does the same to its
// routes. So events about links and objects make us read the kernel again, and no object is
// deleted while there is doubt about who names it. While net.ipv4.nexthop_compat_mode is 1 (the
// default) rewriting a group makes the kernel walk all routes there are and announce each that uses
// it. The packets have moved by then, but the request takes a thousand times as long with 100,000
// routes, and the next group waits for it; the announcements are no route changes.
//
// # What it refuses to do
//
// It knows nothing of BGP, chooses no best path, resolves no next hop through a route of its own, and
// never acts on a dump the kernel said was interrupted.
package fib
