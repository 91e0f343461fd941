package config

import _ "embed"

//go:embed reference.yaml
var reference string

// Reference returns the reference file: every key with what it is for, at its default. It is a complete
// configuration of a node without peers; the peers and contracts in it are comments.
func Reference() []byte { return []byte(reference) }
