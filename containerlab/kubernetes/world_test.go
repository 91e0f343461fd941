package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// patience is what anything may take that has no promise of its own. What a Node says may be 14 s behind: it is
// written 2 to 4 s after the first change, and no sooner than 10 s after the last write.
const patience = 40 * time.Second

// place is what the two-clusters lab says of a node.
type place struct {
	name, cluster    string
	pods             []netip.Prefix // the subnets of its pod, one of each family
	pod4, pod6       netip.Addr     // its pod
	fabric4, fabric6 netip.Addr     // the fabric's addresses on its link
}

func places() []place {
	at := func(name, cluster string, link, pods, net int) place {
		return place{
			name: name, cluster: cluster, pods: podCIDRs(net, pods),
			pod4: addr("10.%d.%d.10", net, pods), pod6: addr("fd00:%d:0:%d::10", net, pods),
			fabric4: addr("192.168.%d.254", link), fabric6: addr("fd00:fab:%d::fe", link),
		}
	}
	return []place{at("east-1", "east", 11, 1, 10), at("east-2", "east", 12, 2, 10), at("west-1", "west", 21, 1, 20), at("west-2", "west", 22, 2, 20)}
}

func addr(format string, a ...any) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, a...)) }

// podCIDRs are those with a number of the cluster with a number: 10 is east, 20 is west.
func podCIDRs(cluster, number int) []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(addr("10.%d.%d.0", cluster, number), 24),
		netip.PrefixFrom(addr("fd00:%d:0:%d::", cluster, number), 64),
	}
}

func placeOf(name string) place {
	all := places()
	return all[slices.IndexFunc(all, func(p place) bool { return p.name == name })]
}

// world is both clusters with everything in them, and what is to be true of them. It belongs to the test's goroutine.
type world struct {
	*containerlab.Lab
	configs string                     // the folder of the nodes' configurations
	apis    map[string]*apitest.Server // by cluster; none in a world without Kubernetes
	// pods is what each node advertises, and so what the nodes of the other cluster have routes to.
	pods  map[string][]netip.Prefix
	pings int // started so far
}

// newWorld brings up two API servers and the lab. No daemon runs yet, and there are no Nodes.
func newWorld(t *testing.T) *world {
	t.Helper()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "ip", "ping", "etcd")
	start := time.Now()
	w := &world{apis: startAPIs(t, "east", "west"), pods: map[string][]netip.Prefix{}}
	t.Logf("two API servers after %s", time.Since(start).Round(time.Millisecond))
	folder := folderForTest(t)
	for _, p := range places() {
		at := filepath.Join(folder, p.name)
		require.NoError(t, os.Mkdir(at, 0o755))
		configure(t, filepath.Join(at, "config.yaml"), p.name, map[string]any{
			"enabled": true, "kubeconfig": "/etc/underlayd/kubeconfig", "confirmAfter": "1s",
		})
	}
	w.up(t, folder, map[string]string{"two-clusters/fabric/frr.conf": guard(t, folder)})
	for _, p := range places() {
		w.credentials(t, p.name)
		address := w.apis[p.cluster].Address()
		forward, err := w.Node(p.name).Forward(address, address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = forward.Close() })
	}
	return w
}

// credentials gives the daemon of a node what the kubelet would give its Pod, where it reads it.
func (w *world) credentials(t *testing.T, node string) {
	t.Helper()
	api := w.apis[placeOf(node).cluster]
	agent, err := api.Agent(t.Context(), node)
	require.NoError(t, err)
	path, err := api.Kubeconfig(agent)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(w.configs, node, "kubeconfig"), text, 0o600))
}

// newPlainWorld brings up the lab without Kubernetes: pod CIDRs come from the configuration.
func newPlainWorld(t *testing.T) *world {
	t.Helper()
	w := &world{pods: map[string][]netip.Prefix{}}
	folder := folderForTest(t)
	for _, p := range places() {
		w.pods[p.name] = p.pods
		require.NoError(t, os.Mkdir(filepath.Join(folder, p.name), 0o755))
		configure(t, filepath.Join(folder, p.name, "config.yaml"), p.name, nil)
	}
	w.up(t, folder, nil)
	return w
}

// up makes the lab with the nodes' configurations in a folder and other sources besides.
func (w *world) up(t *testing.T, configs string, sources map[string]string) {
	t.Helper()
	w.configs = configs
	daemon, err := underlayd()
	require.NoError(t, err)
	options := containerlab.Options{Sources: map[string]string{"../bin/underlayd": daemon.path}}
	maps.Copy(options.Sources, sources)
	for _, p := range places() {
		options.Sources["two-clusters/"+p.name] = filepath.Join(configs, p.name)
		options.Manual = append(options.Manual, p.name)
	}
	w.Lab = containerlab.UpForTest(t, "../two-clusters.clab.yml", options)
}

// startAPIs starts an API server for each cluster and installs what an administrator would, all at once.
func startAPIs(t *testing.T, clusters ...string) map[string]*apitest.Server {
	t.Helper()
	servers := make([]*apitest.Server, len(clusters))
	group, ctx := errgroup.WithContext(t.Context())
	for i := range clusters {
		group.Go(func() (err error) {
			if servers[i], err = apitest.Start(context.WithoutCancel(ctx)); err != nil {
				return err
			}
			return servers[i].Install(ctx, deploy.Base())
		})
	}
	err := group.Wait()
	apis := map[string]*apitest.Server{}
	for i, name := range clusters {
		if servers[i] != nil {
			apis[name] = servers[i]
			t.Cleanup(func() { require.NoError(t, apis[name].Close()) })
		}
	}
	require.NoError(t, err)
	return apis
}

// configure writes a node's configuration of the lab; with a kubernetes section it takes the pod CIDRs out.
func configure(t *testing.T, path, node string, kubernetes map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "two-clusters", node, "config.yaml"))
	require.NoError(t, err)
	if kubernetes != nil {
		var c map[string]any
		require.NoError(t, yaml.Unmarshal(text, &c))
		about, ok := c["node"].(map[string]any)
		require.True(t, ok)
		require.Contains(t, about, "podCIDRs")
		delete(about, "podCIDRs")
		c["kubernetes"] = kubernetes
		if node == guarded {
			c["log"] = map[string]any{"level": "debug"} // whatever it may tell
			speaker, ok := c["bgp"].(map[string]any)
			require.True(t, ok)
			speaker["peers"].([]any)[0].(map[string]any)["passwordFile"] = "/etc/underlayd/fabric.key"
		}
		text, err = yaml.Marshal(c)
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(path, text, 0o644))
}

// launch starts the daemons of nodes; of all when none is named.
func (w *world) launch(t *testing.T, nodes ...string) {
	t.Helper()
	if len(nodes) == 0 {
		nodes = []string{"east-1", "east-2", "west-1", "west-2"}
	}
	for _, name := range nodes {
		require.NoError(t, w.Node(name).Launch(t.Context()))
	}
}

// stop ends the daemon of a node as its Pod is ended.
func (w *world) stop(t *testing.T, node string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	daemon := w.Node(node).Process("underlayd")
	require.NoError(t, daemon.Stop(ctx))
	require.NoError(t, daemon.Err(), daemon.LogTail(5))
}

// until calls f until it returns nil, or fails the test with the last thing it said.
func until(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last error
	err := containerlab.Until(ctx, what, func(ctx context.Context) error {
		err := f(ctx)
		if ctx.Err() == nil || err == nil { // what was cut short says nothing
			last = err
		}
		return err
	})
	if err != nil {
		require.FailNow(t, "waited in vain for "+what, "%v", last)
	}
}
