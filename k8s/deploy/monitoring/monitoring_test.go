// Package monitoring_test holds the alerts and the dashboard against the metrics that exist.
package monitoring_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

func TestPrometheusTakesTheRules(t *testing.T) {
	containerlab.Require(t, "promtool")
	for _, argv := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		out, err := exec.Command("promtool", argv...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// TestEveryAlertIsTested: one that never fires in a test may never fire at all.
func TestEveryAlertIsTested(t *testing.T) {
	tests := read(t, "rules_test.yaml")
	alerts := regexp.MustCompile(`(?m)^  - alert: (\w+)$`).FindAllStringSubmatch(read(t, "rules.yaml"), -1)
	require.NotEmpty(t, alerts)
	for _, a := range alerts {
		fires := regexp.MustCompile(`alertname: ` + a[1] + `\n +exp_alerts:|alertname="` + a[1] + `"`)
		require.Regexp(t, fires, tests, "%s fires in no test", a[1])
	}
}

func TestOnlyMetricsThatExistAreNamed(t *testing.T) {
	exist := map[string]bool{"up": true}
	for _, golden := range []string{"healthy", "degraded"} {
		for _, line := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(read(t, "../../../status/testdata/metrics-"+golden+".txt"), -1) {
			exist[line[1]] = true
			if line[2] == "histogram" {
				exist[line[1]+"_bucket"] = true
			}
		}
	}
	// Those of GoBGP and of every Go program, which are not ours to change.
	for _, name := range []string{"bgp_received_update_total", "process_resident_memory_bytes", "process_cpu_seconds_total"} {
		exist[name] = true
	}
	named := regexp.MustCompile(`\b(?:underlayd|bgp|process|go)_\w+`)
	for _, file := range []string{"rules.yaml", "dashboard.json"} {
		text := strings.NewReplacer("cluster:underlayd_", "", "instance:underlayd_", "").Replace(read(t, file))
		all := named.FindAllString(text, -1)
		require.NotEmpty(t, all)
		for _, name := range all {
			require.True(t, exist[name], "%s names %s, which nobody tells", file, name)
		}
	}
}

func TestTheDashboardIsTiedToNoDatasource(t *testing.T) {
	var board struct {
		Panels []struct {
			Title      string
			Type       string
			Datasource struct{ UID string }
			Targets    []struct {
				Expr       string
				Datasource struct{ UID string }
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, "dashboard.json")), &board))
	queries := 0
	for _, p := range board.Panels {
		if p.Type == "row" {
			continue
		}
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			require.Equal(t, "${datasource}", target.Datasource.UID, p.Title)
			require.NotEmpty(t, target.Expr, p.Title)
			queries++
		}
	}
	require.Greater(t, queries, 15)
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(data)
}
