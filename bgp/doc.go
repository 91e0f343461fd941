// Package bgp is the embedded BGP speaker: peers and advertisements go in as whole desired sets,
// learned paths come out as per-prefix changes.
//
// It is the only package that knows GoBGP; no GoBGP or protobuf type leaves it. What it promises:
//
//   - Default deny in both directions. A path is imported only when the configuration of its peer
//     names a range that holds it, and only prefixes given to Advertise are ever exported: a learned
//     path is passed on to a peer only if the peer's configuration says so (Passage).
//   - LOCAL_PREF from outside the AS is ignored (RFC 4271, section 5.1.5).
//   - GoBGP's callbacks only update the table of this package and mark prefixes dirty. They never
//     block, and never call back into GoBGP.
//   - Every call into GoBGP has a deadline; a stuck speaker is an error, not a hang.
//
// What it refuses to do: install routes (package fib), judge what a remote cluster may announce
// (package ipam), or serve any write over the gRPC socket of the gobgp command.
package bgp
