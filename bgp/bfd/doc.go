// Package bfd tells within milliseconds whether a peer can be reached: Bidirectional Forwarding Detection in
// asynchronous mode, without echo and without authentication (RFC 5880), over one hop (RFC 5881) and over several
// (RFC 5883). A whole desired set of sessions goes in; states and losses come out. It knows nothing of BGP.
//
// What it promises:
//
//   - Only sessions that were asked for exist. Everything else that arrives is counted by its reason and forgotten, at
//     no allocation.
//   - A loss is told once, by Lost, and only of a session that was up. A peer that says it is administratively down is
//     not a loss, and a session that was taken out or held says so to the peer.
//   - Time that this process did not get is not held against the peer: a session is lost only after everything has been
//     read that the kernel had received until then.
//   - Changed timers of a session that is up are agreed with the peer by a poll sequence; the session stays up.
//
// The control plane independent bit of what is sent is 0: BFD ends when the daemon does.
//
// One goroutine, that of Run, owns all sessions and sockets; it never waits in a system call. The rules of RFC 5880 are
// pure: machine.go is the state machine and its timers, packet.go the checks of what arrives.
//
// What it refuses to do: demand mode of its own, echo, authentication. A peer that asks for demand mode gets it; packets
// with authentication are refused.
package bfd
