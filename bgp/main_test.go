package bgp

import (
	"net/netip"
	"os"
	"testing"

	"github.com/underlayd/underlayd/containerlab"
)

// TestMain runs the tests in a network namespace of their own, so that BGP speakers can have real addresses (next
// hops in 127.0.0.0/8 are refused by every speaker).
func TestMain(m *testing.M) {
	os.Exit(containerlab.InNamespace(m.Run,
		netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.168.0.2"), netip.MustParseAddr("192.168.0.3"),
		netip.MustParseAddr("192.168.0.4"), netip.MustParseAddr("192.168.0.5"), netip.MustParseAddr("192.168.0.6"),
		netip.MustParseAddr("192.168.0.7"),
		netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")))
}
