package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// secured returns one speaker of each daemon that connects and one that waits to be connected to, over either protocol,
// all with passwords; one whose password is another than the node's; one without; and one that sends too much.
func secured() (good []speaker, wrong, bare, many speaker) {
	i := 0
	for _, s := range speakers() {
		if !s.GTSM {
			continue
		}
		s.Password = "Fabr1c-" + s.Name
		s.Dials, s.Silent = i%2 == 0, i%2 == 1
		good = append(good, s)
		i++
	}
	extra := func(name, daemon string) speaker {
		n := 40 + i
		i++
		s := speaker{Name: name, Daemon: daemon, Number: n, ASN: 65000 + n, GTSM: true, Peer: node4}
		s.IPv4, s.IPv6 = fmt.Sprintf("192.168.50.%d", n), fmt.Sprintf("fd00:fab:50::%d", n)
		s.Address = s.IPv4
		return s
	}
	wrong, bare, many = extra("wrong", "bird"), extra("bare", "bird"), extra("many", "frr")
	wrong.Password, many.MaxPrefixes = "not-Fabr1c", 10 // of the 12 of IPv4 that each announces
	return good, wrong, bare, many
}

func TestPasswordsAndLimits(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "bird", "birdc", "gobgpd", "gobgp", "ip", "go")
	good, wrong, bare, many := secured()
	lab, config := lan(t, slices.Concat(good, []speaker{wrong, bare, many}))
	n, fine := lab.Node("node"), slices.Concat(good, []speaker{bare})
	file := func(s speaker) string { return filepath.Join(filepath.Dir(config), s.Name+".key") }
	give := func(s speaker, key string) { require.NoError(t, os.WriteFile(file(s), []byte(key), 0o600)) }
	up := func(s state) error { return errors.Join(connected(s, fine)...) }

	step(t, "whoever has the node's password comes up, whoever connects", func(t *testing.T) { is(t, n, "connected", up) })
	step(t, "whoever has another does not", func(t *testing.T) {
		is(t, n, "refusing it", says("peer wrong", "not established"))
	})
	step(t, "whoever sends too much is parked and told why", func(t *testing.T) {
		is(t, n, "parking it", says("peer many", "parked until", "ipv4 prefixes, at most 10 may be sent"))
		var neighbors map[string]struct{ LastNotificationReason string }
		require.NoError(t, vtysh(t.Context(), lab.Node("many"), &neighbors, "show bgp neighbors"))
		require.Contains(t, neighbors[node4].LastNotificationReason, "Maximum Number of Prefixes Reached")
		routes, err := kernelRoutes(t.Context(), n)
		require.NoError(t, err)
		require.NotContains(t, strings.Join(routes, " "), many.IPv4, "nothing of it is left in the kernel")
	})
	step(t, "another limit lets it in at once", func(t *testing.T) {
		text, err := os.ReadFile(config)
		require.NoError(t, err)
		changed := strings.Replace(string(text), "maxPrefixes: 10", "maxPrefixes: 100", 1)
		require.NoError(t, os.WriteFile(config, []byte(changed), 0o644))
		is(t, n, "connected with it", func(s state) error {
			i := slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == "many" })
			if s.Sessions[i].State != "established" {
				return errors.New("not yet")
			}
			return up(s)
		})
	})
	step(t, "a password that becomes right is enough", func(t *testing.T) {
		give(wrong, wrong.Password)
		is(t, n, "connected with it", func(s state) error { return errors.Join(up(s), errors.Join(connected(s, []speaker{wrong})...)) })
	})
	step(t, "a file that is gone or wrong changes nothing but what the daemon says", func(t *testing.T) {
		give(good[0], "")
		is(t, n, "saying so", says("peer "+good[0].Name, "is empty", "stays in force"))
		require.NoError(t, os.Remove(file(good[1])))
		is(t, n, "saying so", says("peer "+good[1].Name, "no such file", "stays in force"))
		require.NoError(t, up(stateOf(t, n)))
	})
	step(t, "a new password resets its session alone", func(t *testing.T) {
		give(good[0], "another")
		is(t, n, "without it", says("peer "+good[0].Name, "not established"))
		fine = slices.DeleteFunc(fine, func(s speaker) bool { return s.Name == good[0].Name })
		require.NoError(t, up(stateOf(t, n)))
		output(t, lab.Node(good[0].Name), "vtysh", "-c", "configure terminal", "-c", fmt.Sprintf("router bgp %d", good[0].ASN),
			"-c", "neighbor "+good[0].Peer+" password another")
		is(t, n, "connected with it", func(s state) error {
			i := slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == good[0].Name })
			if s.Sessions[i].State != "established" {
				return errors.New("not yet")
			}
			return up(s)
		})
	})
	step(t, "nothing tells a password", func(t *testing.T) {
		text := output(t, n, "underlayd", "config", "print") + output(t, n, "underlayd", "status", "-o", "json") + output(t, n, "bash", "-c", "underlayd bundle -f - | tar -xzO")
		require.Contains(t, text, "passwordFile: ", "what the files are called is told")
		log, err := os.ReadFile(n.Process("underlayd").LogPath())
		require.NoError(t, err)
		require.NotContains(t, text+string(log), "Fabr1c-")
		require.NotContains(t, text+string(log), "another\n")
	})
}
