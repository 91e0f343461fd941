// Package probe finds out whether packets really reach the pods' side of other clusters' nodes: a small authenticated echo
// over UDP, between an address in the pod CIDR of one node and one in that of another. It knows nothing of BGP; it is told
// where the others are, and who may be answered.
//
// What it promises:
//
//   - Only what carries the shared key is heeded: each message has an HMAC-SHA256 over all of it, its padding included.
//     Everything else is counted and forgotten.
//   - An answer, or two where a second one is asked for, is never longer than the request: nobody is flooded through us.
//     Answers are limited in all and for each source, and so is what is remembered of who asked.
//   - It sends to targets it was given, and beside them only to the node addresses of their nodes: those that came in
//     authentic messages, or were given with the target.
//   - All that it sends stays below a rate.
//
// How it tells apart what can be wrong: a request says where it was sent from and to as its sender sees it, and the answer
// what the responder saw; another source means NAT on the way. When answers stay out, the request asks for one to the node's
// own address as well, beside the way under test: one that comes says that our packets arrive and the answers don't. When
// none comes, the same is asked from node address to node address: an answer says that the node is there and our packets
// do not arrive. Each answer says, too, whether its node has a route back.
//
// Large packets are sent with DF set, whatever the kernel believes of the path, to find the largest that arrives.
//
// Replay: an answer counts once, by the nonce of a request that is waiting for it. Requests leave no state: an old one that
// somebody sends again gets the answer it got before, to no more effect.
//
// What it refuses to do: to decide anything. States are for people; no route is changed by them.
package probe
