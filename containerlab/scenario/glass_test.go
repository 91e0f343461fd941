package scenario

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// again restarts the daemon of a node.
func again(t *testing.T, c *clusters, n *containerlab.Node) {
	daemon := n.Process("underlayd")
	require.NoError(t, daemon.Signal(syscall.SIGTERM))
	<-daemon.Done()
	require.NoError(t, n.Launch(t.Context()))
	c.settled(t)
}

// overTCP asks from inside the node, calling it by a name.
func overTCP(t *testing.T, n *containerlab.Node, page, name string) string {
	return output(t, n, "bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/9179; printf 'GET `+page+` HTTP/1.1\r\nHost: `+name+`\r\nConnection: close\r\n\r\n' >&3; cat <&3`)
}

// isAGlass asks what the looking glass asks, of the daemon itself and through it of others.
func isAGlass(t *testing.T, n *containerlab.Node) {
	for page, says := range map[string]string{
		"/": "<main", "/v1/status": `"phase":"Ready"`, "/v1/explain?target=10.20.1.7": `"reachable":true`, "/v1/routes?text=10.20.1.7&limit=1": `"prefix":"10.20.1.0/24"`,
		"/v1/history": "DaemonStarted", "/v1/summary": `"peersUp":1`, "/v1/fleet": "connection refused", "/v1/config": "404 Not Found", "/readyz": "200 OK",
	} {
		require.Contains(t, overTCP(t, n, page, "localhost:9179"), says, page)
	}
	require.Contains(t, overTCP(t, n, "/v1/fleet", "127.0.0.1"), `"address":"127.0.0.1:9179","tookNanoseconds"`)
	require.Contains(t, overTCP(t, n, "/v1/status", "attacker.example"), "421 Misdirected Request")
}
