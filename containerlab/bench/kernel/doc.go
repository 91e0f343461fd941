// Package kernel observes the routing table of one network namespace from outside of whoever writes it.
//
// It counts the kernel's own notifications, keeps from them a model of which route uses which next hops, and says at
// which moment a condition became true of it. It measures speakers that write routes in different ways (next hops
// inside each route, next-hop objects, groups), so the model resolves all of them to plain addresses. What it says is
// checked against a dump, because notifications can be lost and some changes have none.
package kernel
