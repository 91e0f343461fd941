package kubelet

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/containerlab"
)

// pod is a Pod that runs.
type pod struct {
	kubelet  *Kubelet
	object   *corev1.Pod // as last seen
	process  *containerlab.Process
	token    []byte // it was given at its start
	restarts int32
	started  metav1.Time
	probed   time.Time
	ready    bool
}

// start starts the container unless it runs. One that has ended is started again, as
// the restartPolicy of a DaemonSet's Pods demands.
func (p *pod) start() error {
	if p.process != nil && p.process.Running() {
		return nil
	}
	if p.process != nil {
		p.restarts++
	}
	container := &p.object.Spec.Containers[0]
	argv := append([]string{"env"}, p.environment()...)
	argv = append(argv, confine(container)...)
	argv = append(argv, p.program(container))
	process, err := p.kubelet.Node.Start(container.Name, append(argv, container.Args...)...)
	if err != nil {
		return err
	}
	p.process, p.started, p.ready = process, metav1.Now(), false
	return nil
}

// program is what a container runs.
func (p *pod) program(container *corev1.Container) string {
	switch {
	case p.kubelet.Program != nil:
		return p.kubelet.Program(container.Image)
	case len(container.Command) > 0:
		return container.Command[0]
	default:
		name, _, _ := strings.Cut(filepath.Base(container.Image), ":")
		return name
	}
}

// environment is what a container finds, with the address of the API, which every
// Pod is told.
func (p *pod) environment() []string {
	host, port, _ := net.SplitHostPort(p.kubelet.API.Address())
	env := []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
	for _, e := range p.object.Spec.Containers[0].Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "spec.nodeName" {
			value = p.object.Spec.NodeName
		}
		env = append(env, e.Name+"="+value)
	}
	return env
}

// confine is a command that runs another one with the capabilities of a container.
func confine(container *corev1.Container) []string {
	security := container.SecurityContext
	if security == nil || security.Capabilities == nil {
		return nil
	}
	list := "-all"
	for _, name := range security.Capabilities.Add {
		list += ",+" + strings.ToLower(string(name))
	}
	argv := []string{"setpriv", "--bounding-set", list, "--inh-caps", list}
	if security.AllowPrivilegeEscalation != nil && !*security.AllowPrivilegeEscalation {
		argv = append(argv, "--no-new-privs")
	}
	return argv
}

// stop ends the container: SIGTERM, and SIGKILL when the grace period is over.
func (p *pod) stop(ctx context.Context, grace time.Duration) error {
	if p.process == nil {
		return nil
	}
	if grace == 0 {
		return p.process.Kill()
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return p.process.Stop(ctx)
}

// probe asks the readiness probe, as often as it says.
func (p *pod) probe(ctx context.Context, container *corev1.Container) {
	probe := container.ReadinessProbe
	if probe == nil || probe.Exec == nil {
		p.ready = true
		return
	}
	if p.ready && time.Since(p.probed) < time.Duration(max(probe.PeriodSeconds, 1))*time.Second {
		return
	}
	p.probed = time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(probe.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	argv := append([]string{p.program(container)}, probe.Exec.Command[1:]...)
	_, err := p.kubelet.Node.Output(ctx, argv...)
	p.ready = err == nil
}

// report writes the Pod's status when it is another one.
func (p *pod) report(ctx context.Context) error {
	object := p.object
	container := &object.Spec.Containers[0]
	p.probe(ctx, container)
	status := object.Status.DeepCopy()
	address := p.kubelet.Address.String()
	status.Phase, status.HostIP, status.PodIP = corev1.PodRunning, address, address
	status.PodIPs, status.HostIPs = []corev1.PodIP{{IP: address}}, []corev1.HostIP{{IP: address}}
	if status.StartTime == nil {
		status.StartTime = &p.started
	}
	ready := corev1.ConditionFalse
	if p.ready {
		ready = corev1.ConditionTrue
	}
	setCondition(status, corev1.PodInitialized, corev1.ConditionTrue)
	setCondition(status, corev1.ContainersReady, ready)
	setCondition(status, corev1.PodReady, ready)
	yes := true
	status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: container.Name, Image: container.Image, Ready: p.ready, Started: &yes, RestartCount: p.restarts,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(p.started.Truncate(time.Second))}},
	}}
	if equality.Semantic.DeepEqual(*status, object.Status) {
		return nil
	}
	object.Status = *status
	_, err := p.kubelet.client.CoreV1().Pods(object.Namespace).UpdateStatus(ctx, object, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("status of pod %s: %w", object.Name, err)
	}
	return nil
}

// setCondition sets a condition, with the time at which it became another one.
func setCondition(status *corev1.PodStatus, kind corev1.PodConditionType, value corev1.ConditionStatus) {
	for i := range status.Conditions {
		c := &status.Conditions[i]
		if c.Type == kind {
			if c.Status != value {
				c.Status, c.LastTransitionTime = value, metav1.Now()
			}
			return
		}
	}
	status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: value, LastTransitionTime: metav1.Now()})
}
