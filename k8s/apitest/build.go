package apitest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Version is the Kubernetes release the tests run against; it matches the
// requirement in hyperkube/go.mod (a test compares them).
const Version = "v1.36.3"

const modulePath = "github.com/underlayd/underlayd"

// Programs are what Build makes, each a link to one binary (module hyperkube).
func Programs() []string { return []string{"kube-apiserver", "kube-controller-manager", "kubectl"} }

// Build returns the folder with the Programs, building them first when the cache
// holds none for this Go toolchain and these module files. A cold build takes
// minutes; a file lock makes concurrent callers, in any process, wait for one
// build instead of starting their own. It must run inside the repository.
func Build(ctx context.Context) (string, error) {
	source, err := sourceDir(ctx)
	if err != nil {
		return "", err
	}
	key, err := cacheKey(source)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kubernetes cache: %w", err)
	}
	dir := filepath.Join(cache, "underlayd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("kubernetes cache: %w", err)
	}
	folder := filepath.Join(dir, "kubernetes-"+Version+"-"+key)
	unlock, err := lock(ctx, filepath.Join(dir, "kubernetes.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	// One name for the unfinished folder: a killed build is overwritten by the
	// next, never collected.
	unfinished := filepath.Join(dir, "kubernetes.unfinished")
	if err := os.RemoveAll(unfinished); err != nil {
		return "", fmt.Errorf("kubernetes cache: %w", err)
	}
	if err := compile(ctx, source, filepath.Join(unfinished, "hyperkube")); err != nil {
		return "", err
	}
	for _, name := range Programs() {
		if err := os.Symlink("hyperkube", filepath.Join(unfinished, name)); err != nil {
			return "", fmt.Errorf("kubernetes cache: %w", err)
		}
	}
	if err := os.Rename(unfinished, folder); err != nil {
		return "", fmt.Errorf("kubernetes cache: %w", err)
	}
	return folder, nil
}

// Kubectl returns the path of kubectl, of the same release as the API server.
func Kubectl(ctx context.Context) (string, error) {
	folder, err := Build(ctx)
	return filepath.Join(folder, "kubectl"), err
}

// sourceDir asks the go command, not the call stack: -trimpath removes paths.
func sourceDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", modulePath).Output()
	if err != nil {
		return "", fmt.Errorf("find the repository of %s: %w", modulePath, withStderr(err))
	}
	return filepath.Join(strings.TrimSpace(string(out)), "k8s", "apitest", "hyperkube"), nil
}

func cacheKey(source string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("kubernetes module: %w", err)
		}
		fmt.Fprintln(sum, name, len(data))
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// lock takes an exclusive flock, which the kernel releases when the process
// ends, however it ends.
func lock(ctx context.Context, path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("kubernetes build lock: %w", err)
	}
	locked := make(chan error, 1)
	go func() {
		for {
			err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
			if !errors.Is(err, syscall.EINTR) {
				locked <- err
				return
			}
		}
	}()
	select {
	case err = <-locked:
	case <-ctx.Done():
		// The waiting goroutine ends with the lock's present holder.
		go func() { <-locked; file.Close() }()
		return nil, fmt.Errorf("kubernetes build lock: %w", ctx.Err())
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("kubernetes build lock: %w", err)
	}
	return func() { file.Close() }, nil
}

func compile(ctx context.Context, source, target string) error {
	const stamp = "k8s.io/component-base/version."
	numbers := strings.Split(strings.TrimPrefix(Version, "v"), ".")
	flags := fmt.Sprintf("-s -w -X %sgitVersion=%s -X %sgitMajor=%s -X %sgitMinor=%s",
		stamp, Version, stamp, numbers[0], stamp, numbers[1])
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
		"-ldflags", flags, "-o", target, ".")
	cmd.Dir = source
	// GOWORK and GOFLAGS of the caller's module do not apply to this one.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build Kubernetes %s: %w\n%s", Version, err, bytes.TrimSpace(out))
	}
	return nil
}

func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
