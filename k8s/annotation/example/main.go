// Command example keeps one NetworkPolicy open for the remote pods that underlayd's
// Nodes can reach, and closed for those that they cannot. It is a whole consumer of
// package annotation, to be read and changed; it is no part of the product.
//
//	example -namespace shop -selector app=shop -within 10.20.0.0/16,fd00:20::/48
//
// The policy is a standard one (networking.k8s.io/v1): the pods selected may be
// reached from, and may reach, what is routable. Like any policy it isolates them:
// what else they need, DNS say, other policies have to allow.
//
// It needs get, list and watch of nodes, and get, list, watch, create and update of
// networkpolicies in the namespace.
//
// # What routable means over several Nodes
//
// A policy is one for all Nodes, and Nodes may differ. With -nodes any, the default, a
// CIDR is routable if any Node routes it: a policy is a permission, and on a Node
// without the route traffic fails for want of the route, not of the permission. One
// Node that loses its sessions does not cut off the pods of all others. With -nodes all
// it is routable if every Node that says something routes it; that is for clusters
// where a packet without a route would leave by a default route and must not.
//
// Either way it is never more than -within, which the operator sets: whoever can write
// annotations of one Node opens nothing beyond the ranges of the remote clusters.
//
// A Node without underlayd's annotations does not count. One whose annotations can't
// be read is unknown, not without routes: as long as there is one, -nodes any takes
// nothing away that the policy has, and -nodes all adds nothing; the Node is logged. Of
// a list that was cut, what is in it counts. The Leases are not looked at: routes stay
// in the kernel when an agent stops.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // there is nothing left to undo
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("example", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "`path` of a kubeconfig; empty: the service account of the pod")
	namespace := flags.String("namespace", "default", "of the policy")
	name := flags.String("name", "underlayd-remote", "of the policy")
	selector := flags.String("selector", "", "the pods that it is for, as `key=value,…`; required")
	within := flags.String("within", "", "the `CIDRs` it may open at most, with commas between them; required")
	nodes := flags.String("nodes", string(anyNode), "`any` or all: how many Nodes have to route a CIDR")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pods, err := labels.ConvertSelectorToLabelsMap(*selector)
	if err != nil {
		return fmt.Errorf("-selector: %w", err)
	}
	if len(pods) == 0 {
		return errors.New("-selector: the pods have to be named, the policy isolates them")
	}
	limit, err := parseCIDRs(*within)
	if err != nil {
		return fmt.Errorf("-within: %w", err)
	}
	if quorum(*nodes) != anyNode && quorum(*nodes) != everyNode {
		return fmt.Errorf("-nodes %q: any or all", *nodes)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	return newController(client, settings{
		namespace: *namespace, name: *name, pods: pods, within: limit, quorum: quorum(*nodes),
		log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}).run(ctx)
}

func parseCIDRs(text string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for element := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(element)
		if err != nil {
			return nil, err
		}
		list = append(list, prefix)
	}
	return list, nil
}
