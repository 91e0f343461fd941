package bgp

import (
	"math"

	"github.com/osrg/gobgp/v4/api"
)

// apiPeer translates a peer into GoBGP's vocabulary.
func (s *Speaker) apiPeer(p Peer) *api.Peer {
	gr := p.GracefulRestart
	peer := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: p.Address.String(), PeerAsn: p.ASN, Description: p.Name, AuthPassword: p.Password.text,
			// GoBGP drops a path with our AS in it without withdrawing the one it replaces, which would stay. So it is let in,
			// and refused like any other that can't be used (RFC 4271, section 9.1.2).
			AllowOwnAsn:    math.MaxUint8,
			ReplacePeerAsn: p.ASOverride, RemovePrivate: removePrivate(p.RemovePrivateAS),
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			ConnectRetry:           seconds(p.ConnectRetry),
			HoldTime:               seconds(p.HoldTime),
			KeepaliveInterval:      max(1, seconds(p.HoldTime)/3),
			IdleHoldTimeAfterReset: seconds(p.ConnectRetry), // GoBGP's own is 30 s
		}},
		Transport: &api.Transport{RemotePort: uint32(p.Port), PassiveMode: p.Passive},
		GracefulRestart: &api.GracefulRestart{
			Enabled:             gr.Enabled,
			RestartTime:         uint32(seconds(gr.RestartTime)),
			DeferralTime:        uint32(seconds(p.Deferral)),
			NotificationEnabled: gr.Enabled,
			LocalRestarting:     gr.Enabled && s.restarting,
		},
	}
	if p.Client {
		peer.RouteReflector = &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: p.Reflector.String()}
	}
	if p.LocalAddress.IsValid() {
		peer.Transport.LocalAddress = p.LocalAddress.String()
	}
	switch {
	case p.Hops > 0:
		peer.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: uint32(256 - p.Hops)} // RFC 5082, section 3
	case p.Multihop > 0:
		peer.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(p.Multihop)}
	}
	if p.IPv4 {
		peer.AfiSafis = append(peer.AfiSafis, apiFamily(api.Family_AFI_IP, gr.Enabled))
	}
	if p.IPv6 {
		peer.AfiSafis = append(peer.AfiSafis, apiFamily(api.Family_AFI_IP6, gr.Enabled))
	}
	for _, family := range peer.AfiSafis {
		family.AddPaths = &api.AddPaths{Config: &api.AddPathsConfig{Receive: p.AddPaths}}
	}
	return peer
}

func removePrivate(p PrivateAS) api.RemovePrivate {
	switch p {
	case RemovePrivateAS:
		return api.RemovePrivate_REMOVE_PRIVATE_ALL
	case ReplacePrivateAS:
		return api.RemovePrivate_REMOVE_PRIVATE_REPLACE
	default:
		return api.RemovePrivate_REMOVE_PRIVATE_UNSPECIFIED
	}
}

func apiFamily(afi api.Family_Afi, graceful bool) *api.AfiSafi {
	return &api.AfiSafi{
		Config:            &api.AfiSafiConfig{Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true},
		MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: graceful}},
	}
}
