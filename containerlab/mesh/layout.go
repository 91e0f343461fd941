package main

import (
	"fmt"
	"time"
)

// peers says whether two nodes have a session with each other.
func (m *mesh) peers(a, b *host) bool {
	switch {
	case a == b:
		return false
	case m.reflectors == 0:
		return a.cluster != b.cluster
	case a.cluster == b.cluster:
		return a.reflector || b.reflector
	default:
		return a.reflector && b.reflector
	}
}

// role is what a node's configuration says of a peer besides how to reach it.
func role(h, peer *host) string {
	here, there := clusterName(h.cluster), clusterName(1-h.cluster)
	switch {
	case !h.reflector:
		return ""
	case h.cluster != peer.cluster:
		return fmt.Sprintf(", clusters: [%s], passOn: [%s]", there, here)
	case peer.reflector:
		return fmt.Sprintf(", client: true, passOn: [%s, %s]", here, there)
	default:
		return ", client: true"
	}
}

// sessions is how many there should be.
func (m *mesh) sessions() int {
	n := 0
	for i, a := range m.hosts {
		for _, b := range m.hosts[:i] {
			if m.peers(a, b) {
				n++
			}
		}
	}
	return n
}

// profiled is the node with the profile: the last one, or the last reflector.
func (m *mesh) profiled() *host {
	return m.hosts[len(m.hosts)-1-(m.nodes-m.reflectors)*min(1, m.reflectors)]
}

// kind is nodes that do the same.
type kind struct {
	name  string // of one of their daemons
	hosts []*host
}

func (m *mesh) kinds() []kind {
	if m.reflectors == 0 {
		return []kind{{"a daemon", m.hosts}}
	}
	plain, reflectors := kind{name: "a plain node's daemon"}, kind{name: "a reflector's daemon"}
	for _, h := range m.hosts {
		k := &plain
		if h.reflector {
			k = &reflectors
		}
		k.hosts = append(k.hosts, h)
	}
	return []kind{plain, reflectors}
}

// mean is what one of them used.
func (k kind) mean(used map[*host]time.Duration) time.Duration {
	var sum time.Duration
	for _, h := range k.hosts {
		sum += used[h]
	}
	return sum / time.Duration(len(k.hosts))
}
