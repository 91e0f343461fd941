package scenario

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPodsReachEachOtherWithTheirOwnAddresses(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	pods := map[string][2]string{
		"pod-east-1": {"10.10.1.10", "fd00:10:0:1::10"}, "pod-east-2": {"10.10.2.10", "fd00:10:0:2::10"},
		"pod-west-1": {"10.20.1.10", "fd00:20:0:1::10"}, "pod-west-2": {"10.20.2.10", "fd00:20:0:2::10"},
	}
	for pod := range pods {
		listen(t, c.Node(pod))
	}
	for from, own := range pods {
		for to, other := range pods {
			if from[:8] == to[:8] { // routes inside a cluster are its CNI's affair
				continue
			}
			for i := range own {
				for _, network := range []string{"udp", "tcp"} {
					require.Equal(t, own[i], seenAs(t, c.Node(from), network, other[i]), "%s to %s, %s", from, to, network)
				}
			}
		}
	}
}
