package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// key is what the grammar says of one key, apart from how it is read and written.
type key struct {
	name     string
	doc      string // one sentence without a full stop; shown in the table of keys, in flag usage and in editors
	fallback string // the default, as text (a list with commas); empty: none, or said in doc
	shown    string // the default as people are told it, when it depends on other keys
	required bool
	filled   bool     // of a required list: must not be empty either
	choice   []string // of a list of sections: the keys of which each element needs one
	lone     bool     // of a list: a single value may be written without brackets, and is
	effect   Effect   // of a change

	// The rest is set by the constructors below.
	shape  shape
	kind   string // of a scalar, or of each element of a list
	schema schema // likewise
	typed  bool   // the value is not a string in YAML
	keys   []key  // of a section, or of each element of a list of sections
}

type shape int

const (
	scalarShape   shape = iota
	listShape           // a list of scalars
	sectionShape        // a mapping
	sectionsShape       // a list of mappings
	templateShape       // a mapping whose keys are described elsewhere
)

// field is one key of a mapping that becomes an S.
type field[S any] struct {
	key
	read  func(r *reader, path string, n *yaml.Node, into *S) // n is nil when nothing was given
	write func(from *S) *yaml.Node                            // nil: nothing to say
}

// scalar is a key with one plain value.
func scalar[S any, T comparable](k key, of kind[T], at func(*S) *T) field[S] {
	k.shape, k.kind, k.schema, k.typed = scalarShape, of.name, of.schema, of.tags[0] != "!!str"
	return field[S]{
		key: k,
		read: func(r *reader, path string, n *yaml.Node, into *S) {
			if n != nil {
				*at(into) = readScalar(r, path, n, of)
			}
		},
		write: func(from *S) *yaml.Node { return writeScalar(*at(from), of) },
	}
}

// list is a key with a list of plain values, each at most once.
func list[S any, T comparable](k key, of kind[T], at func(*S) *[]T) field[S] {
	k.shape, k.kind, k.schema, k.typed = listShape, of.name, of.schema, of.tags[0] != "!!str"
	return field[S]{
		key: k,
		read: func(r *reader, path string, n *yaml.Node, into *S) {
			if k.lone {
				n = r.bracketed(n)
			}
			values := readList(r, path, n, of)
			switch empty := n != nil && len(values) == 0 && !r.failed[path]; {
			case empty && k.filled:
				r.fail(path, briefly(n), "must not be empty: "+k.doc)
			case empty && k.required && isNull(r.follow(n)):
				r.fail(path, "", "has no value: write [] for none")
			}
			*at(into) = values
		},
		write: func(from *S) *yaml.Node {
			if values := *at(from); k.lone && len(values) == 1 {
				return writeScalar(values[0], of)
			}
			return writeList(*at(from), of)
		},
	}
}

// span is a key with a pair of numbers, [min, max].
func span[S any](k key, of kind[int], at func(*S) *Lengths) field[S] {
	k.shape, k.kind, k.typed = scalarShape, "[min, max]", true
	k.schema = schema{"type": "array", "items": of.schema, "minItems": 2, "maxItems": 2}
	return field[S]{
		key: k,
		read: func(r *reader, path string, n *yaml.Node, into *S) {
			if n != nil {
				*at(into) = readSpan(r, path, n, of)
			}
		},
		write: func(from *S) *yaml.Node { return writeList([]int{at(from).Min, at(from).Max}, of) },
	}
}

// section is a key with a mapping.
func section[S, T any](k key, fields []field[T], at func(*S) *T) field[S] {
	k.shape, k.keys = sectionShape, keysOf(fields)
	k.required = slices.ContainsFunc(k.keys, func(k key) bool { return k.required })
	return field[S]{
		key: k,
		read: func(r *reader, path string, n *yaml.Node, into *S) {
			readFields(r, path, n, fields, at(into))
		},
		write: func(from *S) *yaml.Node {
			n := writeFields(at(from), fields)
			if len(n.Content) == 0 {
				return nil // none of its keys was given
			}
			return n
		},
	}
}

// template is a key with a mapping whose keys are those of another one: they are not told again, one by one, and have no
// flags and variables.
func template[S, T any](k key, fields []field[T], at func(*S) *T) field[S] {
	kind := k.kind
	f := section(k, fields, at)
	f.shape, f.kind = templateShape, kind
	return f
}

// sections is a key with a list of mappings.
func sections[S, T any](k key, fields []field[T], at func(*S) *[]T) field[S] {
	k.shape, k.keys = sectionsShape, keysOf(fields)
	return field[S]{
		key: k,
		read: func(r *reader, path string, n *yaml.Node, into *S) {
			var all []T
			for i, item := range r.items(path, n) {
				var v T
				readFields(r, element(path, i), item, fields, &v)
				r.choose(element(path, i), k)
				all = append(all, v)
			}
			*at(into) = all
		},
		write: func(from *S) *yaml.Node {
			n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
			for i := range *at(from) {
				n.Content = append(n.Content, writeFields(&(*at(from))[i], fields))
			}
			if len(n.Content) == 0 {
				n.Style = yaml.FlowStyle
			}
			return n
		},
	}
}

func keysOf[S any](fields []field[S]) []key {
	keys := make([]key, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

func writeFields[S any](from *S, fields []field[S]) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fields {
		if v := f.write(from); v != nil {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.name}, v)
		}
	}
	return n
}

// writeScalar leaves out a value that has no text: it is one that was not given.
func writeScalar[T comparable](v T, of kind[T]) *yaml.Node {
	n := plain(of.format(v))
	switch {
	case n.Value == "":
		return nil
	case of.tags[0] == "!!str":
		n.Tag = "!!str" // the encoder then quotes what would read as something else
	}
	return n
}

func writeList[T comparable](values []T, of kind[T]) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, v := range values {
		item := writeScalar(v, of)
		if item == nil {
			item = plain("")
		}
		n.Content = append(n.Content, item)
	}
	return n
}

// plain is the node of a text that comes from a flag, a variable or a default. It has no line, by which the
// reader knows that its type is whatever is wanted.
func plain(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

func fromFile(n *yaml.Node) bool { return n.Line > 0 }

func splitList(text string) []*yaml.Node {
	var items []*yaml.Node
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, plain(item))
		}
	}
	return items
}

// bracketed makes a list of a single value.
func (r *reader) bracketed(n *yaml.Node) *yaml.Node {
	if n == nil || !fromFile(n) || r.exhausted() {
		return n
	}
	if v := r.follow(n); v.Kind != yaml.ScalarNode || isNull(v) {
		return n
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
}
