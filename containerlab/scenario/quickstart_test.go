package scenario

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// section returns the fenced blocks of a section of docs/quickstart.md, in their order, by language.
func section(t *testing.T, title string) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/quickstart.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), "\n## "+title+"\n")
	require.True(t, found, title)
	text, _, _ = strings.Cut(text, "\n## ")
	blocks := map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		blocks[m[1]] = append(blocks[m[1]], m[2])
	}
	return blocks
}

// quickLab makes a lab of a copy of testdata/quickstart with these files in it.
func quickLab(t *testing.T, topology string, files map[string]string, manual ...string) *containerlab.Lab {
	t.Helper()
	folder := emptyFolder(t)
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "quickstart"))))
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	return containerlab.UpForTest(t, filepath.Join(folder, topology), containerlab.Options{
		Sources: map[string]string{"underlayd": built(t).underlayd}, Manual: manual,
	})
}

// TestTheTwoHostsOfTheQuickStart: what the page has the reader type is typed, line by line, and what it shows is seen.
func TestTheTwoHostsOfTheQuickStart(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "ip", "ping", "sysctl", "go")
	blocks := section(t, "Two hosts")
	require.Len(t, blocks["yaml"], 2)
	lab := quickLab(t, "hosts.clab.yml", map[string]string{
		"east-1/config.yaml": blocks["yaml"][0], "west-1/config.yaml": blocks["yaml"][1],
	}, "east-1", "west-1")
	said, typed := "", 0
	for _, line := range strings.Split(strings.Join(blocks["console"], ""), "\n") {
		node, command, isCommand := strings.Cut(line, "-1# ")
		switch {
		case strings.HasPrefix(line, "# ") || line == "": // on the machine that builds
		case !isCommand:
			require.Contains(t, said, line)
		case command == "underlayd run":
			require.NoError(t, lab.Node(node+"-1").Launch(t.Context()))
		default:
			if command == "underlayd cleanup" {
				require.NoError(t, lab.Node(node+"-1").Process("underlayd").Stop(t.Context()))
			}
			said = output(t, lab.Node(node+"-1"), "sh", "-c", command)
			typed++
		}
	}
	require.Equal(t, 15, typed)
	for _, node := range lab.Nodes() {
		require.Empty(t, output(t, node, "ip", "route", "show", "proto", "200"), node.Name())
	}
}

// TestTheTwoClustersOfTheQuickStart: the configurations and the router's, without an API; what that does is tested elsewhere.
func TestTheTwoClustersOfTheQuickStart(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "ip", "ping", "go")
	blocks := section(t, "Two Kubernetes clusters")
	require.Len(t, blocks["yaml"], 2)
	require.Len(t, blocks[""], 1)
	files := map[string]string{"east/config.yaml": blocks["yaml"][0], "west/config.yaml": blocks["yaml"][1], "fabric/frr.conf": blocks[""][0]}
	for _, name := range []string{"daemons", "vtysh.conf"} {
		text, err := os.ReadFile(filepath.Join("..", "two-clusters", "fabric", name))
		require.NoError(t, err)
		files["fabric/"+name] = string(text)
	}
	lab := quickLab(t, "clusters.clab.yml", files)
	for node, other := range map[string]string{"east-1": "10.20.1.10", "west-1": "10.10.1.10"} {
		until(t, patience, node+" reaches the other cluster", func(ctx context.Context) error {
			_, err := lab.Node(node).Output(ctx, "underlayd", "status", "--wait", "--for", "phase=Ready", "--timeout", "5s")
			return err
		})
		require.Contains(t, output(t, lab.Node(node), "underlayd", "explain", other), other+" is reachable: cluster ")
	}
	taken := output(t, lab.Node("fabric"), "vtysh", "-c", "show running-config")
	for _, line := range strings.Split(blocks[""][0], "\n") {
		if strings.HasPrefix(line, " bgp listen ") {
			require.Contains(t, taken, line+"\n")
		}
	}
	output(t, lab.Node("east-1"), "ping", "-c", "1", "-W", "5", "-I", "10.10.1.10", "10.20.1.10")
}

// TestTheInstallationOfTheQuickStartIsThatOfTheManual, which is tried out on real API servers.
func TestTheInstallationOfTheQuickStartIsThatOfTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	same := 0
	for _, line := range strings.Split(strings.Join(section(t, "Two Kubernetes clusters")["console"], ""), "\n") {
		if !strings.HasPrefix(line, "# kubectl -n kube-system ") && !strings.HasPrefix(line, "# kubectl apply ") || strings.Contains(line, " explain ") {
			continue
		}
		require.Contains(t, string(manual), line+"\n")
		same++
	}
	require.Equal(t, 4, same)
}
