// Package wire is a BGP peer that is as fast as its TCP connection: it opens a session, says that it lives, and
// writes UPDATEs that were encoded before the clock started (RFC 4271, 4760, 4724, 6793, 8092).
//
// It refuses to be a speaker: it keeps no routes, reads what it is sent only to tell the session's end, and trusts
// its caller to write whole messages.
package wire
