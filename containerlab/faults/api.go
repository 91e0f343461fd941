package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// apiRows are about the Kubernetes API, a real one, from which the node has its pod CIDRs in these rows.
func apiRows() []row {
	rows := []row{
		{
			name: "the API goes away for 5 s", required: "nothing happens, and it is named",
			says: []string{"kubernetes: .*routing is not affected"},
			inject: func(ctx context.Context, s *scene) error {
				s.api.Stop()
				return errors.Join(s.says(ctx, 15*time.Second, "kubernetes: "), pause(ctx, 5*time.Second), s.api.Resume(ctx))
			},
		},
		{
			name: "restarted while the API is away", required: "no route touched, no packet lost: what the node advertises is remembered",
			touches: []string{everyone}, restarts: true, says: []string{"kubernetes: "},
			inject: func(ctx context.Context, s *scene) error {
				s.api.Stop()
				return errors.Join(s.stop(syscall.SIGTERM), s.east.Launch(ctx), s.allUp(ctx), s.says(ctx, 5*time.Second, "kubernetes: "), s.api.Resume(ctx))
			},
		},
		{
			name: "what was remembered is damaged, and the API is away at the start", required: "no route to the peers touched; back when the API is",
			touches: []string{everyone}, restarts: true, back: unlimited, logs: []string{"nothing is known of the last run"},
			inject: damagedMemory,
		},
		{
			name: "the rights of the daemon are taken away for 5 s", required: "no route touched, no packet lost",
			inject: func(ctx context.Context, s *scene) error {
				const binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/underlayd"
				client := s.api.Client().CoreV1().RESTClient()
				err := client.Delete().AbsPath(binding).Do(ctx).Error()
				return errors.Join(err, pause(ctx, 5*time.Second), s.api.Install(ctx, deploy.Base()))
			},
		},
		{
			name: "the Node is deleted and made again as it was", required: "no route touched, no packet lost",
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.deleteNode(ctx), pause(ctx, 3*time.Second), s.makeNode(ctx))
			},
		},
	}
	for i := range rows {
		rows[i].prepare = kubernetes
	}
	return slices.Concat(rows, absentNodeRows(), answerRows())
}

// kubernetes has the node under test take its pod CIDRs from an API server, which goes when the lab does.
func kubernetes(ctx context.Context, s *scene) error { return s.kubernetes(ctx, s.startAPI) }

// startAPI starts the API server of the lab unless it runs, and returns where the node reaches it.
func (s *scene) startAPI(ctx context.Context) (host string, err error) {
	if s.api == nil {
		api, err := apitest.Start(ctx)
		if err != nil {
			return "", err
		}
		s.api = api
		if err := api.Install(ctx, deploy.Base()); err != nil {
			return "", err
		}
		forward, err := s.east.Forward(api.Address(), api.Address())
		if err != nil {
			return "", err
		}
		s.forward = forward
		if err := s.makeNode(ctx); err != nil {
			return "", err
		}
	}
	return "", nil
}

// kubernetes has the node ask the API where start says, empty: where it is.
func (s *scene) kubernetes(ctx context.Context, start func(context.Context) (string, error)) error {
	host, err := start(ctx)
	if err != nil {
		return err
	}
	agent, err := s.api.Agent(ctx, "east-1")
	if err != nil {
		return err
	}
	if host != "" {
		agent.Host, agent.CAData = host, nil
	}
	path, err := s.api.Kubeconfig(agent)
	if err != nil {
		return err
	}
	credentials, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("east-1", "kubeconfig"), credentials, 0o600); err != nil {
		return err
	}
	s.later(func(ctx context.Context) error { // with its own configuration again
		return errors.Join(s.api.Resume(ctx), s.restore("east-1", "config.yaml"), s.restart(ctx, syscall.SIGTERM))
	})
	err = s.edit("east-1", "config.yaml", "  podCIDRs: [10.10.1.0/24, \"fd00:10:0:1::/64\"]\n", "kubernetes: {enabled: true, kubeconfig: /etc/underlayd/kubeconfig, confirmAfter: 5s}\n")
	if err != nil {
		return err
	}
	return s.restart(ctx, syscall.SIGTERM)
}

// makeNode registers the node as a kubelet does, with its pod CIDRs; that there is one is fine.
func (s *scene) makeNode(ctx context.Context) error { return s.makeNodeOf(ctx, podCIDRs) }

// podCIDRs is what a Node says of those of the node under test.
const podCIDRs = `{"podCIDR": "10.10.1.0/24", "podCIDRs": ["10.10.1.0/24", "fd00:10:0:1::/64"]}`

// makeNodeOf registers the node with a specification.
func (s *scene) makeNodeOf(ctx context.Context, spec string) error {
	node := `{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "east-1", "labels": {"kubernetes.io/os": "linux"}}, "spec": ` + spec + "}"
	return s.api.Client().CoreV1().RESTClient().Post().AbsPath("/api/v1/nodes").SetHeader("Content-Type", "application/json").
		Body([]byte(node)).Do(ctx).Error()
}

// allUp waits until the daemon has all sessions and all routes, whatever it complains about.
func (s *scene) allUp(ctx context.Context) error {
	took, err := s.until(ctx, 15*time.Second, "all sessions", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err != nil {
			return err
		}
		for _, p := range neighbours() {
			if state := now.session(p.name).State; state != "established" {
				err = errors.Join(err, fmt.Errorf("the session with %s is %s", p.name, state))
			}
		}
		return errors.Join(err, s.traffic.alive())
	})
	s.note("all up after %s", took)
	return err
}

// damagedMemory spoils the file that a run leaves to the next.
func damagedMemory(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	s.api.Stop()
	err := s.shell(ctx, "printf x | dd of=/run/underlayd/memo.json bs=1 seek=10 conv=notrunc 2>/dev/null")
	if err := errors.Join(err, s.east.Launch(ctx), pause(ctx, 5*time.Second), s.routesAre(wanted())); err != nil {
		return err
	}
	return errors.Join(s.api.Resume(ctx), s.allUp(ctx))
}
