package bfd

import (
	"os"
	"testing"

	"github.com/underlayd/underlayd/containerlab"
)

// TestMain runs the tests in a network namespace of their own: they listen on ports that a BFD daemon of this machine may
// have. An end of the load test is in a node of a lab already.
func TestMain(m *testing.M) {
	if end := os.Getenv(endOf); end != "" {
		os.Exit(runEnd(end))
	}
	os.Exit(containerlab.InNamespace(m.Run))
}
