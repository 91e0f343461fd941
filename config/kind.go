package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is one kind of plain value: how it is written and which values it allows.
type kind[T comparable] struct {
	name string   // in the table of keys and in flag usage
	want string   // completes "wants …" when something else is given
	tags []string // the YAML types that carry it
	// parse gives the value of a text. Its errors are the rules the text breaks (joined if several); the
	// value that comes with an error is what was probably meant, so that further checks can still run, or zero.
	parse  func(text string) (T, error)
	format func(T) string
	schema schema // what JSON Schema can say of it: never stricter than parse
}

// schema is a JSON Schema (draft 2020-12).
type schema map[string]any

// where adds a rule to a kind.
func (k kind[T]) where(rule func(T) error) kind[T] {
	parse := k.parse
	k.parse = func(text string) (T, error) {
		v, err := parse(text)
		var zero T
		if v == zero && err != nil {
			return v, err
		}
		return v, errors.Join(err, rule(v))
	}
	return k
}

// refusing explains, in words of their own, numbers that the kind does not allow.
func (k kind[T]) refusing(why map[string]string) kind[T] {
	parse := k.parse
	var refused []json.Number
	for text := range why {
		refused = append(refused, json.Number(text))
	}
	slices.SortFunc(refused, func(a, b json.Number) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	k.schema["not"] = schema{"enum": refused}
	k.parse = func(text string) (T, error) {
		if rule, refused := why[text]; refused {
			var zero T
			return zero, errors.New(rule)
		}
		return parse(text)
	}
	return k
}

// or adds one word that stands for the zero value.
func (k kind[T]) or(word string) kind[T] {
	parse, format := k.parse, k.format
	k.parse = func(text string) (T, error) {
		if text == word {
			var zero T
			return zero, nil
		}
		return parse(text)
	}
	k.format = func(v T) string {
		var zero T
		if v == zero {
			return word
		}
		return format(v)
	}
	k.schema = schema{"anyOf": []schema{{"const": word}, k.schema}}
	return k
}

// orAbsent has the zero value stand for a key that was not given.
func (k kind[T]) orAbsent() kind[T] {
	format := k.format
	k.format = func(v T) string {
		var zero T
		if v == zero {
			return ""
		}
		return format(v)
	}
	return k
}

func text[T ~string](name string) kind[T] {
	return kind[T]{
		name: name, want: "a string", tags: []string{"!!str"},
		parse:  func(text string) (T, error) { return T(text), nil },
		format: func(v T) string { return string(v) },
		schema: schema{"type": "string"},
	}
}

const longestLabel = 63 // RFC 1123, section 2.1

// label is a DNS-1123 label: the names of clusters and peers become parts of annotations and metrics.
func label() kind[string] {
	k := text[string]("name").where(func(name string) error {
		return checkName(name, "", longestLabel, "a DNS-1123 label: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit")
	})
	k.schema = schema{"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
	return k
}

// subdomain is a DNS-1123 subdomain: what Kubernetes allows as a node's name.
func subdomain() kind[string] {
	k := text[string]("name").where(func(name string) error {
		return checkName(name, ".", 253, "a DNS-1123 subdomain: at most 253 of a-z, 0-9, - and ., each part beginning and ending with a letter or digit")
	})
	k.schema = schema{"type": "string", "maxLength": 253, "pattern": "^[-.a-z0-9]+$"}
	return k
}

func checkName(name, separators string, longest int, rule string) error {
	if isName(name, separators, longest) {
		return nil
	}
	if better := asLabel(name, separators, longest); isName(better, separators, longest) {
		rule += " (did you mean " + better + "?)"
	}
	return errors.New("must be " + rule)
}

func isName(name, separators string, longest int) bool {
	parts := []string{name}
	if separators != "" {
		parts = strings.Split(name, separators)
	}
	for _, p := range parts {
		odd := strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789") // what is left begins and ends with an odd one
		if p == "" || odd != "" && (strings.HasPrefix(p, odd) || strings.HasSuffix(p, odd)) {
			return false
		}
		for _, r := range p {
			if r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
				return false
			}
		}
	}
	return len(name) <= longest
}

// oneOf is a choice of words.
func oneOf[T ~string](words ...T) kind[T] {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	k := text[T](strings.Join(names, "|"))
	k.want = "one of " + strings.Join(names, ", ")
	k.parse = func(text string) (T, error) {
		if !slices.Contains(names, text) {
			return "", broken("must be one of %s%s", strings.Join(names, ", "), didYouMean(text, names))
		}
		return T(text), nil
	}
	k.schema = schema{"enum": names}
	return k
}

// tristate is a boolean or the word auto, quoted or not.
func tristate() kind[Tristate] {
	k := oneOf(Auto, True, False)
	k.tags = []string{"!!bool", "!!str"}
	k.schema = schema{"enum": []any{true, false, "auto", "true", "false"}}
	return k
}

// directory is an absolute path short enough to hold sockets: a socket's path has at most 107 bytes (unix(7)).
func directory() kind[string] {
	const longest = 80
	return text[string]("path").where(func(dir string) error {
		switch {
		case !path.IsAbs(dir):
			return broken("must be an absolute path")
		case path.Clean(dir) != dir:
			return broken("must be a plain path: write %s", path.Clean(dir))
		case len(dir) > longest:
			return broken("must have at most %d bytes: the path of a socket in it may have 107 (unix(7))", longest)
		case strings.ContainsRune(dir, 0):
			return broken("must not contain a zero byte")
		}
		return nil
	})
}

// file is the absolute path of a file. Whether it is there and may be read is found out by whoever reads it.
func file() kind[string] {
	return text[string]("path").where(func(name string) error {
		switch {
		case name == "":
			return broken("must not be empty: leave the key out for none")
		case !path.IsAbs(name):
			return broken("must be an absolute path")
		case path.Clean(name) != name:
			return broken("must be a plain path: write %s", path.Clean(name))
		case strings.ContainsRune(name, 0):
			return broken("must not contain a zero byte")
		}
		return nil
	})
}

func boolean() kind[bool] {
	return kind[bool]{
		name: "bool", want: "true or false", tags: []string{"!!bool"},
		parse: func(text string) (bool, error) {
			if text != "true" && text != "false" {
				return false, broken("must be true or false")
			}
			return text == "true", nil
		},
		format: strconv.FormatBool,
		schema: schema{"type": "boolean"},
	}
}

// number is a whole number in decimal, within inclusive limits.
func number[T int | uint32](lowest, highest int64) kind[T] {
	return kind[T]{
		name: "int", want: "a whole number", tags: []string{"!!int"},
		parse: func(text string) (T, error) {
			n, err := strconv.ParseInt(text, 10, 64)
			switch {
			case errors.Is(err, strconv.ErrRange) || err == nil && (n < lowest || n > highest):
				return 0, broken("must be %d to %d", lowest, highest)
			case err != nil || text != strconv.FormatInt(n, 10):
				// 0x2a, 1_000 and 010 are numbers to YAML, the last one not the same in each version of it.
				return 0, broken("must be a whole number in plain decimal digits")
			}
			return T(n), nil
		},
		format: func(v T) string { return strconv.FormatInt(int64(v), 10) },
		schema: schema{"type": "integer", "minimum": lowest, "maximum": highest},
	}
}

// asn is an AS number that a speaker may have, in asplain notation (RFC 5396).
func asn() kind[uint32] {
	const highest = 1<<32 - 2
	k := number[uint32](1, highest).refusing(map[string]string{
		"0":          "AS 0 is reserved and must not be used (RFC 7607)",
		"23456":      "AS 23456 is AS_TRANS, the stand-in for AS numbers of four octets (RFC 6793)",
		"65535":      "AS 65535 is reserved (RFC 7300); private ones are 64512 to 65534",
		"4294967295": "AS 4294967295 is reserved (RFC 7300); private ones are 4200000000 to 4294967294",
	})
	k.name, k.want = "asn", "an AS number, written as one whole number (asplain, RFC 5396)"
	return k
}

// seconds is a duration in whole seconds, which is what BGP's timers count in.
func seconds(lowest, highest time.Duration, why string) kind[time.Duration] {
	if why != "" {
		why = " (" + why + ")"
	}
	return kind[time.Duration]{
		name: "duration", want: "a duration with its unit, such as 90s or 2m", tags: []string{"!!str"},
		parse: func(text string) (time.Duration, error) {
			d, err := time.ParseDuration(text)
			switch {
			case err != nil || strings.HasPrefix(text, "+"):
				return 0, broken("must be a duration with its unit, such as 90s or 2m")
			case d < lowest || d > highest:
				return 0, broken("must be %s to %s%s", inSeconds(lowest), inSeconds(highest), why)
			case d%time.Second != 0:
				return 0, broken("must be whole seconds")
			}
			return d, nil
		},
		format: inSeconds,
		schema: schema{"type": "string", "pattern": `^-?([0-9.]+(ns|us|µs|μs|ms|s|m|h))+$`},
	}
}

func inSeconds(d time.Duration) string {
	return fmt.Sprintf("%ds", d/time.Second)
}
