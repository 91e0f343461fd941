package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/status"
)

// pages are the documents that people read, by their paths from here.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../containerlab/*.md", "../../containerlab/*/*.md", "../../k8s/deploy/*/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			all[file] = string(text)
		}
	}
	return all
}

// block is a fenced part of a page.
type block struct {
	language, text string
	line           int // of the page, where it begins
}

// blocksOf takes a page apart: its fenced blocks, and the rest with an empty line for each of theirs.
func blocksOf(page string) (blocks []block, prose string) {
	var rest strings.Builder
	var open *block
	for i, line := range strings.Split(page, "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{language: language, line: i + 2}
		case fence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		default:
			rest.WriteString(line)
		}
		rest.WriteString("\n")
	}
	return blocks, rest.String()
}

var (
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
	link     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	notInID  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	codeSpan = regexp.MustCompile("`[^`]+`")
	prompt   = regexp.MustCompile(`^(?:[a-z0-9-]+)?[#$] (?:kubectl .* -- )?`)
	quoted   = regexp.MustCompile(`"[^"]*"`)
)

// anchorsOf returns what can stand after # in a link to a page, as GitHub makes it from the headings.
func anchorsOf(page string) map[string]bool {
	_, prose := blocksOf(page)
	all, seen := map[string]bool{}, map[string]int{}
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		id := notInID.ReplaceAllString(strings.ToLower(linkText.ReplaceAllString(m[1], "$1")), "")
		id = strings.ReplaceAll(strings.TrimSpace(id), " ", "-")
		if n := seen[id]; n > 0 {
			all[fmt.Sprintf("%s-%d", id, n)] = true
		}
		seen[id]++
		all[id] = true
	}
	return all
}

// deadLinks names the links of a page within the repository that lead to no file, or to no heading of it.
func deadLinks(file, page string) []string {
	var dead []string
	_, prose := blocksOf(page)
	for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(prose, ""), -1) {
		if strings.Contains(m[1], ":") {
			continue // to another place than the repository
		}
		path, anchor, _ := strings.Cut(m[1], "#")
		text := page
		if path != "" {
			target := filepath.Join(filepath.Dir(file), path)
			if _, err := os.Stat(target); err != nil {
				dead = append(dead, m[1])
				continue
			}
			if anchor != "" {
				other, err := os.ReadFile(target)
				if err != nil {
					dead = append(dead, m[1])
					continue
				}
				text = string(other)
			}
		}
		if anchor != "" && !anchorsOf(text)[anchor] {
			dead = append(dead, m[1])
		}
	}
	return dead
}

func TestDeadLinksAreFound(t *testing.T) {
	page := "# A page\n\n## What `it` [does](x), 1.5\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n"
	rows := []struct {
		name, links string
		dead        []string
	}{
		{"files, headings and other sites", "[a](docs_test.go) [b](#a-page) [c](#what-it-does-15) [d](#twice-1) [e](https://example.org/#x)", nil},
		{"a file that is not there", "[a](gone.md)", []string{"gone.md"}},
		{"a heading that is not there", "[a](#gone)", []string{"#gone"}},
		{"a heading of another page", "[a](../../docs/probe.md#silent) [b](../../docs/probe.md#gone)", []string{"../../docs/probe.md#gone"}},
		{"a comment in a block is no heading", "[a](#no-heading)", []string{"#no-heading"}},
		{"a link in code is none", "`[a](gone.md)`", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.dead, deadLinks("page.md", strings.ReplaceAll(page, "(x)", "(docs_test.go)")+row.links))
		})
	}
}

func TestEveryLinkOfThePagesLeadsSomewhere(t *testing.T) {
	for file, page := range pages(t) {
		require.Empty(t, deadLinks(file, page), file)
	}
}

// wrongCommand says what is wrong with a command line of a page, if it is one of ours: a command or a flag that does not
// exist and, of a line that is whole, the number of arguments.
func wrongCommand(line string, whole bool) error {
	line, _, _ = strings.Cut(line, "  ") // what it does
	for _, end := range []string{" | ", " >", "; ", " && "} {
		line, _, _ = strings.Cut(line, end)
	}
	words := strings.Fields(quoted.ReplaceAllString(line, "TEXT"))
	root := newRoot()
	switch {
	case len(words) > 2 && words[0] == "kubectl" && words[1] == "underlayd":
		root, words = newPlugin(), words[1:]
	case len(words) < 2 || words[0] != "underlayd" || words[1] == "COMMAND":
		return nil
	}
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	cmd, args, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	if err := cmd.ParseFlags(args); err != nil {
		return err
	}
	if cmd.HasSubCommands() {
		if rest := cmd.Flags().Args(); len(rest) > 0 && !strings.ContainsAny(rest[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ|…") {
			return fmt.Errorf("%s has no command %s", cmd.CommandPath(), rest[0])
		}
		return nil
	}
	if !whole {
		return nil
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

func TestWrongCommandsAreFound(t *testing.T) {
	rows := []struct {
		line  string
		wrong string
	}{
		{"underlayd status --wait --for phase=Ready     waits", ""},
		{`underlayd drain --wait --reason "new board" && true`, ""},
		{"kubectl underlayd explain 10.20.7.9 --node east-1", ""},
		{"ip route show proto 200", ""},
		{"underlayd stats", "unknown command"},
		{"underlayd status --wiat", "unknown flag: --wiat"},
		{"underlayd config check FILE", "has no command check"},
		{"underlayd explain", "accepts 1 arg"},
		{"kubectl underlayd explain 10.20.7.9 --nodes x", "unknown flag: --nodes"},
	}
	for _, row := range rows {
		t.Run(row.line, func(t *testing.T) {
			if row.wrong == "" {
				require.NoError(t, wrongCommand(row.line, true))
				return
			}
			require.ErrorContains(t, wrongCommand(row.line, true), row.wrong)
		})
	}
}

// TestEveryCommandOfThePagesExists: in blocks after a prompt, and in the text.
func TestEveryCommandOfThePagesExists(t *testing.T) {
	seen := 0
	for file, page := range pages(t) {
		blocks, prose := blocksOf(page)
		for _, b := range blocks {
			for _, line := range strings.Split(b.text, "\n") {
				if at := prompt.FindString(line); at != "" {
					require.NoError(t, wrongCommand(strings.TrimPrefix(line, at), true), "%s: %s", file, line)
					seen++
				}
			}
		}
		for _, part := range codeSpan.FindAllString(prose, -1) {
			line := strings.Join(strings.Fields(strings.Trim(part, "`")), " ")
			require.NoError(t, wrongCommand(line, false), "%s: %s", file, line)
			if strings.HasPrefix(line, "underlayd ") {
				seen++
			}
		}
	}
	require.Greater(t, seen, 100, "they are no longer found")
}

// TestTheConfigurationsOfTheQuickStartWork: each is valid, and those that are to meet fit together.
func TestTheConfigurationsOfTheQuickStartWork(t *testing.T) {
	page, err := os.ReadFile("../../docs/quickstart.md")
	require.NoError(t, err)
	blocks, _ := blocksOf(string(page))
	var files []string
	for _, b := range blocks {
		if b.language != "yaml" {
			continue
		}
		file := filepath.Join(t.TempDir(), fmt.Sprintf("line-%d.yaml", b.line))
		require.NoError(t, os.WriteFile(file, []byte(b.text), 0o600))
		said, code := execute(t, "config", "validate", file)
		require.Zero(t, code, said)
		files = append(files, file)
	}
	require.Len(t, files, 4, "two hosts and two clusters")
	for _, args := range [][]string{
		{"--node", "east-1=192.168.50.11/24", "--node", "west-1=192.168.50.21/24", files[0], files[1]},
		{files[2], files[3]},
	} {
		said, code := execute(t, append([]string{"lint"}, args...)...)
		require.Zero(t, code, said)
	}
}

// TestTheGoOfTheQuickStartIsOurs: the one that go.mod asks for.
func TestTheGoOfTheQuickStartIsOurs(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(string(mod))
	require.NotNil(t, version)
	page, err := os.ReadFile("../../docs/quickstart.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "https://go.dev/dl/go"+version[1]+".linux-amd64.tar.gz")
}

// TestThePictureOfTheConceptsHasTheWordsOfTheCommands: as they are, so that what is seen there can be looked up here.
func TestThePictureOfTheConceptsHasTheWordsOfTheCommands(t *testing.T) {
	picture, err := os.ReadFile("../../docs/images/concepts.svg")
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(picture, new(struct{})))
	for _, step := range []string{status.StepReceived, status.StepPolicy, status.StepChoice, status.StepNextHop, status.StepKernel, status.StepNode} {
		require.Contains(t, string(picture), ">"+step+"<")
	}
	for _, answer := range []string{"status-degraded", "routes-degraded"} {
		table, err := os.ReadFile("../../status/testdata/" + answer + ".table")
		require.NoError(t, err)
		command, _, _ := strings.Cut(answer, "-")
		_, row, found := strings.Cut(string(picture), ">"+command+"</text>")
		require.True(t, found)
		row, _, _ = strings.Cut(row, "<path")
		words := regexp.MustCompile(`class="w" [^>]*>([^<]+)<`).FindAllStringSubmatch(row, -1)
		require.NotEmpty(t, words)
		for _, word := range words {
			require.Regexp(t, `\b`+word[1]+`\b`, string(table))
		}
	}
}
