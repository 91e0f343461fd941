package config_test

import "testing"

func TestProbe(t *testing.T) {
	const on = minimal + "probe: {enabled: true, keyFile: /etc/underlayd/keys/probe, "
	for _, r := range []rule{
		{"nothing has to be said", minimal + "probe: {}\n", nil},
		{"a key is enough", on + "}\n", nil},
		{"it takes a key", minimal + "probe: {enabled: true}\n", one("probe.keyFile: is required, since probe.enabled is true: " +
			"it names the file with the key that all clusters share, such as /etc/underlayd/keys/probe")},
		{"a port of BFD is taken", on + "port: 3784}\n", one("probe.port: 3784: is BFD's (RFC 5881): choose another one, such as 9178")},
		{"an address of a pod is one", on + "address: {ipv4: 10.10.1.1, ipv6: \"fd00:10::1\"}}\n", nil},
		{"an address of a node is none", on + "address: {ipv4: 192.168.0.1}}\n",
			one("probe.address.ipv4: 192.168.0.1: lies in none of cluster.podCIDRs: other clusters would have no route to it")},
		{"more than the rate lets out", remotes(`name: west, id: 2, podCIDRs: [10.20.0.0/16]`) +
			"probe: {enabled: true, keyFile: /k, interval: 1s, rate: 2, sample: 3}\n",
			one("probe.rate: 2: is too low: 3 nodes of 1 clusters each 1s are more than 2 probes")},
	} {
		t.Run(r.name, r.run)
	}
}
