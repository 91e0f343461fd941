// Package neighbor finds the one neighbour on a link, for BGP sessions between link-local addresses that nobody had to
// configure (unnumbered). It knows nothing of BGP.
//
// A neighbour is known by its router advertisements, or by its answer to a ping of all nodes on the link (RFC 4443,
// RFC 4861). Routers count first: where one advertises itself, what else answers does not matter. We advertise ourselves
// likewise, with a router lifetime of 0 and without options, so that nobody takes us for a default router (RFC 4861,
// section 4.2): FRR finds its neighbours by that alone.
//
// The neighbour that was found stays until another one is heard and it is not, over some seconds: a link that is down, or
// a neighbour that is silent, is for those to judge who talk with it.
package neighbor
