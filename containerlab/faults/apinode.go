package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// confirmAfter is how long pod CIDRs that vanished stay advertised (kubernetes.confirmAfter).
const confirmAfter = 5 * time.Second

// absentNodeRows are about a Node that is gone, or that has no pod CIDRs any more.
func absentNodeRows() []row {
	gone := func(name string, empty bool) row {
		return row{
			name: name, required: "named, and kept until confirmed; then nothing is advertised; no session lost, no route of others touched; back with the pod CIDRs",
			touches: []string{everyone}, back: unlimited,
			says:    []string{"kubernetes: ", "pod CIDR: no pod CIDR is advertised"},
			prepare: kubernetes,
			inject:  func(ctx context.Context, s *scene) error { return s.vanish(ctx, empty) },
		}
	}
	return []row{
		gone("the Node is deleted and stays so", false),
		gone("the Node is made again without pod CIDRs and stays so", true),
		{
			name: "the Node is made again without pod CIDRs, which it gets 2 s later", required: "no route touched, no packet lost",
			prepare: kubernetes,
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.deleteNode(ctx), s.makeNodeOf(ctx, "{}"), pause(ctx, 2*time.Second), s.assign(ctx), pause(ctx, confirmAfter))
			},
		},
	}
}

func (s *scene) deleteNode(ctx context.Context) error {
	return s.api.Client().CoreV1().RESTClient().Delete().AbsPath("/api/v1/nodes/east-1").Do(ctx).Error()
}

// assign gives the Node its pod CIDRs, as the controller manager does.
func (s *scene) assign(ctx context.Context) error {
	return s.api.Client().CoreV1().RESTClient().Patch("application/merge-patch+json").AbsPath("/api/v1/nodes/east-1").
		Body([]byte(`{"spec": ` + podCIDRs + "}")).Do(ctx).Error()
}

// vanish takes the pod CIDRs of the node away until the daemon believes it, and gives them back.
func (s *scene) vanish(ctx context.Context, empty bool) error {
	advertised := func(n int) func(context.Context) error {
		return func(ctx context.Context) error {
			now, err := s.daemon.state(ctx)
			if err == nil && len(now.Advertised) != n {
				err = fmt.Errorf("it advertises %q", now.Advertised)
			}
			return err
		}
	}
	back := s.makeNode
	err := s.deleteNode(ctx)
	if empty {
		back = s.assign
		err = errors.Join(err, s.makeNodeOf(ctx, "{}"))
	}
	if err == nil {
		err = s.says(ctx, confirmAfter-2*time.Second, "kubernetes: ")
	}
	if err == nil {
		err = s.during(ctx, confirmAfter-3*time.Second, "what it advertises", advertised(2))
	}
	if err == nil {
		var took time.Duration
		took, err = s.until(ctx, confirmAfter+3*time.Second, "it to be believed", advertised(0))
		s.note("believed %s later", took)
	}
	if err == nil {
		err = s.says(ctx, 2*time.Second, "no pod CIDR is advertised")
	}
	if err := errors.Join(err, back(ctx)); err != nil {
		return err
	}
	now, err := s.daemon.state(ctx)
	for _, p := range neighbours() {
		if err == nil && now.session(p.name).Flaps != s.before.session(p.name).Flaps {
			err = fmt.Errorf("the session with %s was lost", p.name)
		}
	}
	return err
}
