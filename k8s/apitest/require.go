package apitest

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// Require skips a test on a machine without etcd, and fails it when CI is set in
// the environment.
func Require(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: apt-get install etcd-server", err)
		}
		t.Skipf("%v: apt-get install etcd-server", err)
	}
}

// New is Require and Start; the Server ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	Require(t)
	s, err := Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
