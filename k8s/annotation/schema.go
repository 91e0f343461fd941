package annotation

import _ "embed"

//go:embed schema.json
var schema string

// JSONSchema returns the JSON Schema (draft 2020-12) of a Node's annotations, as an
// object of strings; #/$defs/cidrs and #/$defs/clusters are those of the JSON in
// them. It is for tools that are not written in Go: what Parse accepts is valid by it,
// but Parse checks more. The slice is the caller's.
func JSONSchema() []byte { return []byte(schema) }
