// Command underlayd exchanges the pod routes of Kubernetes clusters over BGP and installs them in the
// kernel, on every node, with no tunnel, proxy or NAT in between.
//
// This package is the composition: it translates between the vocabularies of config, ipam, bgp, bgp/fib, k8s
// and status, none of which know each other, and its agent is the one goroutine that decides.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/underlayd/underlayd/config"
)

// Exit codes, the same for every command.
const (
	exitFailed = 1 // the command could not do what it was asked
	exitUsage  = 2 // the command line or the configuration is wrong
	exitWaited = 3 // what was waited for did not come about in time
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := newProgram(os.Args[0]).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "underlayd:", err)
		os.Exit(exitCode(err))
	}
}

// usageError marks an error as the caller's.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var wrong config.Errors
	var usage usageError
	if errors.As(err, &wrong) || errors.As(err, &usage) {
		return exitUsage
	}
	var waited notReachedError
	if errors.As(err, &waited) {
		return exitWaited
	}
	return exitFailed
}
