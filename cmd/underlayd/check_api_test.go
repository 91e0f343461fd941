package main

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
	"github.com/underlayd/underlayd/status"
)

// TestTheRightsOfTheManifestsAreCheckedWithTheAPI: they are all there with the manifests, and named when they are taken away.
func TestTheRightsOfTheManifestsAreCheckedWithTheAPI(t *testing.T) {
	t.Parallel()
	apitest.Require(t)
	server, err := apitest.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.Install(t.Context(), deploy.Base()))
	agent, err := server.Agent(t.Context(), "one")
	require.NoError(t, err)
	path, err := server.Kubeconfig(agent)
	require.NoError(t, err)
	checked := func(kubeconfig string) []status.Check {
		c := &checkup{basis: &basis{config: &config.Config{Kubernetes: config.Kubernetes{Enabled: config.True, Kubeconfig: kubeconfig}}}, ctx: t.Context()}
		c.rights()
		return c.items
	}
	require.Eventually(t, func() bool { // the API has not heard of all bindings at once
		items := checked(path)
		return len(items) == 1 && items[0].Sentence == "all 16 rights that the manifests grant are there"
	}, time.Minute, 100*time.Millisecond, "%v", checked(path))
	require.NoError(t, server.Install(t.Context(), fewerRights(t)))
	var items []status.Check
	require.Eventually(t, func() bool {
		items = checked(path)
		return len(items) == 7
	}, time.Minute, 100*time.Millisecond)
	l := status.NewCheckList("one", time.Now(), true, items)
	require.Equal(t, []int{3, 4}, []int{l.Failed, l.Warnings}, "of the CNIs' only where one is chosen")
	require.Equal(t, "the API denies the right to list nodes", l.Items[0].Sentence)
	require.NotEmpty(t, l.Items[0].Remedy.Command)
	rows := "\n| fault | command | sentence | remedy |\n|---|---|---|---|\n" + apiRow("a right of the manifests is denied", l.Items[0])
	agent.Host = "https://127.0.0.1:1"
	path, err = server.Kubeconfig(agent)
	require.NoError(t, err)
	items = checked(path)
	require.Len(t, items, 1)
	require.Equal(t, status.CheckWarning, items[0].Result)
	require.Contains(t, items[0].Sentence, "the API could not be asked for rights")
	compareDocument(t, "faults.md", "<!-- faults: made by go test ./cmd/underlayd -run TheRightsOfTheManifests -update -->\n", rows+apiRow("the API does not answer", items[0]))
}

// apiRow is a row of docs/faults.md, whose other tables are made by containerlab/scenario.
func apiRow(fault string, c status.Check) string {
	sentence, _, _ := strings.Cut(c.Sentence, ": Post ") // what the client says besides is not ours
	return fmt.Sprintf("| %s | `underlayd check` | %s | %s; `%s` |\n", fault, sentence, c.Remedy.Action, c.Remedy.Command)
}

// fewerRights are the manifests with a ClusterRole that may get what it could list, watch and patch.
func fewerRights(t *testing.T) fs.FS {
	files := fstest.MapFS{}
	require.NoError(t, fs.WalkDir(deploy.Base(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(deploy.Base(), name)
		if name == "rbac.yaml" {
			text = []byte(strings.NewReplacer("[get, list, watch]", "[get]", "[patch]", "[get]").Replace(string(text)))
		}
		files[name] = &fstest.MapFile{Data: text}
		return err
	}))
	return files
}
