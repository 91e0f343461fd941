package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxVisits = 1 << 20 // values read; more than a file of maxFileSize can hold unless aliases multiply it
	maxMerges = 8       // merge keys within merge keys; also what ends a merge of a mapping into itself
	maxErrors = 1000    // of one file; more help nobody
)

// reader turns YAML nodes into values and collects every broken rule on the way.
type reader struct {
	source    string
	overrides map[string]override // by path
	places    map[string]place    // of every path that was given a value, and of the elements of lists
	failed    map[string]bool     // paths whose value could not be made out
	errs      Errors
	unsaid    int // errors beyond maxErrors
	visits    int
	merges    int
}

// place is where a value came from.
type place struct {
	source       string
	line, column int
}

func (r *reader) placeOf(n *yaml.Node) place {
	if !fromFile(n) {
		return place{source: r.source}
	}
	return place{source: r.source, line: n.Line, column: n.Column}
}

// place returns where the value of a path came from, or else that of what surrounds it.
func (r *reader) place(path string) place {
	for path != "" {
		if at, ok := r.places[path]; ok {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return r.places[""]
}

func (r *reader) given(path string) bool {
	_, ok := r.places[path]
	return ok
}

func (r *reader) fail(path, value, rule string) { r.failAt(r.place(path), path, value, rule) }

func (r *reader) failAt(at place, path, value, rule string) {
	if len(r.errs) >= maxErrors {
		r.unsaid++
		return
	}
	r.errs = append(r.errs, Error{
		Source: at.source, Line: at.line, Column: at.column, Path: path, Value: value, Rule: rule,
	})
}

// follow resolves an alias and counts the visit.
func (r *reader) follow(n *yaml.Node) *yaml.Node {
	r.visits++
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (r *reader) exhausted() bool { return r.visits > maxVisits }

// readFields reads a mapping into a struct: what was given, else the default.
//
//nolint:revive // five arguments: a method can't have a type parameter, so the receiver is one of them
func readFields[S any](r *reader, path string, n *yaml.Node, fields []field[S], into *S) {
	values, ok := r.mapping(path, n, keysOf(fields))
	if !ok {
		return
	}
	for _, f := range fields {
		at, n := join(path, f.name), values[f.name]
		if o, overridden := r.overrides[at]; overridden {
			n = plain(o.text)
			r.places[at] = place{source: o.origin}
		} else if n != nil {
			r.places[at] = r.placeOf(n)
		}
		if n == nil && f.required && f.shape != sectionShape {
			r.fail(at, "", "is required: "+f.doc)
			continue
		}
		if n == nil && f.fallback != "" {
			n = plain(f.fallback)
		}
		f.read(r, at, n, into)
	}
}

// choose reports an element that has none of the keys of which it needs one.
func (r *reader) choose(path string, of key) {
	given := func(name string) bool { return r.given(join(path, name)) }
	if len(of.choice) > 0 && !r.failed[path] && !r.exhausted() && !slices.ContainsFunc(of.choice, given) {
		r.fail(join(path, of.choice[0]), "", "is required, or "+strings.Join(of.choice[1:], " or ")+" in its place")
	}
}

// mapping returns the values of a mapping by key. Nothing and null are an empty mapping. It is not ok when
// there is something else, which has then been reported.
func (r *reader) mapping(path string, n *yaml.Node, known []key) (map[string]*yaml.Node, bool) {
	values := make(map[string]*yaml.Node)
	if n == nil || r.exhausted() {
		return values, !r.exhausted()
	}
	n = r.follow(n)
	if isNull(n) {
		return values, true
	}
	if !r.isA(path, n, yaml.MappingNode, "a mapping (keys with values, indented below it)") {
		return nil, false
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := join(path, k.Value)
		first, repeated := values[k.Value]
		switch {
		case k.Tag == "!!merge":
			merged = append(merged, v)
		case k.Kind != yaml.ScalarNode || k.Style&yaml.TaggedStyle != 0:
			r.failAt(r.placeOf(k), path, describe(k), "a key must be a plain word")
		case !isKnown(k.Value, known):
			r.unknown(k, at, known)
		case repeated:
			r.failAt(r.placeOf(k), at, briefly(v), fmt.Sprintf("given twice: first in line %d", first.Line))
		default:
			values[k.Value] = v
		}
	}
	for _, m := range merged {
		r.merge(path, m, known, values)
	}
	return values, true
}

func (r *reader) unknown(k *yaml.Node, path string, known []key) {
	if len(r.errs) >= maxErrors { // looking for a suggestion takes its time
		r.unsaid++
		return
	}
	r.failAt(r.placeOf(k), path, "", "unknown key"+suggestKey(k.Value, known))
}

// merge adds what a merge key (<<) brings: what is there already stays (YAML's merge key language type).
func (r *reader) merge(path string, n *yaml.Node, known []key, values map[string]*yaml.Node) {
	from := []*yaml.Node{n}
	if n = r.follow(n); n.Kind == yaml.SequenceNode {
		from = n.Content
	}
	if r.merges++; r.merges > maxMerges {
		r.failAt(r.placeOf(n), path, "<<", fmt.Sprintf("merges more than %d mappings into each other", maxMerges))
		from = nil
	}
	for _, m := range from {
		if isNull(r.follow(m)) {
			continue
		}
		more, _ := r.mapping(path, m, known)
		for k, v := range more {
			if values[k] == nil {
				values[k] = v
			}
		}
	}
	r.merges--
}

// items returns the elements of a list. Nothing and null are an empty list; a text without a place is split
// at its commas.
func (r *reader) items(path string, n *yaml.Node) []*yaml.Node {
	if n == nil || r.exhausted() {
		return nil
	}
	n = r.follow(n)
	switch {
	case !fromFile(n) && n.Kind == yaml.ScalarNode:
		return splitList(n.Value)
	case isNull(n):
		return nil
	case !r.isA(path, n, yaml.SequenceNode, "a list, such as [a, b]"):
		return nil
	}
	for i, item := range n.Content {
		if fromFile(item) {
			r.places[element(path, i)] = r.placeOf(item)
		}
	}
	return n.Content
}

// isA checks that a node is of the wanted sort and without a tag, which could make anything of it.
func (r *reader) isA(path string, n *yaml.Node, sort yaml.Kind, want string) bool {
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		r.fail(path, n.Tag, "tags are not supported: wants "+want)
	case n.Kind != sort:
		r.fail(path, briefly(n), "wants "+want+", not "+describe(n))
	default:
		return true
	}
	r.failed[path] = true
	return false
}

func readScalar[T comparable](r *reader, path string, n *yaml.Node, of kind[T]) T {
	var zero T
	if n = r.follow(n); !r.isA(path, n, yaml.ScalarNode, of.want) {
		return zero
	}
	text := n.Value
	if fromFile(n) {
		if !slices.Contains(of.tags, n.Tag) {
			r.fail(path, briefly(n), mistyped(n, of.want, of.tags))
			r.failed[path] = true
			return zero
		}
		if n.Tag == "!!bool" {
			text = strings.ToLower(text) // True and TRUE are booleans too
		}
	}
	v, err := of.parse(text)
	for _, rule := range rules(err) {
		r.fail(path, briefly(n), rule)
		r.failed[path] = v == zero // else it is what was meant, and can be checked further
	}
	return v
}

func readList[T comparable](r *reader, path string, n *yaml.Node, of kind[T]) []T {
	var values []T
	first := make(map[T]int)
	for i, item := range r.items(path, n) {
		if r.exhausted() {
			break
		}
		at := element(path, i)
		v := readScalar(r, at, item, of)
		if j, repeated := first[v]; repeated && !r.failed[at] {
			r.fail(at, of.format(v), "is listed twice: also at "+element(path, j))
		} else if !repeated && !r.failed[at] {
			first[v] = i
		}
		values = append(values, v)
	}
	return values
}

func readSpan(r *reader, path string, n *yaml.Node, of kind[int]) Lengths {
	items := r.items(path, n)
	if r.failed[path] {
		return Lengths{}
	}
	if len(items) != 2 {
		r.fail(path, strconv.Itoa(len(items))+" values", "must be the two lengths [min, max]")
		r.failed[path] = true
		return Lengths{}
	}
	l := Lengths{readScalar(r, element(path, 0), items[0], of), readScalar(r, element(path, 1), items[1], of)}
	if r.failed[element(path, 0)] || r.failed[element(path, 1)] {
		r.failed[path] = true
	} else if l.Min > l.Max {
		r.fail(path, fmt.Sprintf("[%d, %d]", l.Min, l.Max), "must be [min, max]: min is the greater one")
		r.failed[path] = true
	}
	return l
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
