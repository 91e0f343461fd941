// Command hyperkube is the upstream kube-apiserver, kube-controller-manager and
// kubectl in one program, as Kubernetes once shipped them, built from the Go
// module proxy: it is whichever its own name says. It lives in a module of its own
// so that k8s.io/kubernetes never enters the product's dependencies; only tests
// and demonstrations run it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	var command *cobra.Command
	switch name := filepath.Base(os.Args[0]); name {
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllers.NewControllerManagerCommand()
	case "kubectl":
		// As kubectl's own main does: it says what went wrong in its own way.
		util.CheckErr(cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()))
		return
	default:
		fmt.Fprintf(os.Stderr, "hyperkube: there is no %s in here\n", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}
