package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/deploy"
	"github.com/underlayd/underlayd/status"
)

// TestTheRightsAskedForAreThoseOfTheManifests: each one that is granted, and no other.
func TestTheRightsAskedForAreThoseOfTheManifests(t *testing.T) {
	text, err := fs.ReadFile(deploy.Base(), "rbac.yaml")
	require.NoError(t, err)
	var granted []string
	for d := yaml.NewDecoder(strings.NewReader(string(text))); ; {
		var object struct {
			Metadata struct{ Namespace string }
			Rules    []struct {
				APIGroups        []string `yaml:"apiGroups"`
				Resources, Verbs []string
			}
		}
		if d.Decode(&object) != nil {
			break
		}
		for _, r := range object.Rules {
			for _, verb := range r.Verbs {
				resource, sub, _ := strings.Cut(r.Resources[0], "/")
				granted = append(granted, k8s.Right{Verb: verb, Group: r.APIGroups[0], Resource: resource, Subresource: sub, Namespace: object.Metadata.Namespace}.String())
			}
		}
	}
	require.NotEmpty(t, granted)
	var asked []string
	for _, r := range rightsOf(&config.Config{}) {
		asked = append(asked, r.String())
	}
	require.ElementsMatch(t, granted, asked)
	require.Contains(t, rightsOf(&config.Config{BGP: config.BGP{Peers: []config.Peer{{PasswordSecret: config.SecretKey{Name: "fabric"}}}}}),
		k8s.Right{Verb: "get", Resource: "secrets", Namespace: "kube-system", Name: "fabric"})
}

func TestWhatIsCheckedWithoutAValidConfiguration(t *testing.T) {
	folder := t.TempDir()
	broken, socket := filepath.Join(folder, "broken.yaml"), filepath.Join(folder, "none.sock")
	require.NoError(t, os.WriteFile(broken, []byte(strings.Replace(sample, "64512", "23456", 1)), 0o600))
	out, code := execute(t, "check", "--config", broken, "--socket", socket)
	require.Equal(t, exitFailed, code, out)
	for _, words := range []string{"underlayd does not run", "✗ Invalid: ", "bgp.asn: 23456", "→ correct it; run underlayd config validate " + broken, "1 of the checks failed"} {
		require.Contains(t, out, words)
	}
	out, code = execute(t, "check", "-o", "json", "--config", filepath.Join(folder, "none.yaml"), "--socket", socket)
	require.Equal(t, exitFailed, code, out)
	require.Contains(t, out, `"kind": "CheckList"`)
	require.Contains(t, out, "no such file")
	out, code = execute(t, "check", "more")
	require.Equal(t, exitUsage, code, out)
}

// TestOnlyWhatWasDroppedLatelyCounts: what the kernel counted before the oldest reading says nothing of a session of today.
func TestOnlyWhatWasDroppedLatelyCounts(t *testing.T) {
	h, start := &hostChecks{}, time.Now()
	require.Empty(t, h.dropped())
	for i := range 3 * readings {
		h.count(start.Add(time.Duration(i) * readingRest))
		h.count(start.Add(time.Duration(i)*readingRest + time.Second)) // too soon
	}
	require.Len(t, h.counts, readings)
	h.counts[0].counts = map[string]uint64{"TCPMD5Failure": ^uint64(0)}
	seen := h.dropped()
	require.Zero(t, seen["TCPMD5Failure"], "a counter never runs backwards")
	require.Contains(t, seen, "TCPMD5NotFound")
	require.Equal(t, status.CheckSessions, groupOf(status.Problem{Subject: "peer a"}))
	require.Equal(t, status.CheckContracts, groupOf(status.Problem{Subject: "refused path, Overlap"}))
	require.Equal(t, status.CheckDaemon, groupOf(status.Problem{Subject: "crash"}))
}
