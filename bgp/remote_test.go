package bgp

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"github.com/stretchr/testify/require"
)

// remote is a real GoBGP with its own address on loopback, configured as a careless neighbour: it sends
// whatever it is told to.
type remote struct {
	t      *testing.T
	server *server.BgpServer
	asn    uint32
	addr   netip.Addr
	port   int
	log    *syncBuffer
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func startRemote(t *testing.T, host string, asn uint32, s *subject) *remote {
	t.Helper()
	return startNeighbor(t, startRemoteAt(t, host, asn, freePort(t), s), true, s)
}

// startNeighbor makes the speaker under test a peer of a remote that knows graceful restart or does not.
func startNeighbor(t *testing.T, r *remote, graceful bool, s *subject) *remote {
	t.Helper()
	host := r.addr.String()
	peer := &api.Peer{
		Conf:            &api.PeerConf{NeighborAddress: speaker.String(), PeerAsn: ownASN},
		Transport:       &api.Transport{LocalAddress: host, RemotePort: uint32(s.cfg.Port), PassiveMode: true},
		AfiSafis:        []*api.AfiSafi{apiFamily(api.Family_AFI_IP, graceful), apiFamily(api.Family_AFI_IP6, graceful)},
		GracefulRestart: &api.GracefulRestart{Enabled: graceful, RestartTime: 30},
	}
	require.NoError(t, r.server.AddPeer(t.Context(), &api.AddPeerRequest{Peer: peer}))
	return r
}

// restarts makes the remote ask for its routes to be kept for so many seconds; before the first session.
func (r *remote) restarts(t *testing.T, seconds uint32) {
	t.Helper()
	var peer *api.Peer
	require.NoError(t, r.server.ListPeer(t.Context(), &api.ListPeerRequest{}, func(p *api.Peer) { peer = p }))
	peer.GracefulRestart.RestartTime = seconds
	_, err := r.server.UpdatePeer(t.Context(), &api.UpdatePeerRequest{Peer: peer})
	require.NoError(t, err)
}

// startRemoteAt starts one on a port that has no peers yet.
func startRemoteAt(t *testing.T, host string, asn uint32, port int, s *subject) *remote {
	t.Helper()
	log := &syncBuffer{}
	logger := server.LoggerOption(slog.New(slog.NewTextHandler(log, nil)), nil)
	r := &remote{t: t, log: log, server: server.NewBgpServer(logger), asn: asn, addr: netip.MustParseAddr(host), port: port}
	go r.server.Serve()
	require.NoError(t, r.server.StartBgp(t.Context(), &api.StartBgpRequest{Global: &api.Global{
		Asn: asn, RouterId: routerID(host), ListenPort: int32(r.port), ListenAddresses: []string{host}, UseMultiplePaths: true,
	}}))
	t.Cleanup(r.server.Stop)
	t.Cleanup(s.stop)
	return r
}

// routerID is the address itself, or one for its last byte.
func routerID(host string) string {
	a := netip.MustParseAddr(host)
	if a.Is4() {
		return host
	}
	raw := a.As16()
	return fmt.Sprintf("192.168.6.%d", raw[15])
}

func (r *remote) peer(name string) Peer {
	return Peer{
		Transport: Transport{
			Name: name, Address: r.addr, ASN: r.asn, Port: r.port, LocalAddress: speaker,
			HoldTime: holdTime, IPv4: true, IPv6: true,
			GracefulRestart: GracefulRestart{Enabled: true, RestartTime: 120 * time.Second},
		},
		ConnectRetry: time.Second, Deferral: 10 * time.Second,
		Import:   ranges,
		NextHop6: netip.MustParseAddr("fd00::1"),
	}
}

func (r *remote) path(prefix netip.Prefix, extra ...gobgp.PathAttributeInterface) *apiutil.Path {
	nlri, err := gobgp.NewIPAddrPrefix(prefix)
	require.NoError(r.t, err)
	p := &apiutil.Path{Family: familyOf(prefix), Nlri: nlri, Attrs: append([]gobgp.PathAttributeInterface{gobgp.NewPathAttributeOrigin(0)}, extra...)}
	if prefix.Addr().Is6() {
		mp, err := gobgp.NewPathAttributeMpReachNLRI(familyIPv6, []gobgp.PathNLRI{{NLRI: nlri}}, netip.MustParseAddr("fd00::2"))
		require.NoError(r.t, err)
		p.Attrs = append(p.Attrs, mp)
	} else {
		nh, err := gobgp.NewPathAttributeNextHop(r.addr)
		require.NoError(r.t, err)
		p.Attrs = append(p.Attrs, nh)
	}
	return p
}

func (r *remote) announce(prefix netip.Prefix, extra ...gobgp.PathAttributeInterface) {
	r.t.Helper()
	_, err := r.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{r.path(prefix, extra...)}})
	require.NoError(r.t, err)
}

func (r *remote) withdraw(prefix netip.Prefix) {
	r.t.Helper()
	require.NoError(r.t, r.server.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{r.path(prefix)}}))
}

// received returns what the remote has learned from the speaker: "prefix via next hop as path community".
func (r *remote) received() []string {
	var got []string
	for _, family := range []gobgp.Family{familyIPv4, familyIPv6} {
		err := r.server.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family},
			func(nlri gobgp.NLRI, paths []*apiutil.Path) {
				for _, p := range paths {
					if p.PeerAddress != speaker {
						continue
					}
					path := newPath(p, pathReader{})
					got = append(got, fmt.Sprintf("%s via %s as %v cluster %v", nlri, path.NextHop, path.ASPath, path.ClusterIDs))
				}
			})
		require.NoError(r.t, err)
	}
	// GoBGP reads the paths without a lock, and writes to them when the session ends. A call that takes its lock keeps
	// the two apart.
	_, err := r.server.GetBgp(r.t.Context(), &api.GetBgpRequest{})
	require.NoError(r.t, err)
	slices.Sort(got)
	return got
}
