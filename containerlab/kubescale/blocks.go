package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
)

const affinities = "/apis/crd.projectcalico.org/v1/blockaffinities"

// installBlocks has the API serve Calico's block affinities.
func (s *scale) installBlocks(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(s.calico, "blockaffinities.yaml"))
	if err != nil {
		return err
	}
	definition := string(text)
	if s.selectable {
		const after = "    storage: true\n"
		if !strings.Contains(definition, after) {
			return fmt.Errorf("%s: there is no line %q to put selectableFields after", s.calico, after)
		}
		definition = strings.Replace(definition, after, after+"    selectableFields: [{jsonPath: .spec.node}]\n", 1)
	}
	objects, err := apitest.Objects([]byte(definition))
	if err != nil {
		return err
	}
	if err := s.api.Apply(ctx, objects, false); err != nil {
		return err
	}
	// So long the API server does not serve it.
	return containerlab.Until(ctx, "block affinities", func(ctx context.Context) error { return s.putBlock(ctx, 0, 0) })
}

// putBlock makes a confirmed affinity: that many of a Node are /26s of its pod network. Node 0 does not exist.
func (s *scale) putBlock(ctx context.Context, node, number int) error {
	cidr := fmt.Sprintf("%s.%d/26", podNetwork(node), number*64)
	name := nodeName(node) + "-" + strings.NewReplacer(".", "-", "/", "-").Replace(cidr)
	body := fmt.Sprintf(`{"apiVersion": "crd.projectcalico.org/v1", "kind": "BlockAffinity", "metadata": {"name": %q}, `+
		`"spec": {"node": %q, "cidr": %q, "state": "confirmed", "deleted": "false", "type": "host"}}`, name, nodeName(node), cidr)
	return s.api.Client().CoreV1().RESTClient().Post().AbsPath(affinities).SetHeader("Content-Type", "application/json").
		Body([]byte(body)).Do(ctx).Error()
}

// putBlocks makes the affinities of Nodes from one number to another.
func (s *scale) putBlocks(ctx context.Context, from, to int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for node := from; node <= to; node++ {
		group.Go(func() error {
			for i := range s.blocks {
				if err := s.putBlock(ctx, node, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// stirring changes a block affinity that is no agent's, again and again, as the nodes of a cluster claim and release blocks
// when they fill up or empty.
type stirring struct {
	stop context.CancelFunc
	wait sync.WaitGroup
}

// claims is how often each node is taken to claim or release a block.
const claims = 20 * time.Minute

func (s *scale) stir(nodes int) {
	if s.stirring != nil {
		s.stirring.close()
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stirring = &stirring{stop: stop}
	path := affinities + "/east-0-" + strings.ReplaceAll(podNetwork(0), ".", "-") + "-0-26"
	s.stirring.wait.Go(func() {
		tick := time.NewTicker(claims / time.Duration(nodes))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			state := [...]string{"pending", "confirmed"}[i%2]
			_ = s.api.Client().CoreV1().RESTClient().Patch("application/merge-patch+json").AbsPath(path). // fails while the API is away
															Body([]byte(`{"spec": {"state": "` + state + `"}}`)).Do(ctx).Error()
		}
	})
}

func (s *stirring) close() {
	s.stop()
	s.wait.Wait()
}
