package config

import (
	"fmt"
	"io"
	"strings"
)

// Key describes one key for people.
type Key struct {
	Path        string // bgp.peers[].asn
	Type        string
	Flag        string // --bgp-asn; empty for the keys of lists, which only a file can give
	Env         string // UNDERLAYD_BGP_ASN; likewise
	Default     string // the value, or in words where it comes from; "required" when there is none
	Description string // one sentence
	Effect      Effect // of a change

	fallback string
}

// Keys lists every key, in the order of the reference file.
func Keys() []Key { return describeKeys("", keysOf(grammar()), true) }

func describeKeys(path string, keys []key, flags bool) []Key {
	var all []Key
	for _, k := range keys {
		at := join(path, k.name)
		switch k.shape {
		case sectionShape:
			all = append(all, describeKeys(at, k.keys, flags)...)
		case sectionsShape:
			all = append(all, describeKeys(at+"[]", k.keys, false)...)
		case templateShape:
			all = append(all, k.describe(at, false))
		default:
			all = append(all, k.describe(at, flags))
		}
	}
	return all
}

func (k key) describe(path string, flags bool) Key {
	d := Key{Path: path, Type: k.kind, Default: k.fallback, Description: k.doc, Effect: k.effect, fallback: k.fallback}
	switch {
	case k.required:
		d.Default = "required"
	case k.shown != "":
		d.Default = k.shown
	case k.shape == listShape:
		d.Default = "[" + k.fallback + "]"
	}
	if k.shape == listShape {
		d.Type = "list of " + k.kind
	}
	if flags {
		d.Flag = flagName(path)
		d.Env = envName(d.Flag)
	}
	return d
}

// WriteKeys writes the table of keys as Markdown: what can be said in the file, as a flag and as a variable.
func WriteKeys(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| key | flag | variable | default | what it is |\n|---|---|---|---|---|\n")
	for _, k := range Keys() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s (%s); a change %s |\n", code(k.Path), code(k.Flag), code(k.Env),
			k.Default, k.Description, strings.ReplaceAll(k.Type, "|", `\|`), k.Effect.inWords())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
