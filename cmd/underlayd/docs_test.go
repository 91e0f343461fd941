package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

var update = flag.Bool("update", false, "write the generated documents again instead of comparing with them")

// TestTheCommandsAreDocumented: every command with its flags, and every exit code.
func TestTheCommandsAreDocumented(t *testing.T) {
	root := newRoot()
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	for _, cmd := range commandsOf(root) {
		describe(&b, cmd)
	}
	plugin := newPlugin()
	fmt.Fprintf(&b, "\n## kubectl underlayd\n\n%s.\n\n```text\nkubectl underlayd COMMAND [flags]\n\n%s\n```\n", plugin.Short, plugin.Long)
	fmt.Fprintf(&b, "\n| command | |\n|---|---|\n")
	for _, cmd := range commandsOf(plugin) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(cmd.Use, "|", `\|`), cmd.Short)
	}
	plugin.Flags().AddFlagSet(plugin.PersistentFlags())
	describeFlags(&b, plugin)
	compareDocument(t, "cli.md", "<!-- commands: made by go test ./cmd/underlayd -run Documented -update -->\n", b.String())
}

// TestTheKeysAreDocumented: every key with its flag, variable and default, and what a change of it takes.
func TestTheKeysAreDocumented(t *testing.T) {
	var b strings.Builder
	require.NoError(t, config.WriteKeys(&b))
	compareDocument(t, "configuration.md", "<!-- keys: made by go test ./cmd/underlayd -run Documented -update -->\n", "\n"+b.String())
}

// TestEveryExitCodeIsDocumented: in the table that people wrote above the commands.
func TestEveryExitCodeIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	for _, code := range []int{0, exitFailed, exitUsage, exitWaited} {
		require.Contains(t, string(text), fmt.Sprintf("\n| %d | ", code))
	}
}

// commandsOf returns the commands that do something, in the order of their names.
func commandsOf(cmd *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if !sub.HasSubCommands() {
			all = append(all, sub)
		}
		all = append(all, commandsOf(sub)...)
	}
	return all
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n", strings.TrimPrefix(cmd.CommandPath(), "underlayd "), strings.TrimSuffix(cmd.Short, "."))
	usage := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	if cmd.HasAvailableFlags() {
		usage += " [flags]"
	}
	fmt.Fprintf(b, "\n```text\n%s\n", usage)
	if cmd.Long != "" && cmd.Parent().Name() != "completion" { // what that says is cobra's
		fmt.Fprintf(b, "\n%s\n", strings.TrimSpace(cmd.Long))
	}
	b.WriteString("```\n")
	describeFlags(b, cmd)
}

func describeFlags(b *strings.Builder, cmd *cobra.Command) {
	var keys []string // what each key of the configuration has is told elsewhere
	for _, k := range config.Keys() {
		keys = append(keys, strings.TrimPrefix(k.Flag, "--"))
	}
	var rows strings.Builder
	configured := false
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if slices.Contains(keys, f.Name) {
			configured = true
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, meaning := pflag.UnquoteUsage(f)
		if value != "" {
			name += " " + strings.ReplaceAll(value, "|", `\|`)
		}
		fallback := ""
		if f.DefValue != "" && f.DefValue != "[]" {
			fallback = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", name, fallback, strings.ReplaceAll(meaning, "|", `\|`))
	})
	if rows.Len() > 0 {
		b.WriteString("\n| flag | default | |\n|---|---|---|\n" + rows.String())
	}
	if configured {
		b.WriteString("\nAnd a flag for each [key of the configuration](configuration.md) that is in no list.\n")
	}
}

// compareDocument compares what follows the mark in a document with what is true, or writes it there.
func compareDocument(t *testing.T, name, mark, want string) {
	t.Helper()
	file := "../../docs/" + name
	doc, err := os.ReadFile(file)
	require.NoError(t, err)
	text, old, found := strings.Cut(string(doc), mark)
	require.True(t, found, "%s has no mark", file)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text+mark+want), 0o600))
		return
	}
	require.Equal(t, want, old, "go test ./cmd/underlayd -run Documented -update makes it again")
}
