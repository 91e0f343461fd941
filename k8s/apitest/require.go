package apitest

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// New is Start for tests: it ends with the test. A test on a machine without
// etcd is skipped, but fails when CI is set in the environment.
func New(t testing.TB) *Server {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: apt-get install etcd-server", err)
		}
		t.Skipf("%v: apt-get install etcd-server", err)
	}
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
