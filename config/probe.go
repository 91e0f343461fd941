package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Probe is the echo between the pod networks of nodes.
type Probe struct {
	Enabled  bool
	Port     int           // UDP, the same in all clusters
	Interval time.Duration // between two requests to a node; whole seconds
	Sample   int           // nodes of each cluster and family at a time
	Rate     int           // requests a second, in all
	KeyFile  string        // absolute path of the key that all clusters share; empty: none. The owner of the Config reads it
	Address  ProbeAddress
}

// ProbeAddress are what requests are sent from and answered at; the zero Addr: found by the daemon.
type ProbeAddress struct {
	IPv4, IPv6 netip.Addr
}

func probeKeys() []field[Probe] {
	return []field[Probe]{
		scalar(key{name: "enabled", fallback: "false",
			doc: "whether nodes of other clusters are probed, and their probes answered"},
			boolean(), func(p *Probe) *bool { return &p.Enabled }),
		scalar(key{name: "port", fallback: "9178",
			doc: "the UDP port of the probe, the same in all clusters"},
			probePort(), func(p *Probe) *int { return &p.Port }),
		scalar(key{name: "interval", fallback: "10s",
			doc: "how often a node of another cluster is probed, 1s to 1h"},
			seconds(time.Second, time.Hour, ""), func(p *Probe) *time.Duration { return &p.Interval }),
		scalar(key{name: "sample", fallback: "3",
			doc: "how many nodes of each cluster and family are probed at a time; they change slowly, so that every node has its turn"},
			number[int](1, 100), func(p *Probe) *int { return &p.Sample }),
		scalar(key{name: "rate", fallback: "50",
			doc: "how many probes are sent a second at most, to all clusters together"},
			number[int](1, 10000), func(p *Probe) *int { return &p.Rate }),
		scalar(key{name: "keyFile",
			doc: "the absolute path of a file with the key that all clusters share, 16 to 1024 bytes on one line, and maybe one more on a second line that is heeded as well; what carries neither is not answered"},
			file().or(""), func(p *Probe) *string { return &p.KeyFile }),
		section(key{name: "address", doc: "what probes are sent from and answered at"}, probeAddressKeys(),
			func(p *Probe) *ProbeAddress { return &p.Address }),
	}
}

func probeAddressKeys() []field[ProbeAddress] {
	return []field[ProbeAddress]{
		scalar(key{name: "ipv4", fallback: "auto",
			doc: "an IPv4 address of this node in its pod CIDR; auto: the first one that a link has"},
			sourceAddress(netip.Addr.Is4, "IPv4").or("auto"), func(a *ProbeAddress) *netip.Addr { return &a.IPv4 }),
		scalar(key{name: "ipv6", fallback: "auto",
			doc: "an IPv6 address of this node in its pod CIDR; auto: the first one that a link has"},
			sourceAddress(netip.Addr.Is6, "IPv6").or("auto"), func(a *ProbeAddress) *netip.Addr { return &a.IPv6 }),
	}
}

// probePort is a UDP port that nothing of ours has.
func probePort() kind[int] {
	return number[int](1, 65535).refusing(map[string]string{
		"3784": "is BFD's (RFC 5881): choose another one, such as 9178",
		"4784": "is BFD's (RFC 5883): choose another one, such as 9178",
	})
}

// probe checks that there is a key, and that the addresses are of pods.
func (r relations) probe() {
	if !r.Probe.Enabled {
		return
	}
	if r.Probe.KeyFile == "" {
		r.fail("probe.keyFile", "", "is required, since probe.enabled is true: it names the file with the key that all clusters share, such as /etc/underlayd/keys/probe")
	}
	for _, a := range []struct {
		family  string
		address netip.Addr
	}{{"ipv4", r.Probe.Address.IPv4}, {"ipv6", r.Probe.Address.IPv6}} {
		if a.address.IsValid() && !r.ourPod(a.address) {
			r.fail("probe.address."+a.family, a.address.String(), "lies in none of cluster.podCIDRs: other clusters would have no route to it")
		}
	}
	if r.Probe.Interval > 0 && r.Probe.Rate > 0 {
		if most := int(r.Probe.Interval/time.Second) * r.Probe.Rate; len(r.Clusters) > 0 && r.Probe.Sample*len(r.Clusters) > most {
			r.fail("probe.rate", strconv.Itoa(r.Probe.Rate), fmt.Sprintf(
				"is too low: %d nodes of %d clusters each %s are more than %d probes", r.Probe.Sample, len(r.Clusters), inSeconds(r.Probe.Interval), most))
		}
	}
}

func (r relations) ourPod(a netip.Addr) bool {
	for _, p := range r.Cluster.PodCIDRs {
		if p.IsValid() && p.Contains(a) {
			return true
		}
	}
	return false
}
