package config_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.BindFlags(fs)
	require.NoError(t, fs.Parse(args))
	return fs
}

func variables(all map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := all[name]
		return v, ok
	}
}

func TestPrecedence(t *testing.T) {
	const file = "kernel: {table: 1}\n"
	env := map[string]string{"UNDERLAYD_KERNEL_TABLE": "2"}
	for _, row := range []struct {
		name string
		text string
		env  map[string]string
		args []string
		want int
	}{
		{"a flag beats all", minimal + file, env, []string{"--kernel-table=3"}, 3},
		{"a variable beats the file", minimal + file, env, nil, 2},
		{"an empty variable is no variable", minimal + file, map[string]string{"UNDERLAYD_KERNEL_TABLE": ""}, nil, 1},
		{"the file beats the default", minimal + file, nil, nil, 1},
		{"the default is last", minimal, nil, nil, 254},
		{"a flag at its default beats all as well", minimal + file, env, []string{"--kernel-table=254"}, 254},
		{"what is overridden is not looked at", minimal + "kernel: {table: none}\n", nil, []string{"--kernel-table=3"}, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := onNode()
			o.LookupEnv, o.Flags = variables(row.env), flags(t, row.args...)
			c, err := config.Parse(strings.NewReader(row.text), "f.yaml", o)
			require.NoError(t, err)
			require.Equal(t, row.want, c.Kernel.Table)
		})
	}
}

func TestNodeName(t *testing.T) {
	inFile := minimal + "node: {name: from-file}\n"
	named := map[string]string{"UNDERLAYD_NODE_NAME": "from-env", "NODE_NAME": "from-kubernetes"}
	for _, row := range []struct {
		name string
		text string
		env  map[string]string
		args []string
		want string
	}{
		{"the flag comes first", inFile, named, []string{"--node-name", "from-flag"}, "from-flag"},
		{"then the variable", inFile, named, nil, "from-env"},
		{"then the file", inFile, map[string]string{"NODE_NAME": "from-kubernetes"}, nil, "from-file"},
		{"then what a manifest says", minimal, map[string]string{"NODE_NAME": "from-kubernetes"}, nil, "from-kubernetes"},
		{"an empty name in the file says nothing", minimal + "node: {name: \"\"}\n", map[string]string{"NODE_NAME": "from-kubernetes"}, nil, "from-kubernetes"},
		{"then the hostname", minimal, nil, nil, "east-1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := onNode()
			o.LookupEnv, o.Flags = variables(row.env), flags(t, row.args...)
			c, err := config.Parse(strings.NewReader(row.text), "f.yaml", o)
			require.NoError(t, err)
			require.Equal(t, row.want, c.Node.Name)
		})
	}
	t.Run("a hostname that is no name is told as such", func(t *testing.T) {
		_, err := config.Parse(strings.NewReader(minimal), "f.yaml", config.Overrides{Hostname: func() (string, error) { return "my_host", nil }})
		require.ErrorContains(t, err, "hostname: node.name: my_host: must be a DNS-1123 subdomain")
		require.ErrorContains(t, err, "(did you mean my-host?)")
	})
	t.Run("a hostname that can't be told is an error", func(t *testing.T) {
		_, err := config.Parse(strings.NewReader(minimal), "f.yaml", config.Overrides{Hostname: func() (string, error) { return "", errors.New("no such call") }})
		require.EqualError(t, err, "hostname: node.name: is required, and the hostname can't be told: no such call")
	})
	t.Run("the hostname of the machine is the last resort", func(t *testing.T) {
		c, err := config.Parse(strings.NewReader(minimal), "f.yaml", config.FromProcess(nil))
		require.NoError(t, err)
		require.NotEmpty(t, c.Node.Name)
	})
}

func TestEveryFlagAndVariable(t *testing.T) {
	values := map[string]string{
		"cluster.name": "west", "cluster.id": "7", "cluster.podCIDRs": "10.1.0.0/16, fd00::/48", "cluster.reserved": "10.2.0.0/16",
		"node.name": "n", "node.podCIDRs": "10.1.1.0/24", "bgp.asn": "65001", "bgp.routerID": "192.0.2.1", "bgp.port": "-1",
		"bgp.listenAddresses": "::", "bgp.holdTime": "9s", "bgp.connectRetry": "1s", "bgp.startLimit": "60s",
		"bgp.gracefulRestart.enabled": "false", "bgp.gracefulRestart.restartTime": "60s", "bgp.gracefulRestart.deferral": "5s", "bgp.gracefulRestart.staleTime": "90s",
		"bgp.brake.share": "80", "bgp.brake.hold": "60s", "bgp.peersFile": "/p", "bgp.nodePeers.enabled": "true",
		"bgp.nodePeers.selector": "a=b", "bgp.nodePeers.address": "ipv6",
		"bgp.reflector.clusterID": "0.0.0.7",
		"cluster.network":         "dc1, dc2", "kernel.blackhole": "false",
		"cluster.region": "r", "cluster.zone": "z", "node.region": "s", "node.zone": "y",
		"node.labels": "a=b, example.org/c=", "node.gateway": "true", "node.reflector": "false", "bgp.nodePeers.hubs": "c=d",
		"bgp.preference.zone": "400", "bgp.preference.region": "300", "bgp.preference.other": "200", "bgp.preference.hold": "9s",
		"kernel.table": "100", "kernel.protocol": "201", "kernel.metric": "10", "kernel.resolve": "always", "kernel.mtu": "1400", "kernel.rule": "1000", "kernel.source.ipv4": "192.0.2.7", "kernel.source.ipv6": "2001:db8::7", "natExemption": "false",
		"kernel.maxNextHops": "2",
		"kubernetes.enabled": "false", "kubernetes.kubeconfig": "/k", "kubernetes.confirmAfter": "44s", "kubernetes.podCIDRSource": "calico", "kubernetes.startupTaint": "true", "kubernetes.nodeAnnotations": "asn, peers", "log.level": "debug", "log.format": "json",
		"probe.enabled": "true", "probe.port": "9000", "probe.interval": "5s", "probe.sample": "2", "probe.rate": "20", "probe.keyFile": "/key",
		"probe.address.ipv4": "10.1.1.1", "probe.address.ipv6": "fd00::1",
		"http.listen": "[::1]:9179", "http.lookingGlass": "true", "http.fleet": "192.0.2.7:9179", "runtime.directory": "/tmp",
	}
	var byFlag []string
	byEnv := make(map[string]string)
	for _, k := range config.Keys() {
		if strings.Contains(k.Path, "[]") || k.Path == "bgp.nodePeers.defaults" {
			require.Empty(t, k.Flag+k.Env, k.Path)
			continue
		}
		require.Contains(t, values, k.Path, "a value for each key")
		byFlag = append(byFlag, k.Flag+"="+values[k.Path])
		byEnv[k.Env] = values[k.Path]
	}
	o := onNode()
	o.Flags = flags(t, byFlag...)
	fromFlags, err := config.Parse(strings.NewReader(""), "", o)
	require.NoError(t, err)
	o = onNode()
	o.LookupEnv = variables(byEnv)
	fromEnv, err := config.Parse(strings.NewReader(""), "", o)
	require.NoError(t, err)
	require.Equal(t, fromFlags, fromEnv)
	for path, value := range values {
		if !strings.Contains(path, "CIDR") {
			require.Contains(t, printed(t, fromEnv), value, path)
		}
	}
	require.Contains(t, byEnv, "UNDERLAYD_BGP_GRACEFUL_RESTART_RESTART_TIME")
	require.Contains(t, byEnv, "UNDERLAYD_CLUSTER_POD_CIDRS")
}

func TestOverrideErrorsNameTheirSource(t *testing.T) {
	o := onNode()
	o.LookupEnv = variables(map[string]string{"UNDERLAYD_CLUSTER_POD_CIDRS": "10.20.0.1/16,pods", "UNDERLAYD_LOG_LEVEL": "loud"})
	o.Flags = flags(t, "--bgp-hold-time", "1s", "--bgp-graceful-restart-enabled=maybe", "--bgp-asn", "")
	_, err := config.Parse(strings.NewReader(minimal+"x: 1\n"), "f.yaml", o)
	require.EqualError(t, err, strings.Join([]string{
		`--bgp-asn: bgp.asn: "": must be a whole number in plain decimal digits`,
		"--bgp-graceful-restart-enabled: bgp.gracefulRestart.enabled: maybe: must be true or false",
		"--bgp-hold-time: bgp.holdTime: 1s: must be 3s to 65535s (RFC 4271 section 4.2; 0, no keepalives, is not supported)",
		"UNDERLAYD_CLUSTER_POD_CIDRS: cluster.podCIDRs[0]: 10.20.0.1/16: has host bits set: write 10.20.0.0/16",
		"UNDERLAYD_CLUSTER_POD_CIDRS: cluster.podCIDRs[1]: pods: must be a CIDR, such as 10.10.0.0/16 or fd00:10::/48",
		"UNDERLAYD_LOG_LEVEL: log.level: loud: must be one of debug, info, warn, error",
		"f.yaml:3:1: x: unknown key (known here: cluster, node, bgp, clusters, kernel, natExemption, kubernetes, probe, http, log, runtime)",
	}, "\n"))
}

func TestFlagsShowTheirDefaults(t *testing.T) {
	usage := flags(t).FlagUsages()
	require.Contains(t, usage, "--bgp-hold-time duration ")
	require.Contains(t, usage, "--node-pod-cidrs cidr,... ")
	require.Contains(t, usage, "(UNDERLAYD_BGP_HOLD_TIME) (default 90s)")
}

func TestWriteKeys(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, config.WriteKeys(&out))
	require.Contains(t, out.String(), "| `bgp.holdTime` | `--bgp-hold-time` | `UNDERLAYD_BGP_HOLD_TIME` | 90s | how long a silent peer")
	require.Contains(t, out.String(), "| `bgp.peers[].asn` |  |  | required | the peer's AS number")
	for line := range strings.Lines(out.String()) {
		require.Equal(t, 6, strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"), line)
	}
}
