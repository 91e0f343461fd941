// Package status owns what an operator may ask of a running daemon: one Snapshot type, the read-only API on a
// local unix socket with its client, the lock that keeps a second daemon off the node, and the rendering for
// people (tables) and programs (JSON).
//
// It decides nothing and changes nothing: the API has no writing method, and reading never waits for the
// daemon's loop, which publishes immutable snapshots.
package status
