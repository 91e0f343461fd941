// Command kubeapi runs the API server of the tests by hand. It prints the path
// of an administrator's kubeconfig and serves until it is interrupted; with
// -build it only builds Kubernetes into the cache and prints the folder of its
// programs, kubectl among them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/underlayd/underlayd/k8s/apitest"
)

func main() {
	build := flag.Bool("build", false, "build kube-apiserver, kube-controller-manager and kubectl into the cache, print their folder and exit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *build); err != nil {
		fmt.Fprintln(os.Stderr, "kubeapi:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, build bool) error {
	if build {
		path, err := apitest.Build(ctx)
		if err == nil {
			fmt.Println(path)
		}
		return err
	}
	server, err := apitest.Start(ctx)
	if err != nil {
		return err
	}
	path, err := server.Kubeconfig(server.Admin())
	if err == nil {
		fmt.Println(path)
		<-ctx.Done()
	}
	return errors.Join(err, server.Close())
}
