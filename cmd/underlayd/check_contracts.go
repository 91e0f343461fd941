package main

import (
	"fmt"
	"net/netip"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/status"
)

// remedyForCluster is what explain says about the ranges of a cluster that is not reachable: the first that has an answer. Of one that
// is so in part, explain has no address to ask for.
func (c *checkup) remedyForCluster(name string) (string, *status.Remedy) {
	for _, r := range c.state.Clusters {
		if r.Name != name || r.State != status.Unreachable {
			continue
		}
		for _, p := range r.PodCIDRs {
			if reason, remedy := c.remedyForRange(p); remedy != nil {
				return reason, remedy
			}
		}
	}
	return "", &status.Remedy{
		Action: "look at its routes that are not in the kernel, and at the sessions with those that may announce it", Command: "underlayd routes --cluster " + name + " --state failed; underlayd peers",
		Doc: "docs/operations.md#lost-sessions",
	}
}

// remedyForRange is what explain says about the first address of a range.
func (c *checkup) remedyForRange(p netip.Prefix) (string, *status.Remedy) {
	first := netip.PrefixFrom(p.Addr().Next(), p.Addr().BitLen())
	for _, s := range c.about(c.ctx, c.basis, c.state, status.Question{Target: first}).explain().Steps {
		if s.Remedy != nil {
			return s.Reason, s.Remedy
		}
	}
	return "", nil
}

// clusters tells how each is, and which part of its contract nobody announces.
func (c *checkup) clusters() {
	for _, r := range c.state.Clusters {
		if r.State == status.Unreachable {
			continue // it is among the problems
		}
		if r.State == status.Reachable {
			c.ok(status.CheckContracts, "cluster %s is reachable: %d of %d accepted prefixes are in the kernel", r.Name, r.Installed, r.Accepted)
		}
		for _, p := range r.PodCIDRs {
			if c.announced(p) {
				continue
			}
			_, remedy := c.remedyForRange(p)
			if remedy == nil || remedy.Doc == "" {
				remedy = &status.Remedy{Action: "have it announced, or take it out of the contract", Key: "clusters[" + r.Name + "].podCIDRs", Doc: troubleshooting + "nobody-announces-it"}
			}
			c.add(status.Check{
				Group: status.CheckContracts, Name: "cluster " + r.Name, Result: status.CheckWarning, Reason: "NotAnnounced", Remedy: remedy,
				Sentence: fmt.Sprintf("nobody announces anything of %s, which the contract of cluster %s covers", p, r.Name),
			})
		}
	}
}

// announced says whether something of a range, or around it, was accepted.
func (c *checkup) announced(p netip.Prefix) bool {
	for r := range c.state.Table.Covering(p) {
		if r.Accepted {
			return true
		}
	}
	for row := range c.state.Table.Inside(p) {
		if row.Route().Accepted {
			return true
		}
	}
	return false
}

// manyWays bounds for how many routes of a range the kernel is asked what it does with a packet.
const manyWays = 32

// ways asks the kernel what it does with packets to the pods of others, as explain does. Each thing that is wrong is said once.
func (c *checkup) ways() {
	said := map[string]bool{}
	for _, r := range c.config.Clusters {
		for _, p := range r.PodCIDRs {
			n := 0
			for row := range c.state.Table.Inside(p) {
				route := row.Route()
				if route.Kernel.Status != status.Installed {
					continue
				}
				if n++; n > manyWays {
					break
				}
				a := c.accountOf(netip.PrefixFrom(route.Prefix.Addr().Next(), route.Prefix.Addr().BitLen()))
				a.route = route
				a.nextHops()
				a.lookup()
				c.takeSteps(a.out.Steps, said)
			}
			c.intruders(r.Name, p, said)
		}
	}
}

func (c *checkup) takeSteps(steps []status.Step, said map[string]bool) {
	for _, s := range steps {
		if s.Result != status.StepFailed || said[s.Reason] {
			continue
		}
		said[s.Reason] = true
		group := status.CheckKernel
		if s.Name == status.StepNextHop {
			group = status.CheckLinks
		}
		remedy := s.Remedy
		if remedy == nil { // an earlier step has it
			remedy = &status.Remedy{Action: "see what explain says of an address there", Command: "underlayd explain ADDRESS", Doc: troubleshooting + "the-kernel-does-something-else"}
		}
		c.add(status.Check{Group: group, Name: s.Reason, Result: status.CheckFailed, Reason: s.Reason, Sentence: s.Sentence, Remedy: remedy})
	}
}

// intruders looks for longer routes of others in the range of a contract.
func (c *checkup) intruders(cluster string, p netip.Prefix, said map[string]bool) {
	if said["ForeignRoute"] {
		return
	}
	if routed, err := c.kernel.RoutedInside(p); err != nil || !routed {
		return
	}
	said["ForeignRoute"] = true
	version := ""
	if p.Addr().Is6() {
		version = " -6"
	}
	c.add(status.Check{
		Group: status.CheckKernel, Name: "ForeignRoute", Reason: "ForeignRoute", Result: status.CheckWarning,
		Sentence: fmt.Sprintf("somebody else has routes to other hosts inside %s of cluster %s: where they are longer than ours they go first", p, cluster),
		Remedy: &status.Remedy{
			Action: "have whoever writes them leave this range alone; their protocol says whose they are", Command: fmt.Sprintf("ip%s route show root %s", version, p),
			Doc: troubleshooting + "the-kernel-does-something-else",
		},
	})
}

// modeWords say how next hops are written.
func modeWords(m fib.Mode) string {
	if m == fib.ModeObjects {
		return "this kernel has next-hop objects: a failover rewrites what routes share, and no route"
	}
	return "this kernel has no next-hop objects: next hops are written into each route, a failover rewrites each of them"
}
