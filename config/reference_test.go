package config_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/underlayd/underlayd/config"
)

// withExamples is the reference file with the examples in it switched on: comments that begin with two
// spaces or a dash.
func withExamples() string {
	return regexp.MustCompile(`(?m)^( *)#(-|  )`).ReplaceAllString(string(config.Reference()), "$1$2")
}

func TestReferenceEqualsTheDefaults(t *testing.T) {
	require.Equal(t, mustParse(t, minimal), mustParse(t, string(config.Reference())))
}

func TestReferenceExamplesAreValid(t *testing.T) {
	c := mustParse(t, withExamples())
	require.Len(t, c.BGP.Peers, 3)
	require.Len(t, c.Clusters, 2)
	bare := mustParse(t, remotes(`name: west, id: 2, podCIDRs: [10.20.0.0/16, "fd00:20::/48"]`))
	require.Equal(t, bare.Clusters, c.Clusters[:1], "but for what is required, the example of a contract shows the defaults")
}

func TestReferenceHasEveryKey(t *testing.T) {
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(withExamples()), &root))
	found := make(map[string]bool)
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode:
			found[path] = len(n.Content) == 0
			for i := 0; i < len(n.Content); i += 2 {
				walk(strings.TrimPrefix(path+"."+n.Content[i].Value, "."), n.Content[i+1])
			}
		case yaml.SequenceNode:
			found[path] = true
			for _, item := range n.Content {
				walk(path+"[]", item)
			}
		default:
			found[path] = true
		}
	}
	walk("", root.Content[0])
	for _, k := range config.Keys() {
		require.True(t, found[k.Path], k.Path)
	}
}
