package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

//go:embed config
var configs embed.FS

// setup is what a workload wants of the speaker under test. The duty is the same for all of them: accept the ranges of
// one remote cluster with the TTL of a direct neighbour, advertise two prefixes, pass nothing on.
type setup struct {
	peers     int
	multipath bool
	graceful  bool // survive a restart, as far as the speaker can
}

// speaker is one of those compared.
type speaker struct {
	name   string
	config string // template
	path   string // of the configuration in the node
	start  func(ctx context.Context, n *containerlab.Node, again bool) ([]*containerlab.Process, error)
	ask    []string // prints its version
}

// ours is the name of the speaker that the targets are for.
const ours = "underlayd"

const configFolder = "/etc/bench/"

// speakers returns those compared, ours first.
func speakers(o options) []speaker {
	return []speaker{
		{
			name: ours, config: "underlayd.yaml", path: "/etc/underlayd/config.yaml", ask: []string{o.underlayd, "version"},
			start: func(_ context.Context, n *containerlab.Node, _ bool) ([]*containerlab.Process, error) {
				argv := []string{o.underlayd, "run"}
				if o.profiles != "" {
					argv = append(argv, "--cpu-profile", filepath.Join(o.profiles, fmt.Sprintf("%d.pprof", time.Now().UnixNano())))
				}
				return started(n.Start("underlayd", argv...))
			},
		},
		{
			name: "BIRD", config: "bird.conf", path: configFolder + "bird.conf", ask: []string{"bird", "--version"},
			start: func(_ context.Context, n *containerlab.Node, again bool) ([]*containerlab.Process, error) {
				argv := []string{"bird", "-f", "-c", configFolder + "bird.conf", "-s", "/run/bird/bird.ctl"}
				if again {
					argv = append(argv, "-R") // recover as after a graceful restart
				}
				return started(n.Start("bird", argv...))
			},
		},
		{name: "FRR", config: "bgpd.conf", path: configFolder + "bgpd.conf", start: startFRR, ask: []string{frrPrograms + "bgpd", "--version"}},
	}
}

func started(p *containerlab.Process, err error) ([]*containerlab.Process, error) {
	return []*containerlab.Process{p}, err
}

const frrPrograms = "/usr/lib/frr/"

// startFRR starts zebra, then bgpd, with Debian's options. After a restart zebra keeps the routes it finds for a while.
func startFRR(ctx context.Context, n *containerlab.Node, again bool) ([]*containerlab.Process, error) {
	argv := []string{frrPrograms + "zebra", "-A", "127.0.0.1", "-s", "90000000", "--log", "stdout"}
	if again {
		argv = append(argv, "-K", "10")
	}
	zebra, err := n.Start("zebra", argv...)
	if err != nil {
		return nil, err
	}
	// bgpd registers with zebra; started before it listens it would try again much later.
	err = containerlab.Until(ctx, "zebra to listen", func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", n.Path("/run/frr/zserv.api"))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return []*containerlab.Process{zebra}, err
	}
	bgpd, err := n.Start("bgpd", frrPrograms+"bgpd", "-A", "127.0.0.1", "-f", configFolder+"bgpd.conf", "--log", "stdout")
	return []*containerlab.Process{zebra, bgpd}, err
}

// configure writes the speaker's configuration into the node.
func (sp speaker) configure(ctx context.Context, n *containerlab.Node, su setup) error {
	type peer struct {
		Name, Symbol string
		Address      netip.Addr
	}
	data := struct {
		Peers               []peer
		Ranges              []netip.Prefix
		Multipath, Graceful bool
	}{Ranges: ranges(), Multipath: su.multipath, Graceful: su.graceful}
	for i := range su.peers {
		data.Peers = append(data.Peers, peer{fmt.Sprintf("fabric-%d", i), fmt.Sprintf("fabric_%d", i), peerAddress(i, false)})
	}
	t, err := template.ParseFS(configs, "config/"+sp.config)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return err
	}
	c := n.Command(ctx, "sh", "-c", `umask 022 && mkdir -p "$1" && cat >"$1/$2"`, "sh", filepath.Dir(sp.path), filepath.Base(sp.path))
	c.Stdin = &text
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("write %s: %w: %s", sp.path, err, out)
	}
	return nil
}

// version asks the speaker's program what it is.
func (sp speaker) version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, sp.ask[0], sp.ask[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", sp.ask[0], err, bytes.TrimSpace(out))
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), nil
}
