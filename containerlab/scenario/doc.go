// Package scenario runs the daemon as operators do, against real neighbours in labs of network namespaces: FRR, BIRD
// and GoBGP as peers, pods that talk across two clusters, restarts, broken links, foreign routes, bad configurations.
// Each scenario applies one event and then looks at the whole world: the kernels, the peers, the daemon's own answers.
//
// It holds tests only. It knows the daemon by its binary, its files, its sockets and its JSON, never by its packages.
package scenario
