// Command tour is what a newcomer sees, from an empty API server to an empty one: two clusters are installed with the
// commands of docs/install.md, their Nodes say what they can reach, their pods reach each other, and the removal leaves
// nothing. API servers, controllers, kubectl and kernels are real; the nodes are network namespaces, and what would be
// kubelets runs the DaemonSets' Pods in them as processes. It needs root, FRR and etcd and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
)

func main() {
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *root)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ntour:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it as root")
	}
	s := &stage{Narrator: containerlab.Narrator{Out: os.Stdout}, began: time.Now(), prints: map[string]string{}}
	if s.root, err = filepath.Abs(root); err != nil {
		return err
	}
	s.daemon = filepath.Join(s.root, "bin", "underlayd")
	if s.kubectl, err = apitest.Kubectl(ctx); err != nil {
		return err
	}
	folder, janitor, err := containerlab.Scratch("tour-")
	if err != nil {
		return err
	}
	defer janitor.Close()
	s.folder = folder
	if err := s.play(ctx); err != nil {
		if s.lab != nil {
			err = errors.Join(err, s.lab.WriteLogs(os.Stderr))
		}
		return errors.Join(err, s.problems(), s.close())
	}
	return s.close()
}
