// Command deploy reads a Dockerfile from standard input with BuildKit's own parser and writes what it found as JSON, for tests: where no image
// can be pulled, nothing else says that Docker would take it. What BuildKit's linter has to say goes along.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

type file struct {
	Stages   []stage  `json:"stages"`
	Warnings []string `json:"warnings"`
}

type stage struct {
	Name     string   `json:"name"`
	Base     string   `json:"base"`
	Platform string   `json:"platform"`
	Commands []string `json:"commands"` // as written, continued lines joined
	Runs     []string `json:"runs"`     // what the shell gets
}

func main() {
	out, err := read(os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

func read(in io.Reader) (*file, error) {
	tree, err := parser.Parse(in)
	if err != nil {
		return nil, err
	}
	out := &file{Warnings: []string{}}
	for _, w := range tree.Warnings {
		out.Warnings = append(out.Warnings, w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(name, _, _, message string, _ []parser.Range) {
		out.Warnings = append(out.Warnings, name+": "+message)
	}})
	stages, _, err := instructions.Parse(tree.AST, lint)
	if err != nil {
		return nil, err
	}
	for _, s := range stages {
		found := stage{Name: s.Name, Base: s.BaseName, Platform: s.Platform}
		for _, c := range s.Commands {
			text, ok := c.(fmt.Stringer)
			if !ok {
				return nil, fmt.Errorf("%s can't be shown", c.Name())
			}
			found.Commands = append(found.Commands, text.String())
			if run, ok := c.(*instructions.RunCommand); ok {
				found.Runs = append(found.Runs, run.CmdLine...)
			}
		}
		out.Stages = append(out.Stages, found)
	}
	return out, nil
}
