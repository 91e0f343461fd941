package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

const (
	topology   = "two-clusters"
	changed    = "west-1" // the node whose configuration is changed
	configFile = "config.yaml"
	withdrawn  = "10.20.1.0/24" // and the pod CIDR it gives up
	patience   = 30 * time.Second
)

// stage is the running demo.
type stage struct {
	containerlab.Narrator
	root     string
	config   string // folder of the changed node's configuration
	original []byte
	lab      *containerlab.Lab
}

// show runs a command in a node as a person would.
func (s *stage) show(ctx context.Context, node string, argv ...string) error {
	fmt.Fprintf(s.Out, "\n%s# %s\n", node, strings.Join(argv, " "))
	return s.lab.Node(node).Stream(ctx, s.Out, argv...)
}

// play is the demo itself.
func (s *stage) play(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.converge, s.routes, s.reach, s.withdraw} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) converge(ctx context.Context) error {
	began := time.Now()
	for _, node := range []string{"east-1", "east-2", "west-1", "west-2"} {
		if err := s.until(ctx, "node "+node+" to be ready", func(ctx context.Context) error { return s.ready(ctx, node) }); err != nil {
			return err
		}
	}
	s.Say(fmt.Sprintf("After %.1f s every node has learned the other cluster's pod CIDRs. This is what a node of each cluster says:",
		time.Since(began).Seconds()))
	return errors.Join(s.show(ctx, "east-1", "underlayd", "status"), s.show(ctx, "west-1", "underlayd", "status"))
}

// ready fails unless the node has all four prefixes of the other cluster in its kernel.
func (s *stage) ready(ctx context.Context, node string) error {
	out, err := s.lab.Node(node).Output(ctx, "underlayd", "status", "-o", "json")
	if err != nil {
		return err
	}
	var status struct {
		Phase  string
		Routes struct{ Installed int }
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return err
	}
	if status.Phase != "Ready" || status.Routes.Installed != 4 {
		return fmt.Errorf("it is %s with %d routes", status.Phase, status.Routes.Installed)
	}
	return nil
}

func (s *stage) routes(ctx context.Context) error {
	s.Say("The routes are ordinary kernel routes, marked with underlayd's protocol number; all share one next-hop object a family:")
	return errors.Join(
		s.show(ctx, "east-1", "ip", "route", "show", "proto", "200"),
		s.show(ctx, "east-1", "ip", "-6", "route", "show", "proto", "200"),
		s.show(ctx, "east-1", "ip", "nexthop"),
	)
}

func (s *stage) reach(ctx context.Context) error {
	s.Say("A pod of east reaches a pod of west, over IPv4 and IPv6, with no tunnel, proxy or NAT in between:")
	for _, target := range []string{"10.20.1.10", "fd00:20:0:1::10"} {
		if err := s.show(ctx, "pod-east-1", "ping", "-c", "2", "-i", "0.2", target); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.Out)
	for source, target := range map[string]string{"10.10.1.10": "10.20.1.10", "fd00:10:0:1::10": "fd00:20:0:1::10"} {
		seen, err := containerlab.SeenFrom(ctx, s.lab.Node("pod-east-1"), s.lab.Node("pod-west-1"), netip.MustParseAddr(target))
		if err != nil {
			return err
		}
		if seen.String() != source {
			return fmt.Errorf("pod-west-1 saw a packet of pod-east-1 come from %s instead of %s", seen, source)
		}
		fmt.Fprintf(s.Out, "pod-west-1 received a datagram on %s and saw it come from %s: pod-east-1's own address\n", target, seen)
	}
	return nil
}

func (s *stage) withdraw(ctx context.Context) error {
	s.Say("Withdraw a pod CIDR: " + withdrawn + " is taken out of the configuration file of " + changed + ".")
	text := bytes.Replace(s.original, []byte(withdrawn+", "), nil, 1)
	if bytes.Equal(text, s.original) {
		return fmt.Errorf("%s is not in the configuration of %s", withdrawn, changed)
	}
	began := time.Now()
	if err := s.write(text); err != nil {
		return err
	}
	if err := s.until(ctx, "the route to go", s.gone); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%.0f ms later east-1 has no route to it any more; the others stay:\n", float64(time.Since(began).Milliseconds()))
	return errors.Join(
		s.show(ctx, "east-1", "ip", "route", "show", "proto", "200"),
		s.show(ctx, "east-1", "underlayd", "routes"),
	)
}

func (s *stage) gone(ctx context.Context) error {
	out, err := s.lab.Node("east-1").Output(ctx, "ip", "route", "show", "proto", "200")
	if err == nil && strings.Contains(out, withdrawn) {
		err = errors.New("it is still there")
	}
	return err
}

// restore puts the withdrawn CIDR back into a lab that is kept, and says how to look around.
func (s *stage) restore(ctx context.Context) error {
	if err := s.write(s.original); err != nil {
		return err
	}
	if err := s.until(ctx, "the route to return", func(ctx context.Context) error { return s.ready(ctx, "east-1") }); err != nil {
		return err
	}
	bin, err := filepath.Abs(filepath.Join(s.root, "bin"))
	if err != nil {
		return err
	}
	s.Say("The lab stays up, with " + withdrawn + " back. Look around:")
	fmt.Fprintf(s.Out, `
  %[1]s/netlab exec east-1 underlayd status
  %[1]s/netlab exec east-1 underlayd routes
  %[1]s/netlab exec east-1 %[1]s/gobgp --target unix:///run/underlayd/gobgp.sock neighbor
  %[1]s/netlab exec east-1 %[1]s/gobgp --target unix:///run/underlayd/gobgp.sock global rib -a ipv4
  %[1]s/netlab exec east-1 ip route
  %[1]s/netlab exec fabric vtysh -c "show bgp summary"
  %[1]s/netlab exec pod-east-1 ping 10.20.1.10

End it with

  %[1]s/netlab down
`, bin)
	return nil
}

func (s *stage) until(ctx context.Context, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return containerlab.Until(ctx, what, f)
}

// write replaces the changed node's configuration the way an editor does.
func (s *stage) write(text []byte) error {
	name := filepath.Join(s.config, configFile)
	if err := os.WriteFile(name+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
