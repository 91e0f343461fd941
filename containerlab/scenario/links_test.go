package scenario

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// cable makes the link between a node and the fabric again, as containerlab does for a container that was restarted: new
// interfaces, of the same names, with nothing on them but what the exec lines put there.
func (c *clusters) cable(t *testing.T, node, fabricEnd string) {
	t.Helper()
	n, fabric := c.Node(node), c.Node("fabric")
	require.NoError(t, n.Do(func() error {
		out, err := exec.Command("ip", "link", "add", "eth1", "mtu", fmt.Sprint(containerlab.DefaultMTU), "type", "veth",
			"peer", "name", fabricEnd, "mtu", fmt.Sprint(containerlab.DefaultMTU), "netns", fmt.Sprint(fabric.PID())).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}))
	// The router first: the next hops that FRR tells are the addresses it has when the session comes up.
	for _, at := range []*containerlab.Node{fabric, n} {
		iface := map[*containerlab.Node]string{n: "eth1", fabric: fabricEnd}[at]
		require.NoError(t, at.LinkUp(iface))
		for _, argv := range at.Spec().Exec {
			if argv[len(argv)-1] == iface || argv[len(argv)-2] == iface {
				output(t, at, argv...)
			}
		}
	}
}

// A container that is restarted loses its interfaces; those that come have their names and nothing else of theirs.
// Containerlab also starts a node's program before there are any.
func TestInterfacesVanishAndComeLate(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	for node, fabricEnd := range map[string]string{"east-1": "eth1", "west-1": "eth3"} {
		t.Run(node, func(t *testing.T) {
			n := c.Node(node)
			daemon := n.Process("underlayd")
			step(t, "the interface vanishes", func(t *testing.T) {
				output(t, n, "ip", "link", "del", "eth1")
				becomes(t, n, patience, nil)
				require.True(t, daemon.Running())
			})
			step(t, "and comes back as another one", func(t *testing.T) {
				c.cable(t, node, fabricEnd)
				c.settled(t)
				require.True(t, daemon.Running())
			})
			step(t, "the daemon starts without any", func(t *testing.T) {
				require.NoError(t, daemon.Signal(syscall.SIGTERM))
				require.NoError(t, daemon.Wait())
				output(t, n, "ip", "link", "del", "eth1")
				require.NoError(t, n.Launch(t.Context()))
				daemon = n.Process("underlayd")
				is(t, n, "answering", func(s state) error { return nil })
				has(t, n, nil)
			})
			step(t, "and they come later", func(t *testing.T) {
				c.cable(t, node, fabricEnd)
				c.settled(t)
				require.True(t, daemon.Running())
			})
		})
	}
}
