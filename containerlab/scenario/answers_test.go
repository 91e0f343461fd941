package scenario

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// fitsItsSchemas asks a running daemon and holds each answer against the schema that its own program prints.
func fitsItsSchemas(t *testing.T, n *containerlab.Node) {
	read := func(text string) any {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err, text)
		return doc
	}
	for _, question := range []struct{ kind, command string }{
		{"Status", "underlayd status -o json"},
		{"PeerList", "underlayd peers -o json"},
		{"PeerList", "underlayd peers fabric -o json"},
		{"RouteList", "underlayd routes -o json"},
		{"HistoryList", "underlayd history -o json"},
		{"Explanation", "underlayd explain 10.20.2.77 -o json"},
		{"Explanation", "underlayd explain 203.0.113.1 -o json"},
		{"Event", "timeout 10 underlayd watch -o json | head -n 1"},
	} {
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		require.NoError(t, compiler.AddResource("schema", read(output(t, n, "underlayd", "schema", question.kind))))
		schema, err := compiler.Compile("schema")
		require.NoError(t, err)
		answer := output(t, n, "bash", "-c", question.command)
		require.NoError(t, schema.Validate(read(answer)), "%s: %s", question.command, answer)
	}
}
