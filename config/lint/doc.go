// Package lint checks the configurations of several nodes and clusters against each other, offline: what each of them
// says is valid by itself, and still they do not fit together.
//
// A finding is certain. What depends on something that no file says, such as the addresses of a node, is not guessed: it
// is listed as not checked. The codes of findings are stable, for those who filter by them.
package lint
