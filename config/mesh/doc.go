// Package mesh reads the configurations of several nodes, of one cluster or of many, as what they are together: nodes
// with addresses, and sessions of which each side says its own. It reads files and nothing else.
//
// A configuration does not say which addresses its node has; they are assigned elsewhere. They are learned from what is
// there: the exec lines of a containerlab topology, what the caller says, listenAddresses and localAddress, and names: a
// peer that is called like a node is that node. Who stays unknown is unknown: nothing here guesses.
package mesh
