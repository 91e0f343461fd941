package config

import (
	"net/netip"
	"time"
)

// grammar declares every key there is: its place in the Config, its kind, its default, what it means and
// what a change of it takes. Everything else in this package follows from it.
func grammar() []field[Config] {
	return []field[Config]{
		section(key{name: "cluster", doc: "the cluster this node belongs to"}, clusterKeys(),
			func(c *Config) *Cluster { return &c.Cluster }),
		section(key{name: "node", doc: "the node the daemon runs on"}, nodeKeys(),
			func(c *Config) *Node { return &c.Node }),
		section(key{name: "bgp", doc: "the BGP speaker"}, bgpKeys(),
			func(c *Config) *BGP { return &c.BGP }),
		sections(key{name: "clusters", doc: "the contracts: what may be learned of other clusters; anything else is refused"},
			remoteClusterKeys(), func(c *Config) *[]RemoteCluster { return &c.Clusters }),
		section(key{name: "kernel", doc: "where routes are written and how ours are marked"}, kernelKeys(),
			func(c *Config) *Kernel { return &c.Kernel }),
		scalar(key{name: "natExemption", fallback: "true",
			doc: "pods of this node keep their address on the way to the podCIDRs of clusters, whatever the CNI masquerades; false removes what was written for that"},
			boolean(), func(c *Config) *bool { return &c.NATExemption }),
		section(key{name: "kubernetes", doc: "how the Kubernetes API is reached"}, kubernetesKeys(),
			func(c *Config) *Kubernetes { return &c.Kubernetes }),
		section(key{name: "probe", doc: "whether packets really reach the pod networks of other clusters, found out by an echo between nodes; off by default"}, probeKeys(),
			func(c *Config) *Probe { return &c.Probe }),
		section(key{name: "http", doc: "what others may ask of the daemon over TCP; all of it only reads"}, httpKeys(),
			func(c *Config) *HTTP { return &c.HTTP }),
		section(key{name: "log", doc: "the daemon's log"}, logKeys(),
			func(c *Config) *Log { return &c.Log }),
		section(key{name: "runtime", doc: "what lives as long as the daemon does"}, runtimeKeys(),
			func(c *Config) *Runtime { return &c.Runtime }),
	}
}

func clusterKeys() []field[Cluster] {
	return []field[Cluster]{
		scalar(key{name: "name", required: true, effect: NeedsRestart,
			doc: "this cluster's name, a DNS-1123 label"},
			label(), func(c *Cluster) *string { return &c.Name }),
		scalar(key{name: "id", required: true, effect: NeedsRestart,
			doc: "this cluster's number, unique in the mesh; carried in a large community"},
			clusterID(), func(c *Cluster) *uint32 { return &c.ID }),
		list(networksKey("this cluster's"),
			label(), func(c *Cluster) *[]string { return &c.Networks }),
		scalar(key{name: "region",
			doc: "the region this cluster is in, a DNS-1123 label: what peers of the same region say counts more, see bgp.preference"},
			label().or(""), func(c *Cluster) *string { return &c.Region }),
		scalar(key{name: "zone",
			doc: "the zone this cluster is in, if all its nodes are in one"},
			label().or(""), func(c *Cluster) *string { return &c.Zone }),
		list(key{name: "podCIDRs", required: true,
			doc: "what this cluster may advertise; [] for nothing"},
			podPrefix(), func(c *Cluster) *[]netip.Prefix { return &c.PodCIDRs }),
		list(key{name: "reserved",
			doc: "services, nodes, management: never accepted from anyone"},
			prefix(), func(c *Cluster) *[]netip.Prefix { return &c.Reserved }),
	}
}

func nodeKeys() []field[Node] {
	return []field[Node]{
		scalar(key{name: "name", shown: "NODE_NAME, then the hostname", effect: NeedsRestart,
			doc: "this node's name, as Kubernetes knows it"},
			subdomain().or(""), func(n *Node) *string { return &n.Name }),
		list(key{name: "labels",
			doc: "labels of this node, beside those of its Node in Kubernetes, of which they replace those with the same key"},
			labelPair(), func(n *Node) *[]string { return &n.Labels }),
		scalar(key{name: "region", shown: "the label " + RegionLabel + ", then cluster.region", doc: "the region this node is in"},
			label().or(""), func(n *Node) *string { return &n.Region }),
		scalar(key{name: "zone", shown: "the label " + ZoneLabel + ", then cluster.zone", doc: "the zone this node is in"},
			label().or(""), func(n *Node) *string { return &n.Zone }),
		list(key{name: "podCIDRs",
			doc: "what this node advertises; empty: what Kubernetes assigned to it"},
			podPrefix(), func(n *Node) *[]netip.Prefix { return &n.PodCIDRs }),
		scalar(key{name: "gateway", fallback: string(Auto),
			doc: "whether this node is a gateway; auto: if its label " + GatewayLabel + " is true"},
			tristate(), func(n *Node) *Tristate { return &n.Gateway }),
		scalar(key{name: "reflector", fallback: string(Auto),
			doc: "whether this node is a route reflector for the Nodes that bgp.nodePeers finds; auto: if its label " + ReflectorLabel + " is true"},
			tristate(), func(n *Node) *Tristate { return &n.Reflector }),
	}
}

func bgpKeys() []field[BGP] {
	return []field[BGP]{
		scalar(key{name: "asn", required: true, effect: NeedsRestart,
			doc: "this node's AS number"},
			asn(), func(b *BGP) *uint32 { return &b.ASN }),
		scalar(key{name: "routerID", fallback: "auto", effect: NeedsRestart,
			doc: "the BGP identifier, unique among the speakers; auto: chosen by the daemon"},
			routerID().or("auto"), func(b *BGP) *netip.Addr { return &b.RouterID }),
		scalar(key{name: "port", fallback: "179", effect: NeedsRestart,
			doc: "the TCP port listened on; -1: only connect, never listen"},
			listenPort(), func(b *BGP) *int { return &b.Port }),
		list(key{name: "listenAddresses", effect: NeedsRestart,
			doc: "the addresses listened on; empty: all"},
			listenAddress(), func(b *BGP) *[]netip.Addr { return &b.ListenAddresses }),
		scalar(key{name: "holdTime", fallback: "90s", effect: ResetsPeer,
			doc: "how long a silent peer is believed to be alive; keepalives go out three times as often"},
			holdTime(), func(b *BGP) *time.Duration { return &b.HoldTime }),
		scalar(key{name: "connectRetry", fallback: "5s",
			doc: "how long after a failed connection the next one is tried"},
			seconds(time.Second, 65535*time.Second, ""), func(b *BGP) *time.Duration { return &b.ConnectRetry }),
		scalar(key{name: "startLimit", fallback: "120s",
			doc: "how long after a start the routes of before wait for peers that stay silent"},
			seconds(time.Second, time.Hour, ""), func(b *BGP) *time.Duration { return &b.StartLimit }),
		section(key{name: "gracefulRestart", doc: "RFC 4724: peers keep our routes while the daemon restarts"}, gracefulRestartKeys(),
			func(b *BGP) *GracefulRestart { return &b.GracefulRestart }),
		section(key{name: "brake", doc: "what is kept when lost sessions take most of a cluster's routes along"}, brakeKeys(),
			func(b *BGP) *Brake { return &b.Brake }),
		section(key{name: "reflector", doc: "RFC 4456: what the clients of a route reflector are told"}, reflectorKeys(),
			func(b *BGP) *Reflector { return &b.Reflector }),
		section(key{name: "preference", doc: "the LOCAL_PREF of what peers say whose zone or region is given"}, preferenceKeys(),
			func(b *BGP) *Preference { return &b.Preference }),
		sections(key{name: "peers", choice: peerChoice(), doc: "the BGP neighbours"}, peerKeys(),
			func(b *BGP) *[]Peer { return &b.Peers }),
		scalar(key{name: "peersFile", shown: "no file",
			doc: "the absolute path of a file with more peers, for meshes; a change of the file adds and removes sessions and leaves the others alone"},
			file().or(""), func(b *BGP) *string { return &b.PeersFile }),
		section(key{name: "nodePeers", doc: "peers found in the Node list of Kubernetes"}, nodePeersKeys(),
			func(b *BGP) *NodePeers { return &b.NodePeers }),
	}
}

func gracefulRestartKeys() []field[GracefulRestart] {
	return []field[GracefulRestart]{
		scalar(key{name: "enabled", fallback: "true", effect: ResetsPeer,
			doc: "whether graceful restart is offered to the peers"},
			boolean(), func(g *GracefulRestart) *bool { return &g.Enabled }),
		scalar(key{name: "restartTime", fallback: "120s", effect: ResetsPeer,
			doc: "how long the peers keep our routes without a session"},
			seconds(time.Second, 4095*time.Second, "12 bits, RFC 4724 section 3"),
			func(g *GracefulRestart) *time.Duration { return &g.RestartTime }),
		scalar(key{name: "deferral", fallback: "10s",
			doc: "how long after a start routes are held back for peers that have not sent all of theirs"},
			seconds(time.Second, time.Hour, ""), func(g *GracefulRestart) *time.Duration { return &g.Deferral }),
		scalar(key{name: "staleTime", fallback: "120s",
			doc: "how long the routes of a peer that restarts are kept at most, whatever it asks for"},
			seconds(time.Second, 4095*time.Second, ""), func(g *GracefulRestart) *time.Duration { return &g.StaleTime }),
	}
}

func remoteClusterKeys() []field[RemoteCluster] {
	return []field[RemoteCluster]{
		scalar(key{name: "name", required: true, doc: "the remote cluster's name, a DNS-1123 label"},
			label(), func(c *RemoteCluster) *string { return &c.Name }),
		scalar(key{name: "id", required: true, doc: "the remote cluster's number, unique in the mesh"},
			clusterID(), func(c *RemoteCluster) *uint32 { return &c.ID }),
		list(networksKey("its"),
			label(), func(c *RemoteCluster) *[]string { return &c.Networks }),
		list(key{name: "podCIDRs", required: true, filled: true,
			doc: "the ranges its prefixes must lie in"},
			podPrefix(), func(c *RemoteCluster) *[]netip.Prefix { return &c.PodCIDRs }),
		section(key{name: "prefixLength", doc: "how long its prefixes may be"}, prefixLengthKeys(),
			func(c *RemoteCluster) *PrefixLength { return &c.PrefixLength }),
		scalar(key{name: "maxPrefixes", fallback: "1000",
			doc: "how many prefixes are accepted of it"},
			number[int](1, 1000000), func(c *RemoteCluster) *int { return &c.MaxPrefixes }),
		list(key{name: "advertise", fallback: "all",
			doc: "which of our own prefixes are for this cluster; [] for none. What is not for every cluster names those that it is for (large community ASN:2:id)"},
			podPrefix().or("all"), func(c *RemoteCluster) *[]netip.Prefix { return &c.Advertise }),
		scalar(key{name: "requireID", fallback: "false",
			doc: "refuse its prefixes unless they carry its id in the large community ASN:1:id"},
			boolean(), func(c *RemoteCluster) *bool { return &c.RequireID }),
		scalar(key{name: "nodeSelector", shown: "every node",
			doc: "the label selector of the nodes whose prefixes are for this cluster, as kubectl get -l takes it"},
			selector(), func(c *RemoteCluster) *string { return &c.NodeSelector }),
	}
}

func prefixLengthKeys() []field[PrefixLength] {
	return []field[PrefixLength]{
		span(key{name: "ipv4", shown: "[16, 28], fitted to podCIDRs", doc: "the least and the greatest length of an IPv4 prefix"},
			number[int](0, 32), func(l *PrefixLength) *Lengths { return &l.IPv4 }),
		span(key{name: "ipv6", shown: "[48, 124], fitted to podCIDRs", doc: "the least and the greatest length of an IPv6 prefix"},
			number[int](0, 128), func(l *PrefixLength) *Lengths { return &l.IPv6 }),
	}
}

func kernelKeys() []field[Kernel] {
	return []field[Kernel]{
		scalar(key{name: "table", fallback: "254", effect: NeedsRestart,
			doc: "the routing table routes are written to; 254 is main"},
			routingTable(), func(k *Kernel) *int { return &k.Table }),
		scalar(key{name: "protocol", fallback: "200", effect: NeedsRestart,
			doc: "the route protocol number that marks what is ours; nobody else on the node may use it"},
			routeProtocol(), func(k *Kernel) *int { return &k.Protocol }),
		scalar(key{name: "metric", fallback: "512", effect: NeedsRestart,
			doc: "the metric (priority) of our routes"},
			number[int](1, 1<<32-1), func(k *Kernel) *int { return &k.Metric }),
		scalar(key{name: "maxNextHops", fallback: "16", effect: NeedsRestart,
			doc: "how many equal paths a route may have"},
			number[int](1, 256), func(k *Kernel) *int { return &k.MaxNextHops }),
		scalar(key{name: "resolve", fallback: "never",
			doc: "whether next hops that are not on-link are used, through the gateways that the kernel's routes name; routes: not through a default route; always: through any"},
			oneOf(ResolveNever, ResolveRoutes, ResolveAlways), func(k *Kernel) *Resolve { return &k.Resolve }),
		scalar(key{name: "mtu", fallback: "0", effect: NeedsRestart,
			doc: "the MTU of our routes, 1280 to 65535; 0: that of the link"},
			routeMTU(), func(k *Kernel) *int { return &k.MTU }),
		section(key{name: "source", doc: "the source address of what the node itself sends over our routes; packets of pods keep theirs"}, sourceKeys(),
			func(k *Kernel) *Source { return &k.Source }),
		scalar(key{name: "blackhole", fallback: "auto",
			doc: "whether a gateway discards what is for pods of its cluster that no other route leads to; auto: once the kernel has routes to some of them"},
			tristate(), func(k *Kernel) *Tristate { return &k.Blackhole }),
		scalar(key{name: "rule", fallback: "0", effect: NeedsRestart,
			doc: "the priority, 1 to 32765, of a rule of ours that has the kernel look at kernel.table; 0: no rule"},
			number[int](0, 32765), func(k *Kernel) *int { return &k.Rule }),
	}
}

func sourceKeys() []field[Source] {
	return []field[Source]{
		scalar(key{name: "ipv4", fallback: "auto", effect: NeedsRestart,
			doc: "an IPv4 address of the node; auto: chosen by the kernel"},
			sourceAddress(netip.Addr.Is4, "IPv4").or("auto"), func(s *Source) *netip.Addr { return &s.IPv4 }),
		scalar(key{name: "ipv6", fallback: "auto", effect: NeedsRestart,
			doc: "an IPv6 address of the node; auto: chosen by the kernel"},
			sourceAddress(netip.Addr.Is6, "IPv6").or("auto"), func(s *Source) *netip.Addr { return &s.IPv6 }),
	}
}

func kubernetesKeys() []field[Kubernetes] {
	return []field[Kubernetes]{
		scalar(key{name: "enabled", fallback: "auto", effect: NeedsRestart,
			doc: "whether the Kubernetes API is used; auto: when there is a kubeconfig or the daemon runs in a pod"},
			tristate(), func(k *Kubernetes) *Tristate { return &k.Enabled }),
		scalar(key{name: "kubeconfig", effect: NeedsRestart, shown: "the service account of the pod",
			doc: "the path of a kubeconfig file"},
			text[string]("path"), func(k *Kubernetes) *string { return &k.Kubeconfig }),
		scalar(key{name: "podCIDRSource", fallback: "auto",
			doc: "where this node's pod CIDRs are read, unless node.podCIDRs says them; auto: by what the cluster runs"},
			oneOf(SourceAuto, SourceNode, SourceCalico, SourceCilium, SourceOVN, SourceKubeRouter),
			func(k *Kubernetes) *PodCIDRSource { return &k.PodCIDRSource }),
		scalar(key{name: "confirmAfter", fallback: "30s", effect: NeedsRestart,
			doc: "how long pod CIDRs that vanish from the Node stay advertised before the API is asked once more and believed"},
			seconds(time.Second, time.Hour, ""), func(k *Kubernetes) *time.Duration { return &k.ConfirmAfter }),
		scalar(key{name: "startupTaint", fallback: "false", effect: NeedsRestart,
			doc: "whether the taint underlayd.io/not-ready is taken off the Node when the first routes are in the kernel"},
			boolean(), func(k *Kubernetes) *bool { return &k.StartupTaint }),
		list(key{name: "nodeAnnotations",
			doc: "the annotations underlayd.io/… of its Node that a daemon heeds: what is said there stands in place of the file"},
			oneOf(nodeAnnotations()...), func(k *Kubernetes) *[]NodeAnnotation { return &k.NodeAnnotations }),
	}
}

func logKeys() []field[Log] {
	return []field[Log]{
		scalar(key{name: "level", fallback: "info", doc: "the least important messages logged"},
			oneOf("debug", "info", "warn", "error"), func(l *Log) *string { return &l.Level }),
		scalar(key{name: "format", fallback: "auto", doc: "how messages are written; auto: text on a terminal, JSON otherwise"},
			oneOf("auto", "text", "json"), func(l *Log) *string { return &l.Format }),
	}
}

func httpKeys() []field[HTTP] {
	return []field[HTTP]{
		scalar(key{name: "listen", effect: NeedsRestart,
			doc: "the address and port that metrics and probes are served on: 127.0.0.1:9179 for this host alone, [::]:9179 for everybody who reaches the node; empty: on the unix socket alone"},
			socketAddress().or(""), func(h *HTTP) *netip.AddrPort { return &h.Listen }),
		scalar(key{name: "lookingGlass", fallback: "false", effect: NeedsRestart,
			doc: "whether the looking glass is served on http.listen too: a page at / that shows sessions, routes, history and explanations to whoever can connect"},
			boolean(), func(h *HTTP) *bool { return &h.LookingGlass }),
		list(key{name: "fleet", effect: NeedsRestart,
			doc: "the addresses and ports of other nodes' looking glasses: this one asks them how they are and shows it in one table"},
			hostPort(), func(h *HTTP) *[]netip.AddrPort { return &h.Fleet }),
	}
}

func runtimeKeys() []field[Runtime] {
	return []field[Runtime]{
		scalar(key{name: "directory", fallback: "/run/underlayd", effect: NeedsRestart,
			doc: "the directory of the sockets and the lock"},
			directory(), func(r *Runtime) *string { return &r.Directory }),
	}
}
