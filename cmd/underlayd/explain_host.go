package main

import (
	"fmt"
	"strings"

	"go4.org/netipx"

	"github.com/underlayd/underlayd/status"
)

// notExempt is what natExemption: false means.
const notExempt = "natExemption is false: if the CNI masquerades what leaves the cluster, the other side sees this node's address"

// nat tells whether pods keep their address on the way.
func (a *account) nat() {
	s := status.Step{Name: status.StepNAT, Result: status.StepOK}
	switch n := a.state.NATExemption; n.State {
	case status.NATActive:
		s.Sentence = fmt.Sprintf("pods of this node keep their address towards it (nftables table inet %s)", n.Table)
	case status.NATOff:
		s.Result, s.Reason, s.Sentence = status.StepWarning, string(n.State), notExempt
	case status.NATFailed:
		s.Result, s.Reason, s.Sentence = status.StepWarning, string(n.State), "the NAT exemption is not in the kernel: what the CNI masquerades comes with this node's address; underlayd status says why"
	default:
		s.Sentence = "there is nothing to exempt from NAT"
	}
	a.add(s)
}

// hostFacts tells what of the host's set-up stands in the way, as it is now.
func (a *account) hostFacts() {
	s := status.Step{Name: status.StepHost, Result: status.StepOK, Sentence: "nothing of the host's set-up stands in the way"}
	found, err := a.checks.now()
	if err != nil {
		a.skip(s.Name, "the host's settings could not be read: %s", err)
		return
	}
	for _, f := range found {
		if f.severity == "" || !a.concerns(f) {
			continue
		}
		s.Findings = append(s.Findings, f.message)
		failed := f.severity == status.Error
		if s.Result == status.StepOK || failed && s.Result != status.StepFailed {
			s.Reason, s.Sentence, s.Result = f.key, f.message, status.StepWarning
			if failed {
				s.Result = status.StepFailed
				s.Remedy = settingRemedy(f)
			}
		}
	}
	if drops := a.exemption.drops(); len(drops) > 0 && s.Result == status.StepOK {
		s.Result, s.Reason = status.StepWarning, "ForwardDrops"
		s.Sentence = dropsSentence(drops)
		s.Findings = append(s.Findings, s.Sentence)
	}
	a.add(s)
}

// settingRemedy is what to do about a finding of the host's.
func settingRemedy(f finding) *status.Remedy {
	return &status.Remedy{Action: "change the setting, now and in /etc/sysctl.d", Command: commandIn(f.message), Doc: "docs/operations.md#what-the-host-needs"}
}

func dropsSentence(drops []string) string {
	return "what no rule accepts is dropped by " + strings.Join(drops, ", ") + ": rules have to accept packets between these pods"
}

// concerns says whether a finding is about the family of the target, and about a link that packets to it take.
func (a *account) concerns(f finding) bool {
	v4 := strings.Contains(f.key, "ipv4") || f.key == "rp_filter" || f.key == "ip rule"
	return v4 == a.addr.Is4()
}

// commandIn is the command at the end of a finding's sentence.
func commandIn(message string) string {
	if at := strings.Index(message, "sysctl -w"); at >= 0 {
		return message[at:]
	}
	return ""
}

// now looks at the host, and at more links if they are named, without noting anything.
func (h *hostChecks) now(links ...string) ([]finding, error) {
	h.mu.Lock()
	nodes, uses, gateway := h.nodes, h.uses, h.gateway
	h.mu.Unlock()
	host, err := h.kernel.Inspect(append(h.inwards(nodes), links...)...)
	if err != nil {
		return nil, err
	}
	return judgeHost(host, uses, gateway), nil
}

// told tells whether the Node says that the target is routable.
func (a *account) told() {
	s := status.Step{Name: status.StepNode, Result: status.StepOK}
	switch k := a.state.Kubernetes; {
	case !k.Enabled:
		a.skip(s.Name, "Kubernetes is not used: no Node says so to others")
		return
	case k.LastError != "":
		s.Result, s.Reason, s.Sentence = status.StepWarning, "Kubernetes", "what the Node says may be old: "+k.LastError
	case a.route == nil || a.route.Kernel.Status != status.Installed && a.route.Kernel.Status != status.Adopted:
		s.Sentence = "the Node does not list it in underlayd.io/remote-cidrs"
	default:
		s.Sentence = "the Node lists it in underlayd.io/remote-cidrs"
	}
	a.add(s)
}

// shownParts bounds the answer about a prefix.
const shownParts = 64

// parts tells what a prefix consists of: the routes inside it, and the holes between those that are in the kernel.
func (a *account) parts() {
	if a.target.IsSingleIP() || a.remote == nil {
		return
	}
	var left netipx.IPSetBuilder
	left.AddPrefix(a.target)
	if a.route != nil && a.route.Kernel.Status == status.Installed {
		left.RemovePrefix(a.route.Prefix)
	}
	add := func(p status.Part) {
		if len(a.out.Parts) < shownParts {
			a.out.Parts = append(a.out.Parts, p)
		} else {
			a.out.PartsLeftOut++
		}
	}
	for row := range a.state.Table.Inside(a.target) {
		if r := recordOf(row); r != nil {
			if _, ok := r.routable(); ok {
				left.RemovePrefix(r.prefix)
			}
		}
		if len(a.out.Parts) >= shownParts/2 {
			a.out.PartsLeftOut++
			continue
		}
		r := row.Route()
		add(status.Part{Prefix: r.Prefix, Cluster: r.Cluster, Verdict: r.Verdict, Kernel: r.Kernel.Status, NextHop: r.NextHops})
	}
	for _, hole := range prefixesOf(&left) {
		add(status.Part{Prefix: hole, Hole: true})
	}
}
