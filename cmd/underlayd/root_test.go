package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// execute runs the command line as main does and returns output and exit code.
func execute(t *testing.T, args ...string) (string, int) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	if err := root.ExecuteContext(t.Context()); err != nil {
		return out.String() + err.Error(), exitCode(err)
	}
	return out.String(), 0
}

func TestCommands(t *testing.T) {
	folder := t.TempDir()
	valid, broken := filepath.Join(folder, "valid.yaml"), filepath.Join(folder, "broken.yaml")
	require.NoError(t, os.WriteFile(valid, []byte(sample), 0o600))
	require.NoError(t, os.WriteFile(broken, []byte(strings.NewReplacer("64512", "23456", "10.30.0.0/16", "10.20.0.0/15").Replace(sample)), 0o600))
	socket := filepath.Join(folder, "none.sock")
	rows := []struct {
		name string
		args string
		code int
		says []string
	}{
		{"a valid file is said to be", "config validate " + valid, 0, []string{"valid.yaml: valid"}},
		{"every mistake is named at once", "config validate " + broken, exitUsage, []string{"bgp.asn: 23456", "clusters[1].podCIDRs"}},
		{"run refuses a broken file", "run --config " + broken, exitUsage, []string{"bgp.asn"}},
		{"a missing file is not a mistake in it", "config validate " + filepath.Join(folder, "none"), exitFailed, []string{"no such file"}},
		{"print fills in the defaults and takes flags", "config print --bgp-hold-time 9s " + valid, 0, []string{"holdTime: 9s", "metric: 512"}},
		{"the reference is there", "config reference", 0, []string{"cluster:", "startLimit"}},
		{"and the table of keys", "config reference --keys", 0, []string{"UNDERLAYD_BGP_ASN", "--bgp-asn"}},
		{"and the schema", "config schema", 0, []string{"json-schema.org"}},
		{"an unknown flag", "status --nonsense", exitUsage, []string{"nonsense"}},
		{"a state to wait for that is none", "status --for cluster/west", exitUsage, []string{"must be ready, phase=PHASE"}},
		{"a state that no cluster has", "status --for cluster/west=Fine", exitUsage, []string{"must be ready"}},
		{"a daemon that does not come in time", "status --wait --timeout 50ms --socket " + socket, exitWaited, []string{"not reached within 50ms", "not running"}},
		{"to watch in a format that has no lines", "watch -o yaml", exitUsage, []string{"table or json"}},
		{"to watch a daemon that does not run", "watch --socket " + socket, exitFailed, []string{"not running", socket}},
		{"an unknown format", "status -o xml", exitUsage, []string{"table, wide, json or yaml"}},
		{"an argument too many", "status more", exitUsage, []string{"more"}},
		{"a prefix that is none", "routes 10.20.1.0/33", exitUsage, []string{"10.20.1.0/33"}},
		{"a state that is none", "routes --state good", exitUsage, []string{"accepted"}},
		{"two states", "routes --installed --state refused", exitUsage, []string{"give one of the two"}},
		{"a short form and a prefix that is none", "routes --stale 10.20.1.0/33", exitUsage, []string{"10.20.1.0/33"}},
		{"a state of what is advertised", "routes --advertised --installed", exitUsage, []string{"choose nothing of what is advertised"}},
		{"a page of what all peers are told", "routes --advertised --after 10.0.0.0/8", exitUsage, []string{"after needs a peer"}},
		{"what a daemon that does not run tells", "routes --advertised --socket " + socket, exitFailed, []string{"not running", socket}},
		{"a history since a time that is none", "history --since then", exitUsage, []string{"neither a duration"}},
		{"a history of too much", "history --limit 5000", exitUsage, []string{"4096"}},
		{"the history of a daemon that does not run", "history --socket " + socket, exitFailed, []string{"not running", socket}},
		{"a daemon that does not run", "status --socket " + socket, exitFailed, []string{"not running", socket}},
		{"the health of a daemon that does not run", "health --socket " + socket, exitFailed, []string{"not running", socket}},
		{"lint of a topology that fits", "lint ../../containerlab/two-clusters.clab.yml", 0, []string{"nothing found in 4 configurations of 2 clusters"}},
		{"lint of files that do not fit", "lint " + valid + " ../../containerlab/two-clusters/west-1/config.yaml", exitFailed, []string{"warning ContractRanges", "fix: ", "in 2 configurations"}},
		{"lint as JSON", "lint -o json " + valid, exitFailed, []string{`"kind": "LintReport"`}},
		{"lint of a broken file", "lint " + broken, exitUsage, []string{"bgp.asn: 23456"}},
		{"lint of a file that is not there", "lint " + filepath.Join(folder, "none"), exitUsage, []string{"no such file"}},
		{"lint of nothing", "lint", exitUsage, []string{"at least 1 arg"}},
		{"lint with an address that is none", "lint --node a=b " + valid, exitUsage, []string{`--node a=b: "b" is no address`}},
		{"lint in a format that is none", "lint -o table " + valid, exitUsage, []string{"text or json"}},
		{"a drawing of a topology", "topology ../../containerlab/two-clusters.clab.yml", 0, []string{"<svg ", "fabric", "east-1"}},
		{"a drawing of files", "topology -o mermaid " + valid, 0, []string{"flowchart TD", "east-1"}},
		{"a drawing for Graphviz", "topology -o dot " + valid, 0, []string{"subgraph cluster_0"}},
		{"a drawing for programs", "topology -o json " + valid, 0, []string{`"kind": "Topology"`}},
		{"a drawing in a format that is none", "topology -o png " + valid, exitUsage, []string{"svg, dot, mermaid or json"}},
		{"a drawing of files and of what runs", "topology --socket x " + valid, exitUsage, []string{"give one of the two"}},
		{"a drawing of a daemon that does not run", "topology --socket " + socket, exitFailed, []string{"not running", socket}},
		{"the schema of an answer", "schema RouteList", 0, []string{"json-schema.org", `"const": "RouteList"`}},
		{"the schema of a kind that is none", "schema Route", exitUsage, []string{"must be one of AdvertisedList, CheckList, Event"}},
		{"the version", "version", 0, []string{"underlayd "}},
		{"completion for a shell", "completion bash", 0, []string{"complete"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			out, code := execute(t, strings.Fields(row.args)...)
			require.Equal(t, row.code, code, out)
			for _, s := range row.says {
				require.Contains(t, out, s)
			}
		})
	}
}
