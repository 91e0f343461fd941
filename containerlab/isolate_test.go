package containerlab

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// isolateEnv makes the test binary one whose tests need a namespace; see isolated.
const isolateEnv = "LAB_TEST_ISOLATE"

const isolatedCode = 7

// surroundings are what such tests find.
type surroundings struct {
	Namespace string
	Addresses []string
	Args      []string
}

// isolated stands in for the tests of a package: it tells where it runs, and fails.
func isolated() int {
	ns, err := networkOf(os.Getpid())
	addresses, err2 := net.InterfaceAddrs()
	found := surroundings{Namespace: ns, Args: os.Args[1:]}
	for _, a := range addresses {
		found.Addresses = append(found.Addresses, a.String())
	}
	if err != nil || err2 != nil || json.NewEncoder(os.Stdout).Encode(found) != nil {
		fmt.Fprintln(os.Stderr, err, err2)
		return 1
	}
	return isolatedCode
}

func isolatedAddresses() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
}

func TestTestsInANamespaceOfTheirOwn(t *testing.T) {
	Require(t, "ip")
	here, err := networkOf(os.Getpid())
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "Some")
	cmd.Env = append(os.Environ(), isolateEnv+"=1")
	out, err := cmd.Output()
	var ended *exec.ExitError
	require.ErrorAs(t, err, &ended)
	require.Equal(t, isolatedCode, ended.ExitCode(), "what the tests end with: %s", ended.Stderr)
	require.Empty(t, ended.Stderr)
	var found surroundings
	require.NoError(t, json.Unmarshal(out, &found))
	require.NotEqual(t, here, found.Namespace)
	require.ElementsMatch(t, []string{"127.0.0.1/8", "::1/128", "192.0.2.1/32", "2001:db8::1/128"}, found.Addresses)
	require.Equal(t, []string{"-test.run", "Some"}, found.Args)
	require.Zero(t, inhabitants(found.Namespace))
}
