package nat

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// TestWhoMasquerades: in chains of their own, however they are reached, and not what only serves services or is ours.
func TestWhoMasquerades(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "iptables-nft", "nft")
	w := newWorld(t)
	found := func() (all []string) {
		do(t, w.node, func() (err error) {
			all, err = Masquerades()
			return err
		})
		return all
	}
	require.Empty(t, found())
	x := w.open(t, Config{})
	require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
	w.sh(t, w.node, `
		iptables-nft -t nat -N KUBE-POSTROUTING
		iptables-nft -t nat -A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
		iptables-nft -t nat -A POSTROUTING -j KUBE-POSTROUTING`)
	require.Empty(t, found(), "what is ours, and kube-proxy's")
	w.sh(t, w.node, `
		iptables-nft -t nat -N CNI; iptables-nft -t nat -A CNI -s 10.10.0.0/16 ! -d 10.10.0.0/16 -j MASQUERADE
		iptables-nft -t nat -A POSTROUTING -j CNI
		nft 'table inet plugin { chain post { type nat hook postrouting priority srcnat; meta nfproto ipv6 masquerade; }; chain unused { meta nfproto ipv6 masquerade; }; }'`)
	require.ElementsMatch(t, []string{"ip nat CNI", "inet plugin post"}, found())
}
