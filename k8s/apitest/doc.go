// Package apitest gives tests a real Kubernetes API: etcd and kube-apiserver as
// processes on loopback, RBAC and admission policies included, and where a test
// wants it a kube-controller-manager beside them.
//
// It owns the build of Kubernetes' programs (module hyperkube, cached outside the
// repository), their start, their outages and their end: whatever way the test
// process ends, SIGKILL included, no process and no file stays behind.
//
// It refuses to be a fake: nothing here answers in place of the API server. It
// starts no scheduler, and controllers only where StartControllers is called:
// elsewhere a test plays their part (it creates the Node, it sets spec.podCIDRs).
// Package kubelet plays kubelets, in the nodes of a lab.
package apitest
