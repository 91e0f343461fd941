package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const maxFileSize = 1 << 20 // bytes; a ConfigMap holds no more either

// Load reads a file. An error is Errors when the file could be read but is not a valid configuration.
func Load(path string, o Overrides) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	return Parse(f, path, o)
}

// LoadText is Load that returns the text, too.
func LoadText(path string, o Overrides) (*Config, []byte, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	c, err := Parse(bytes.NewReader(text), path, o)
	return c, text, err
}

// Parse reads a configuration: one YAML document, of which anchors, aliases and merge keys may be part but
// not tags. Name is what errors call the file. The order of precedence is flag, variable, file, default.
//
// A value that a flag or a variable overrides is not looked at. An error is Errors, with everything that is
// wrong, unless reading itself failed. Parse keeps no state and may be called at any time.
func Parse(in io.Reader, name string, o Overrides) (*Config, error) {
	c, _, err := parse(in, name, o)
	return c, err
}

func parse(in io.Reader, name string, o Overrides) (*Config, *reader, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxFileSize+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read configuration %s: %w", name, err)
	case len(text) > maxFileSize:
		return nil, nil, Errors{{Source: name, Rule: fmt.Sprintf("is larger than %d bytes", maxFileSize)}}
	}
	root, errs := parseYAML(text, name)
	if errs != nil {
		return nil, nil, errs
	}
	r := newReader(name, root)
	r.overrides = o.collect()
	c := r.config(root, o)
	if errs := r.result(); errs != nil {
		return nil, nil, errs
	}
	c.canonical()
	return c, r, nil
}

// Validate reports, as Errors without places, every rule that a Config made by hand breaks. Nil means that
// Parse could have made it, so one made by Parse always passes, and what ForNode makes of it.
func (c *Config) Validate() error {
	tree := writeFields(c, grammar())
	r := newReader("", tree)
	again := r.config(tree, Overrides{Hostname: func() (string, error) { return "", nil }})
	if errs := r.result(); errs != nil {
		return errs
	}
	again.canonical()
	again.on, again.annotations = c.on, c.annotations
	if !reflect.DeepEqual(c, again) {
		return Errors{{Rule: "is incomplete or not canonical: compare it with what Parse makes of its Print"}}
	}
	return nil
}

// Print writes the configuration in effect, every default filled in, as YAML that Parse reads back to an
// equal Config.
func (c *Config) Print(w io.Writer) error {
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := errors.Join(out.Encode(writeFields(c, grammar())), out.Close()); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}

// parseYAML returns the one document of a text, or nil for an empty text.
func parseYAML(text []byte, name string) (*yaml.Node, Errors) {
	in := yaml.NewDecoder(bytes.NewReader(text))
	var doc, next yaml.Node
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, Errors{syntaxError(err, name)}
	}
	switch err := in.Decode(&next); {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return nil, Errors{syntaxError(err, name)}
	}
	return nil, Errors{{Source: name, Line: next.Line, Column: next.Column,
		Rule: "a second document begins here: a configuration is one document"}}
}

// syntaxError takes the line out of the decoder's message, where it is only text.
func syntaxError(err error, name string) Error {
	e := Error{Source: name, Rule: strings.TrimPrefix(err.Error(), "yaml: ")}
	if rest, found := strings.CutPrefix(e.Rule, "line "); found {
		line, rule, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(line); err == nil {
			e.Line, e.Rule = n, rule
		}
	}
	e.Rule = "is not YAML: " + e.Rule
	return e
}

func newReader(source string, root *yaml.Node) *reader {
	r := &reader{source: source, places: make(map[string]place), failed: make(map[string]bool)}
	r.places[""] = place{source: source}
	if root != nil {
		r.places[""] = r.placeOf(root)
	}
	return r
}

// config reads everything and then checks what involves more than one key.
func (r *reader) config(root *yaml.Node, o Overrides) *Config {
	c := new(Config)
	readFields(r, "", root, grammar(), c)
	if r.exhausted() {
		return c
	}
	r.derive(c, o)
	checkRelations(c, func(path, value, rule string) {
		if !r.failed[path] {
			r.fail(path, value, rule)
		}
	})
	return c
}

func (r *reader) result() Errors {
	if r.exhausted() {
		return Errors{{Source: r.source, Rule: fmt.Sprintf("its aliases make more than %d values of it", maxVisits)}}
	}
	r.errs.sort()
	if r.unsaid > 0 {
		r.errs = append(r.errs, Error{Source: r.source, Rule: fmt.Sprintf("and %d errors more", r.unsaid)})
	}
	return r.errs
}
