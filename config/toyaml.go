package config

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// JSONToYAML writes a JSON document as YAML: the same keys in the same order.
func JSONToYAML(w io.Writer, document io.Reader) error {
	var node yaml.Node // JSON is YAML
	if err := yaml.NewDecoder(document).Decode(&node); err != nil {
		return fmt.Errorf("write as YAML: %w", err)
	}
	loosen(&node)
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := errors.Join(out.Encode(&node), out.Close()); err != nil {
		return fmt.Errorf("write as YAML: %w", err)
	}
	return nil
}

// loosen takes away the braces, brackets and quotes of JSON. Strings keep their quotes unless they begin with a letter and
// are no word of YAML 1.1, which takes 10:20 for a number and "no" for a truth: what reads us may still speak it.
func loosen(n *yaml.Node) {
	quoted := n.Kind == yaml.ScalarNode && n.Tag == "!!str"
	n.Style = 0
	if quoted && (!unquotable(n.Value) || slices.Contains(oldWords(), strings.ToLower(n.Value))) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		loosen(child)
	}
}

// unquotable says whether a string begins with a letter and stays in its line.
func unquotable(s string) bool {
	if s == "" || strings.ContainsFunc(s, unicode.IsControl) {
		return false
	}
	return s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z'
}

func oldWords() []string { return []string{"y", "n", "yes", "no", "on", "off"} }
