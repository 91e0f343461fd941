package containerlab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Program runs a program of this folder: it reads the command line, works until it is done or somebody interrupts it, and
// returns the exit code. What went wrong is said on standard error.
func Program[Options any](name string, parse func([]string) (Options, error), run func(context.Context, Options) error) int {
	o, err := parse(os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	return 0
}

// Scratch makes a folder that goes when this process ends, however it ends: a shell reads from a pipe whose other end lives as
// long as the process, and the returned file.
func Scratch(pattern string) (folder string, janitor *os.File, err error) {
	if folder, err = os.MkdirTemp("", pattern); err != nil {
		return "", nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	defer read.Close()
	shell := exec.Command("sh", "-c", `trap "" HUP INT TERM; read -r _; rm -rf -- "$0"`, folder)
	shell.Stdin = read
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return folder, write, shell.Start()
}
