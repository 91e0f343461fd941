package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/annotation"
	"github.com/underlayd/underlayd/status"
)

// clock asks the kernel whether its clock is kept in step. Nothing is set.
func (c *checkup) clock() {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		c.unknown(status.CheckClock, "clock", &status.Remedy{Action: "look yourself", Command: "timedatectl", Doc: checkDoc}, fmt.Sprintf("the kernel could not be asked: %s", err))
		return
	}
	if t.Status&unix.STA_UNSYNC != 0 {
		c.warn(status.CheckClock, "clock", &status.Remedy{Action: "have a time service keep it: a clock that is set back later resets sessions", Command: "timedatectl; chronyc tracking", Doc: "docs/operations.md#time"},
			"the kernel says that nothing keeps its clock in step (STA_UNSYNC)")
		return
	}
	c.ok(status.CheckClock, "the kernel's clock is kept in step")
}

// programs looks for others that write routes or speak BGP.
func (c *checkup) programs() {
	before := len(c.items)
	if seen := bgp.Programs("systemd-network"); len(seen) > 0 {
		if leaves, readable := networkdLeaves(); !leaves {
			result, sentence := status.CheckWarning, seen[0]+" removes routes that are not its own when it starts or a link changes, unless it is told not to"
			if !readable {
				result, sentence = status.CheckUnknown, seen[0]+" runs, and its configuration can't be seen from here"
			}
			c.add(status.Check{Group: status.CheckPrograms, Name: "systemd-networkd", Result: result, Sentence: sentence, Remedy: &status.Remedy{
				Action:  "tell it to leave them alone, and restart it",
				Command: `printf '[Network]\nManageForeignRoutes=no\nManageForeignNextHops=no\nManageForeignRoutingPolicyRules=no\n' > /etc/systemd/networkd.conf.d/underlayd.conf`, Doc: "docs/operations.md#kernel-and-host",
			}})
		}
	}
	if seen := bgp.Programs("NetworkManager"); len(seen) > 0 {
		c.unknown(status.CheckPrograms, "NetworkManager", &status.Remedy{
			Action: "have it leave the links alone that pods and peers are on, if kernel.repairs in status grows", Command: "nmcli device status", Doc: "docs/operations.md#kernel-and-host",
		}, fmt.Sprintf("%s runs; whether it leaves our routes alone can't be known from here: %d were put back so far", seen[0], c.state.Kernel.Repairs))
	}
	if k := c.state.Kernel; k.Fights > 0 {
		c.warn(status.CheckPrograms, "fights", &status.Remedy{Action: "find out who it is, and have it leave protocol " + fmt.Sprint(k.Protocol) + " alone", Command: "underlayd routes --state failed", Doc: "docs/operations.md#kernel-and-host"},
			fmt.Sprintf("somebody keeps undoing what is written: repairing was slowed down %d times", k.Fights))
	}
	speakers := bgp.Speakers()
	for _, one := range speakers {
		if name, _, _ := strings.Cut(one, " "); marks(name) != c.config.Kernel.Protocol {
			continue
		}
		c.failed(status.CheckPrograms, "protocol", &status.Remedy{Action: "choose a number that nobody else has", Key: "kernel.protocol", Value: "200", Doc: "docs/operations.md#kernel-and-host"},
			fmt.Sprintf("%s marks its routes with protocol %d, as this node does: each takes the other's for its own", one, c.config.Kernel.Protocol))
	}
	if len(c.items) > before {
		return
	}
	if len(speakers) > 0 {
		c.ok(status.CheckPrograms, "%d programs speak BGP beside underlayd, such as %s (%s); of those that can be seen from here none is known to remove others' routes", len(speakers), speakers[0], neighboursPage)
		return
	}
	c.ok(status.CheckPrograms, "of the programs that can be seen from here none is known to remove others' routes, or to speak BGP")
}

// marks is the protocol by which a program marks its routes (linux/rtnetlink.h); 0 if it has none.
func marks(program string) int {
	switch program {
	case "bird", "bird6":
		return 12
	case "bgpd":
		return 186
	case "kube-router":
		return 17
	}
	return 0
}

// limits tries what the daemon needs as many of as there are peers, and what other programs may have used up.
func (c *checkup) limits() {
	before := len(c.items)
	var files unix.Rlimit
	need := uint64(128 + 4*len(c.config.BGP.Peers))
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Max < need {
		c.failed(status.CheckLimits, "RLIMIT_NOFILE", &status.Remedy{Action: "allow more (LimitNOFILE= in a systemd unit)", Command: fmt.Sprintf("ulimit -n %d", need), Doc: checkDoc},
			fmt.Sprintf("%d files may be open, and %d peers may need %d", files.Max, len(c.config.BGP.Peers), need))
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, "/", unix.IN_ATTRIB)
		_ = unix.Close(fd)
	}
	if err != nil {
		c.failed(status.CheckLimits, "inotify", &status.Remedy{Action: "allow more, now and in /etc/sysctl.d", Command: "sysctl -w fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288", Doc: checkDoc},
			fmt.Sprintf("files can't be watched (%s): a changed configuration or password is noticed late", err))
	}
	if len(c.items) == before {
		c.ok(status.CheckLimits, "%d files may be open, and files can be watched", files.Max)
	}
}

// rightsPatience is how long the API is waited for.
const rightsPatience = 4 * time.Second

// rights asks the API for each right that the manifests grant.
func (c *checkup) rights() {
	k := c.config.Kubernetes
	rest, err := k8s.Connect(k.Kubeconfig)
	if k.Enabled == config.False || errors.Is(err, k8s.ErrNotInCluster) && k.Enabled == config.Auto {
		c.ok(status.CheckKubernetes, "Kubernetes is not used: no Node says so to others")
		return
	}
	doc := "docs/install.md#what-it-may-do"
	if err != nil {
		c.failed(status.CheckKubernetes, "API", &status.Remedy{Action: "run it in a Pod, or say how to reach the API", Key: "kubernetes.kubeconfig", Doc: doc}, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, rightsPatience)
	defer cancel()
	wanted := rightsOf(c.config)
	denied, err := k8s.Denied(ctx, rest, wanted)
	if err != nil {
		c.warn(status.CheckKubernetes, "API", &status.Remedy{Action: "see whether the API answers; routing goes on without it", Command: "kubectl auth whoami", Doc: "docs/operations.md#the-kubernetes-api"},
			fmt.Sprintf("the API could not be asked for rights: %s", err))
		return
	}
	for _, r := range denied {
		result := status.CheckFailed
		if r.Group == "crd.projectcalico.org" && k.PodCIDRSource != config.SourceCalico || r.Group == "cilium.io" && k.PodCIDRSource != config.SourceCilium || r.Resource == "events" {
			result = status.CheckWarning
		}
		c.add(status.Check{
			Group: status.CheckKubernetes, Name: r.String(), Result: result, Sentence: fmt.Sprintf("the API denies the right to %s", r),
			Remedy: &status.Remedy{Action: "grant what the manifests of this version grant", Command: "kubectl apply -k https://github.com/underlayd/underlayd/k8s/deploy/base", Doc: doc},
		})
	}
	if len(denied) == 0 {
		c.ok(status.CheckKubernetes, "all %d rights that the manifests grant are there", len(wanted))
	}
}

// rightsOf are the rights that the manifests grant (k8s/deploy/base/rbac.yaml), and those that the configuration needs beside.
func rightsOf(c *config.Config) (all []k8s.Right) {
	add := func(r k8s.Right, verbs ...string) {
		for _, v := range verbs {
			r.Verb = v
			all = append(all, r)
		}
	}
	home := k8s.Namespace(c.Kubernetes.Kubeconfig)
	add(k8s.Right{Resource: "nodes"}, "get", "list", "watch")
	add(k8s.Right{Resource: "nodes", Subresource: "status"}, "patch")
	add(k8s.Right{Group: "crd.projectcalico.org", Resource: "blockaffinities"}, "get", "list", "watch")
	add(k8s.Right{Group: "cilium.io", Resource: "ciliumnodes"}, "get", "list", "watch")
	add(k8s.Right{Group: "coordination.k8s.io", Resource: "leases", Namespace: annotation.LeaseNamespace}, "get", "create", "update", "delete")
	add(k8s.Right{Group: "events.k8s.io", Resource: "events", Namespace: "default"}, "create", "patch")
	for _, p := range c.BGP.Peers {
		if p.PasswordSecret.Name != "" {
			add(k8s.Right{Resource: "secrets", Namespace: home, Name: p.PasswordSecret.Name}, "get")
		}
	}
	return all
}
