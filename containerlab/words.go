package containerlab

import (
	"errors"
	"strings"
)

// words splits a line as containerlab does for cmd and exec: with quotes, backslashes and comments, much like a shell
// but for a backslash in double quotes, which always goes. No shell runs the line: pipes, variables and redirections
// need an `sh -c '…'` in the file.
func words(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	started := false // a word may be empty: ''
	var quote rune
	escaped := false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if started {
				out = append(out, word.String())
				word.Reset()
				started = false
			}
		case r == '#' && !started:
			return out, nil
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote or backslash is not closed")
	}
	if started {
		out = append(out, word.String())
	}
	return out, nil
}
