package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// The commands of docs/install.md, as they are written there but for the address of the repository: a clone of it is
// in the folder. A test compares them.
const (
	createConfig = "kubectl -n kube-system create configmap underlayd --from-file=config.yaml"
	applyBase    = "kubectl apply -k underlayd/k8s/deploy/base"
	rollout      = "kubectl -n kube-system rollout status daemonset underlayd"
	applyCleanup = "kubectl apply -k underlayd/k8s/deploy/cleanup && kubectl -n kube-system rollout status daemonset underlayd"
	deleteAll    = "kubectl delete -k underlayd/k8s/deploy/cleanup && kubectl -n kube-system delete configmap underlayd"
)

const remotes = `kubectl get nodes -o custom-columns='NODE:.metadata.name,POD CIDRS:.spec.podCIDRs[*],REACHES:.metadata.annotations.underlayd\.io/remote-cidrs'`

// east-1 has its session with this neighbor of the fabric.
const neighbor = "192.168.11.1"

func (s *stage) play(ctx context.Context) error {
	s.Say("Two clusters on one fabric, east and west, with two nodes and two pods each. The API servers are real and empty, the\n" +
		"controller-manager has given the Nodes pod CIDRs, and no pod reaches the other cluster.")
	for _, step := range []func(context.Context) error{s.raise, s.empty, s.install, s.look, s.reach, s.describe, s.remove, s.left} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.Out, "\n%s in all.\n", time.Since(s.began).Round(time.Second))
	return nil
}

// show runs a line as an administrator types it, and shows what it says.
func (s *stage) show(ctx context.Context, c *cluster, line string) error {
	fmt.Fprintf(s.Out, "\n%s# %s\n", c.name, line)
	cmd := s.shell(ctx, c, line)
	cmd.Stdout, cmd.Stderr = s.Out, s.Out
	return cmd.Run()
}

// quietly is show for what was shown of the other cluster.
func (s *stage) quietly(ctx context.Context, c *cluster, line string) error {
	if out, err := s.shell(ctx, c, line).CombinedOutput(); err != nil {
		return fmt.Errorf("%s# %s: %w: %s", c.name, line, err, out)
	}
	return nil
}

// showIn runs a command in a node and shows what it says.
func (s *stage) showIn(ctx context.Context, node, line string) error {
	fmt.Fprintf(s.Out, "\n%s# %s\n", node, line)
	return s.lab.Node(node).Stream(ctx, s.Out, strings.Fields(line)...)
}

// empty shows what there is before, and remembers what the nodes' kernels hold.
func (s *stage) empty(ctx context.Context) error {
	for _, c := range s.clusters() {
		for _, n := range c.nodes {
			var err error
			if s.prints[n.name], err = s.footprint(ctx, n.name); err != nil {
				return err
			}
		}
	}
	return errors.Join(
		s.show(ctx, s.east, remotes),
		s.show(ctx, s.east, "kubectl -n kube-system get daemonsets,pods,leases"),
		s.show(ctx, s.east, "cat config.yaml"))
}

// install types the two commands.
func (s *stage) install(ctx context.Context) error {
	s.Say("Install it, in two commands, on east and then on west:")
	err := errors.Join(s.show(ctx, s.east, createConfig), s.show(ctx, s.east, applyBase))
	for _, line := range []string{createConfig, applyBase} {
		err = errors.Join(err, s.quietly(ctx, s.west, line))
	}
	return errors.Join(err, s.show(ctx, s.east, rollout), s.show(ctx, s.east, "kubectl -n kube-system get pods -o wide"), s.quietly(ctx, s.west, rollout))
}

// look waits until the Nodes say all they have to say.
func (s *stage) look(ctx context.Context) error {
	for _, c := range s.clusters() {
		if err := s.quietly(ctx, c, "kubectl wait node --all --for=condition=UnderlayRoutesReady --timeout=60s"); err != nil {
			return err
		}
		for _, n := range c.nodes {
			err := s.until(ctx, "what Node "+n.name+" says", func(ctx context.Context) error {
				out, err := s.ask(ctx, c, "get", "node", n.name, "-o", `jsonpath={.metadata.annotations.underlayd\.io/remote-cidrs}`)
				if err == nil && (!strings.Contains(out, ".") || !strings.Contains(out, "::")) {
					err = fmt.Errorf("it reaches %s", out)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	s.Say("The Nodes say which remote pod CIDRs they can reach:")
	return errors.Join(s.show(ctx, s.east, remotes), s.show(ctx, s.west, remotes))
}

// describe has a session end and come back, and shows a Node as kubectl tells of it.
func (s *stage) describe(ctx context.Context) error {
	s.Say("A router closes the session with east-1 for a moment. The Node tells of it, by its condition and by Events:")
	if err := s.session(ctx, false); err != nil {
		return err
	}
	const condition = `kubectl get node east-1 -o jsonpath='{.status.conditions[?(@.type=="UnderlayRoutesReady")].message}{"\n"}'`
	err := errors.Join(
		s.quietly(ctx, s.east, "kubectl wait node east-1 --for=condition=UnderlayRoutesReady=False --timeout=60s"),
		s.show(ctx, s.east, condition),
		s.session(ctx, true),
		s.quietly(ctx, s.east, "kubectl wait node east-1 --for=condition=UnderlayRoutesReady --timeout=60s"),
		s.until(ctx, "an Event", func(ctx context.Context) error {
			out, err := s.ask(ctx, s.east, "-n", "default", "get", "events.events.k8s.io", "-o", "jsonpath={.items[*].reason}")
			if err == nil && !strings.Contains(out, "PeerUp") {
				err = fmt.Errorf("there are %s", out)
			}
			return err
		}))
	if err != nil {
		return err
	}
	return errors.Join(
		s.show(ctx, s.east, "kubectl describe node east-1"),
		s.showIn(ctx, "east-1", "underlayd status"),
		s.showIn(ctx, "east-1", "ip route show proto 200"))
}

// session has the router of east-1 close its session, or open it again.
func (s *stage) session(ctx context.Context, open bool) error {
	line := "neighbor " + neighbor + " shutdown"
	if open {
		line = "no " + line
	}
	_, err := s.lab.Node("fabric").Output(ctx, "vtysh", "-c", "configure terminal", "-c", "router bgp 65000", "-c", line)
	return err
}

// reach has a pod of east reach one of west, and asks that one by whom it was reached.
func (s *stage) reach(ctx context.Context) error {
	s.Say("A pod of east reaches a pod of west, with its own address:")
	from, to := s.east.nodes[0], s.west.nodes[1]
	sources, err := s.podCIDRs(ctx, s.east, from.name)
	if err != nil {
		return err
	}
	targets, err := s.podCIDRs(ctx, s.west, to.name)
	if err != nil {
		return err
	}
	for i, target := range targets {
		if err := s.showIn(ctx, from.pod, "ping -c 2 -i 0.2 "+podIn(target).String()); err != nil {
			return err
		}
		seen, err := containerlab.SeenFrom(ctx, s.lab.Node(from.pod), s.lab.Node(to.pod), podIn(target))
		if err != nil {
			return err
		}
		if seen != podIn(sources[i]) {
			return fmt.Errorf("%s saw a packet of %s come from %s instead of %s", to.pod, from.pod, seen, podIn(sources[i]))
		}
		fmt.Fprintf(s.Out, "\n%s received a datagram and saw it come from %s: %s's own address\n", to.pod, seen, from.pod)
	}
	return nil
}

// remove types the two commands of the other end.
func (s *stage) remove(ctx context.Context) error {
	s.Say("Remove it, in two commands: the first has every node remove every trace, the second deletes the objects:")
	err := errors.Join(s.show(ctx, s.east, applyCleanup), s.show(ctx, s.east, deleteAll))
	for _, line := range []string{applyCleanup, deleteAll} {
		err = errors.Join(err, s.quietly(ctx, s.west, line))
	}
	return err
}

// left looks for what is left, in the API and in the kernels.
func (s *stage) left(ctx context.Context) error {
	for _, c := range s.clusters() { // the Pods end after the DaemonSet
		err := s.until(ctx, "the Pods of "+c.name+" to end", func(ctx context.Context) error {
			out, err := s.ask(ctx, c, "-n", "kube-system", "get", "pods", "-o", "name")
			if err == nil && strings.TrimSpace(out) != "" {
				err = errors.New(out)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	s.Say("What is left, in the API and in a kernel:")
	err := errors.Join(
		s.show(ctx, s.east, remotes),
		s.show(ctx, s.east, "kubectl get daemonsets,pods,leases,configmaps,clusterroles,validatingadmissionpolicies -A | grep underlayd || echo nothing"),
		s.show(ctx, s.east, "kubectl -n default get events"),
		s.showIn(ctx, "east-1", "ip route show proto 200"),
		s.showIn(ctx, "east-1", "nft list tables"))
	for _, c := range s.clusters() {
		for _, n := range c.nodes {
			now, problem := s.footprint(ctx, n.name)
			if err = errors.Join(err, problem); now != s.prints[n.name] {
				err = errors.Join(err, fmt.Errorf("%s: there was\n%s\nand there is\n%s", n.name, s.prints[n.name], now))
			}
		}
	}
	if err == nil {
		fmt.Fprint(s.Out, "\nThe kernels of all four nodes hold what they held before: routes, rules, next-hop objects, nftables tables; the Nodes\n"+
			"have no annotation, condition or managed field of underlayd. Events stay until the API forgets them, after an hour.\n")
	}
	return err
}

// footprint is all that underlayd might leave something in.
func (s *stage) footprint(ctx context.Context, node string) (string, error) {
	var all []string
	for _, command := range []string{
		"ip -N route show table all", "ip -N -6 route show table all", "ip -N rule show", "ip -N -6 rule show", "ip -N nexthop show", "nft list tables",
	} {
		out, err := s.lab.Node(node).Output(ctx, strings.Fields(command)...)
		if err != nil {
			return "", err
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		slices.Sort(lines)
		all = append(all, command+":\n"+strings.Join(lines, "\n"))
	}
	c := s.east
	if strings.HasPrefix(node, s.west.name) {
		c = s.west
	}
	about, err := s.ask(ctx, c, "get", "node", node, "--show-managed-fields", "-o",
		`jsonpath={.metadata.annotations} {.metadata.labels} {.status.conditions[*].type} {.metadata.managedFields[*].manager}`)
	return strings.Join(append(all, about), "\n"), err
}
