// Command apiserver is the upstream kube-apiserver, built from the Go module
// proxy. It lives in a module of its own so that k8s.io/kubernetes never
// enters the product's dependencies; only tests run it.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
