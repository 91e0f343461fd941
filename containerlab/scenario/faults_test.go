package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

var update = flag.Bool("update", false, "write the page of faults again instead of comparing with it")

// faultRow is what the page says of a fault: what was asked, what was answered, and what is to be done.
type faultRow struct{ fault, command, sentence, remedy string }

// line is the row in Markdown.
func (r faultRow) line() string {
	cells := []string{r.fault, "`underlayd " + r.command + "`", r.sentence, r.remedy}
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(strings.ReplaceAll(c, "|", `\|`), "\n", " ")
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// steady are the parts of answers that differ from one run to the next.
func steady(text string) string {
	for _, x := range []struct{ pattern, stays string }{
		{`\d+ segments were`, "N segments were"}, {`pid \d+`, "pid N"}, {`is not established but \w+`, "is not established"}, {`(192\.168\.\d+\.\d+):\d{4,5}\b`, "$1:PORT"},
		{`\d{4}-\d\d-\d\dT[0-9:.]+Z`, "TIME"}, {`more than \d+ times`, "more than N times"}, {`slowed down \d+ times`, "slowed down N times"},
	} {
		text = regexp.MustCompile(x.pattern).ReplaceAllString(text, x.stays)
	}
	return text
}

// faultPage is one test's section of docs/faults.md.
type faultPage struct {
	test string
	said string // the section as it is
	rows []faultRow
}

const faultsFile = "../../docs/faults.md"

// faultsOf opens the section that a test makes.
func faultsOf(t *testing.T) *faultPage {
	t.Helper()
	p := &faultPage{test: t.Name()}
	text, err := os.ReadFile(faultsFile)
	require.NoError(t, err)
	_, p.said, _, err = p.cut(string(text))
	require.NoError(t, err)
	return p
}

// cut parts the page before and after the section.
func (p *faultPage) cut(text string) (before, section, after string, err error) {
	begin := fmt.Sprintf("<!-- faults: made by go test ./containerlab/scenario -run %s -update -->\n", p.test)
	const end = "<!-- faults: so far -->\n"
	before, rest, begun := strings.Cut(text, begin)
	section, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return "", "", "", fmt.Errorf("%s has no section of %s", faultsFile, p.test)
	}
	return before + begin, section, end + after, nil
}

// telling is how long an answer that names the fault may take to be the very one on the page: the last error of a session changes.
const telling = 5 * time.Second

// tells waits until a question about a fault has its answer, and notes the row.
func (p *faultPage) tells(t *testing.T, fault string, ask func(context.Context) (faultRow, error)) {
	t.Helper()
	var row faultRow

	known := strings.Contains(p.said, "| "+fault+" | ") && !*update
	try := func(exact bool) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := ask(ctx)
			if err != nil {
				return err
			}
			got.fault, got.sentence, got.remedy = fault, steady(got.sentence), steady(got.remedy)
			if row = got; exact && !strings.Contains(p.said, row.line()) {
				return errors.New("the page says something else")
			}
			return nil
		}
	}
	until(t, patience, fault, try(false))
	if known {
		ctx, cancel := context.WithTimeout(t.Context(), telling)
		defer cancel()
		_ = containerlab.Until(ctx, fault, try(true)) // what is not so is told by compare
	}
	require.NotEmpty(t, row.remedy, "%s: %s", fault, row.sentence)
	p.rows = append(p.rows, row)
}

// compare compares the section with what was told, or writes it. It is a step of its own, which is left out when only some faults are run.
func (p *faultPage) compare(t *testing.T) {
	t.Helper()
	t.Run("the page of faults says the same", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("\n| fault | command | sentence | remedy |\n|---|---|---|---|\n")
		for _, r := range p.rows {
			b.WriteString(r.line())
		}
		t.Log(len(p.rows), "faults\n"+b.String())
		b.WriteString("\n")
		if *update {
			p.write(t, b.String())
			return
		}
		require.Equal(t, p.said, b.String(), "go test ./containerlab/scenario -run %s -update makes it again", p.test)
	})
}

// write replaces the section; the tests of other sections run at the same time.
func (p *faultPage) write(t *testing.T, section string) {
	t.Helper()
	folder, err := os.Open(filepath.Dir(faultsFile))
	require.NoError(t, err)
	defer folder.Close() // and with it the lock goes
	require.NoError(t, unix.Flock(int(folder.Fd()), unix.LOCK_EX))
	text, err := os.ReadFile(faultsFile)
	require.NoError(t, err)
	before, _, after, err := p.cut(string(text))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(faultsFile, []byte(before+section+after), 0o600))
}

// remedyWords are a remedy in one line.
func remedyWords(action, key, value, command string) string {
	if key != "" {
		action += "; configuration `" + key
		if value != "" {
			action += ": " + value
		}
		action += "`"
	}
	if command != "" {
		action += "; `" + command + "`"
	}
	return action
}

// byExplain asks about an address.
func byExplain(n *containerlab.Node, target, fault string, words ...string) func(context.Context) (faultRow, error) {
	return func(ctx context.Context) (faultRow, error) {
		e, err := explained(ctx, n, target, fault, words...)
		r := e.remedy()
		return faultRow{command: "explain " + target, sentence: e.Answer, remedy: remedyWords(r.Action, r.Key, r.Value, r.Command)}, err
	}
}

// byCheck asks for all that stands in the way.
func byCheck(n *containerlab.Node, fault string, words ...string) func(context.Context) (faultRow, error) {
	return func(ctx context.Context) (faultRow, error) {
		l, err := check(ctx, n)
		if err != nil {
			return faultRow{}, err
		}
		return l.row(fault, words...)
	}
}

// row is the finding that has a reason or a name, with a remedy.
func (l checkList) row(fault string, words ...string) (faultRow, error) {
	at, err := l.find(fault, words...)
	if err != nil {
		return faultRow{}, err
	}
	c := l.Items[at]
	return faultRow{command: "check", sentence: c.Sentence, remedy: remedyWords(c.Remedy.Action, c.Remedy.Key, c.Remedy.Value, c.Remedy.Command)}, nil
}
