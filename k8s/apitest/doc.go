// Package apitest gives tests a real Kubernetes API: etcd and kube-apiserver as
// processes on loopback, RBAC and admission policies included.
//
// It owns the build of kube-apiserver (module apiserver, binary cached outside
// the repository), its start, its outages and its end: whatever way the test
// process ends, SIGKILL included, no process and no file stays behind.
//
// It refuses to be a fake: nothing here answers in place of the API server. It
// starts no kubelet, no scheduler and no controllers, so a test plays their part
// (it creates the Node, it sets spec.podCIDRs).
package apitest
