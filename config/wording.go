package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style&yaml.TaggedStyle == 0
}

func isKnown(name string, known []key) bool {
	return slices.ContainsFunc(known, func(k key) bool { return k.name == name })
}

func names(keys []key) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return all
}

// suggestKey finds what a misspelt key was meant to be, or where it belongs.
func suggestKey(name string, siblings []key) string {
	if near := didYouMean(name, names(siblings)); near != "" {
		return near
	}
	if homes := pathsTo(name, "", keysOf(grammar())); len(homes) > 0 && len(homes) < 4 {
		return " (" + name + " belongs at " + strings.Join(homes, " or ") + ")"
	}
	return " (known here: " + strings.Join(names(siblings), ", ") + ")"
}

func pathsTo(name, path string, keys []key) []string {
	var found []string
	for _, k := range keys {
		at := join(path, k.name)
		if k.name == name {
			found = append(found, at)
		}
		if k.shape == sectionsShape {
			at += "[]"
		}
		if k.shape != templateShape {
			found = append(found, pathsTo(name, at, k.keys)...)
		}
	}
	return found
}

// mistyped says what is wanted in place of a scalar of the wrong type.
func mistyped(n *yaml.Node, want string, tags []string) string {
	switch {
	case n.Tag == "!!null":
		return "has no value: wants " + want + "; leave the key out for its default"
	case tags[0] == "!!int" && n.Tag == "!!str" && isDigits(n.Value):
		return "wants " + want + ": write it without quotes"
	case want == "a string":
		return "wants a string, not " + describe(n) + `: write it in quotes, "` + briefly(n) + `"`
	}
	return "wants " + want + ", not " + describe(n)
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// describe names the type of a node in words.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!str":
		return "a string"
	case "!!int":
		return "a whole number"
	case "!!float":
		return "a floating-point number"
	case "!!bool":
		return "a boolean"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	case "!!merge":
		return "a merge key"
	}
	return "a value of an unknown type"
}

// briefly is the value of a node as far as it fits on a line.
func briefly(n *yaml.Node) string {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Value == "" && n.Tag != "!!null" {
			return `""`
		}
		return n.Value
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			return "[]"
		}
		return "[…]"
	case yaml.MappingNode:
		return "{…}"
	}
	return "*" + n.Value
}

// rules takes a joined error apart.
func rules(err error) []string {
	if err == nil {
		return nil
	}
	joined, is := err.(interface{ Unwrap() []error })
	if !is {
		return []string{err.Error()}
	}
	var all []string
	for _, e := range joined.Unwrap() {
		all = append(all, rules(e)...)
	}
	return all
}
