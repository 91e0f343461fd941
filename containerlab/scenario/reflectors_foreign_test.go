package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// daemonLines are what makes a node of the reflectors lab one that runs underlayd.
const daemonLines = `      cmd: underlayd run --config /etc/underlayd/config.yaml
      binds:
        - ../bin/underlayd:/usr/local/bin/underlayd:ro
        - reflectors/NODE:/etc/underlayd:ro
`

// foreignReflectors is the reflectors lab with FRR in the place of east-rr-2 and BIRD in that of west-rr-2.
func foreignReflectors(t *testing.T) *containerlab.Lab {
	t.Helper()
	text, err := os.ReadFile("../reflectors.clab.yml")
	require.NoError(t, err)
	topology := string(text)
	for node, instead := range map[string]string{
		"east-rr-2": `      image: quay.io/frrouting/frr:10.2.1
      binds:
        - reflectors/frr/daemons:/etc/frr/daemons
        - reflectors/frr/vtysh.conf:/etc/frr/vtysh.conf
        - reflectors/frr/frr.conf:/etc/frr/frr.conf
`,
		"west-rr-2": `      image: pierky/bird:2.0.12
      binds:
        - reflectors/bird/bird.conf:/etc/bird/bird.conf
`,
	} {
		lines := strings.ReplaceAll(daemonLines, "NODE", node)
		require.Contains(t, topology, lines)
		topology = strings.Replace(topology, lines, instead, 1)
	}
	folder, err := filepath.Abs("..")
	require.NoError(t, err)
	topology = strings.ReplaceAll(topology, "- reflectors/", "- "+folder+"/reflectors/")
	path := filepath.Join(emptyFolder(t), "foreign-reflectors.clab.yml")
	topology = strings.Replace(topology, "name: reflectors", "name: foreign-reflectors", 1)
	require.NoError(t, os.WriteFile(path, []byte(topology), 0o644))
	return containerlab.UpForTest(t, path, containerlab.Options{Sources: map[string]string{"../bin/underlayd": built(t).underlayd}})
}

func TestForeignReflectors(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "bird", "birdc", "ip", "go")
	c := &clusters{Lab: foreignReflectors(t)}
	foreign := []string{"east-rr-2", "west-rr-2"}
	c.reflects(t, foreign...)
	for _, pod := range []string{"pod-east-1", "pod-west-1", "pod-west-2", "pod-west-rr-2"} {
		listen(t, c.Node(pod))
	}
	step(t, "traffic goes from node to node, both ways", func(t *testing.T) {
		lossless(t, append(c.flows(t, "east-1", "west-1", "west-rr-2"), c.flows(t, "west-2", "east-1")...), 20)
		lossless(t, c.flows(t, "east-rr-2", "west-2", "west-rr-2"), 20)
	})
	step(t, "each of the two alone is enough", func(t *testing.T) {
		streams := append(c.flows(t, "east-1", "west-1", "west-2"), c.flows(t, "west-2", "east-1")...)
		require.NoError(t, c.Node("east-rr-1").Process("underlayd").Kill())
		require.NoError(t, c.Node("west-rr-1").Process("underlayd").Kill())
		for _, s := range streams {
			s.flows(t, 100)
		}
		require.NoError(t, c.Node("east-rr-1").Launch(t.Context()))
		require.NoError(t, c.Node("west-rr-1").Launch(t.Context()))
		c.reflects(t, foreign...)
		require.NoError(t, c.Node("east-rr-2").Process("bgpd").Kill())
		require.NoError(t, c.Node("west-rr-2").Process("bird").Kill())
		lossless(t, streams, 100)
		for _, n := range []string{"east-1", "west-1"} {
			has(t, c.Node(n), reflectedRoutes(strings.TrimSuffix(n, "-1")))
		}
	})
}
