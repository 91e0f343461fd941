package main

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// TestManifestsFit holds the shipped manifests against the daemon: the arguments are ones it takes, and the
// configuration in the ConfigMap is one it accepts, at the place where the DaemonSet looks for it.
func TestManifestsFit(t *testing.T) {
	var set struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Args         []string
						Liveness     podProbe `yaml:"livenessProbe"`
						Readiness    podProbe `yaml:"readinessProbe"`
						VolumeMounts []struct {
							MountPath string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					}
				}
			}
		}
	}
	read(t, "daemonset.yaml", &set)
	container := set.Spec.Template.Spec.Containers[0]
	command, flags, err := newRoot().Find(container.Args)
	require.NoError(t, err)
	require.Equal(t, "run", command.Name())
	require.NoError(t, command.ParseFlags(flags))
	file, err := command.Flags().GetString("config")
	require.NoError(t, err)
	require.Equal(t, defaultConfig, file)

	for _, p := range []podProbe{container.Liveness, container.Readiness} {
		require.Equal(t, "/usr/local/bin/underlayd", p.Exec.Command[0])
		command, flags, err := newRoot().Find(p.Exec.Command[1:])
		require.NoError(t, err)
		require.Equal(t, "health", command.Name())
		require.NoError(t, command.ParseFlags(flags))
	}

	var configMap struct{ Data map[string]string }
	text, err := os.ReadFile("../../k8s/deploy/example/config.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &configMap))
	file, ok := configMap.Data[strings.TrimPrefix(file, container.VolumeMounts[0].MountPath+"/")]
	require.True(t, ok, "the ConfigMap has the file that the daemon reads: %v", configMap.Data)
	cfg, err := config.Parse(strings.NewReader(file), "config.yaml", config.Overrides{})
	require.NoError(t, err)
	require.Contains(t, []string{container.VolumeMounts[0].MountPath, container.VolumeMounts[1].MountPath}, cfg.Runtime.Directory)
}

type podProbe struct {
	Exec struct{ Command []string }
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := fs.ReadFile(deploy.Base(), name)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}
