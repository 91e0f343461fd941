package scenario

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheHostIsLookedAfterAndNeverChanged turns off what routes need to be of use, and on again.
func TestTheHostIsLookedAfterAndNeverChanged(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	n := c.Node("east-1")
	c.settled(t)
	for _, s := range []struct{ name, sound, off string }{
		{"net.ipv4.ip_forward", "1", "0"},
		{"net.ipv6.conf.all.forwarding", "1", "0"},
		{"net.ipv4.conf.eth1.forwarding", "1", "0"},
	} {
		step(t, s.name, func(t *testing.T) {
			output(t, n, "sysctl", "-qw", s.name+"="+s.off)
			is(t, n, "complaining", says("host, "+s.name, s.name+" is "+s.off, "sysctl -w "+s.name+"="+s.sound))
			require.Equal(t, s.off, strings.TrimSpace(output(t, n, "sysctl", "-n", s.name)), "we do not mend what is not ours")
			output(t, n, "sysctl", "-qw", s.name+"="+s.sound)
			is(t, n, "content", func(now state) error {
				if why := now.blames("host, " + s.name); why != "" {
					return errors.New(why)
				}
				return nil
			})
		})
	}
	has(t, n, want("east-1"))
}

func TestWhoKeepsDeletingARouteIsNamed(t *testing.T) {
	t.Parallel()
	n := twoClusters(t).Node("east-1")
	output(t, n, "sh", "-c", `for i in 1 2 3 4 5 6; do
		until ip -o route show 10.20.1.0/24 | grep -q nhid; do sleep 0.02; done
		ip route del 10.20.1.0/24 proto 200 || exit
	done`)
	is(t, n, "naming somebody", says("kernel", "10.20.1.0/24", "another program keeps removing or changing the route", ", by "))
	t.Log(stateOf(t, n).blames("kernel"))
}
