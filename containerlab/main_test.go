package containerlab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// ownerEnv makes the test binary the owner of a lab that TestAKilledOwner kills.
const ownerEnv = "LAB_TEST_OWNER"

func TestMain(m *testing.M) {
	if path := os.Getenv(ownerEnv); path != "" {
		if err := own(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(isolateEnv) != "" {
		os.Exit(InNamespace(isolated, isolatedAddresses()...))
	}
	goleak.VerifyTestMain(m)
}

// ownership is what the owner tells the test.
type ownership struct {
	Folder     string
	Namespaces []string
}

// own brings a lab up, says so, and lives until it is killed.
func own(path string) error {
	topology, err := Load(path)
	if err != nil {
		return err
	}
	lab, err := topology.Up(context.Background(), Options{})
	if err != nil {
		return err
	}
	told := ownership{Folder: lab.Folder()}
	for _, n := range lab.Nodes() {
		ns, err := networkOf(n.PID())
		if err != nil {
			return err
		}
		told.Namespaces = append(told.Namespaces, ns)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		return err
	}
	_, err = os.Stdin.Read(make([]byte, 1))
	return err
}

// networkOf names the network namespace of a process.
func networkOf(pid int) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
}

// inhabitants counts the processes in a network namespace. A namespace without any is gone: the package keeps none
// alive by other means.
func inhabitants(namespace string) int {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	count := 0
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil && ns == namespace {
			count++
		}
	}
	return count
}
