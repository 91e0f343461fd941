package apitest

import (
	"net/netip"
	"path/filepath"
	"strings"
)

// controllers are those of kube-controller-manager that a cluster's nodes notice:
// pod CIDRs of Nodes; Pods of DaemonSets; the end of what belonged to something that
// was deleted, and of Pods on Nodes that are gone; the authority's certificate in
// every namespace.
func controllers() []string {
	return []string{
		"node-ipam-controller", "daemonset-controller", "garbage-collector-controller", "pod-garbage-collector-controller",
		"root-ca-certificate-publisher-controller",
	}
}

// StartControllers starts a kube-controller-manager that gives Nodes pod CIDRs out
// of these ranges, at most one of each family: a /24 and a /64, the first that no
// Node has, and after one was given back not the same again until the others were
// used up. What it does comes about a moment later: wait for that. It outlives
// outages of the API and ends with the Server or with StopControllers.
func (s *Server) StartControllers(podCIDRs ...netip.Prefix) error {
	s.StopControllers()
	kubeconfig, err := s.Kubeconfig(s.Admin())
	if err != nil {
		return err
	}
	argv := []string{
		filepath.Join(s.programs, "kube-controller-manager"), "--kubeconfig=" + kubeconfig,
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--controllers=" + strings.Join(controllers(), ","),
		"--root-ca-file=" + filepath.Join(s.scratch.dir, caFile),
	}
	if len(podCIDRs) > 0 {
		var texts []string
		for _, p := range podCIDRs {
			texts = append(texts, p.String())
		}
		argv = append(argv, "--allocate-node-cidrs=true", "--cluster-cidr="+strings.Join(texts, ","))
	}
	s.controllers, err = s.nursery.start(s.scratch.dir, "kube-controller-manager", argv...)
	return err
}

// StopControllers ends the kube-controller-manager at once. When there is none it
// does nothing.
func (s *Server) StopControllers() {
	if s.controllers != nil {
		s.controllers.kill()
		s.controllers = nil
	}
}

// ControllersLog is the end of what the kube-controller-manager wrote, for those who
// wait in vain for what it should have done.
func (s *Server) ControllersLog() string {
	if s.controllers == nil {
		return "no kube-controller-manager was started"
	}
	return s.controllers.tail()
}
