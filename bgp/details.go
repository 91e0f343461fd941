package bgp

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"golang.org/x/sys/unix"
)

// Details are what GoBGP and the kernel know of an established session, for a person's question.
type Details struct {
	Counters
	IPv4, IPv6              FamilyCounters
	HoldTime, Keepalive     time.Duration // agreed; 0: none
	MessagesIn, MessagesOut uint64        // all of them, since GoBGP knows the peer
	UpdatesIn, UpdatesOut   uint64
	// LastHeard is when the last bytes came from the peer; zero if that is not known, or was not asked for.
	LastHeard time.Time
	// LocalAddress is our end of the connection, as the kernel has it; invalid likewise.
	LocalAddress netip.Addr
}

// FamilyCounters are prefix counts of one family.
type FamilyCounters struct{ Received, Advertised int }

// Details asks GoBGP for all sessions. With all, advertised prefixes are counted, for which GoBGP walks its whole table
// unless they are known from last time, and the connections are looked at.
func (s *Speaker) Details(ctx context.Context, all bool) (map[netip.Addr]Details, error) {
	details, stamp := map[netip.Addr]Details{}, s.table.counts.now()
	known, fresh := s.table.counts.at(stamp)
	err := s.look(ctx, "list peers", func(ctx context.Context) error {
		return s.server.ListPeer(ctx, &api.ListPeerRequest{EnableAdvertised: all && !fresh}, func(p *api.Peer) {
			if address, err := netip.ParseAddr(p.GetState().GetNeighborAddress()); err == nil {
				details[address] = newDetails(p)
			}
		})
	})
	if err != nil {
		return nil, err // the map may still be written to
	}
	if all {
		if fresh {
			recall(known, details)
		} else {
			s.table.counts.keep(stamp, details)
		}
		s.hearAll(details)
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	for address, d := range details {
		if session := s.table.sessions[address]; session != nil {
			d.Known = session.paths + session.spares
			details[address] = d
		}
	}
	return details, nil
}

func newDetails(p *api.Peer) Details {
	timers, messages := p.GetTimers().GetState(), p.GetState().GetMessages()
	d := Details{
		HoldTime: time.Duration(timers.GetNegotiatedHoldTime()) * time.Second, Keepalive: time.Duration(timers.GetKeepaliveInterval()) * time.Second,
		MessagesIn: messages.GetReceived().GetTotal(), MessagesOut: messages.GetSent().GetTotal(),
		UpdatesIn: messages.GetReceived().GetUpdate(), UpdatesOut: messages.GetSent().GetUpdate(),
	}
	for _, family := range p.GetAfiSafis() {
		state := family.GetState()
		d.Received += int(state.GetReceived())
		d.Rejected += int(state.GetReceived()) - int(state.GetAccepted())
		d.Advertised += int(state.GetAdvertised())
		of := &d.IPv4
		if family.GetConfig().GetFamily().GetAfi() == api.Family_AFI_IP6 {
			of = &d.IPv6
		}
		of.Received, of.Advertised = int(state.GetReceived()), int(state.GetAdvertised())
	}
	return d
}

// hearAll adds when each peer was heard last, as the kernel has it: GoBGP does not keep that.
func (s *Speaker) hearAll(details map[netip.Addr]Details) {
	found, err := connections()
	if err != nil {
		return // it is not known
	}
	now := time.Now()
	for _, l := range s.table.live() {
		connection, ok := found[l.ends]
		d, known := details[l.peer]
		if !ok || !known {
			continue
		}
		_ = connection.onCopy(func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err == nil {
				d.LastHeard = now.Add(-time.Duration(info.Last_data_recv) * time.Millisecond)
				if local, err := unix.Getsockname(fd); err == nil {
					d.LocalAddress = addrPort(local).Addr()
				}
				details[l.peer] = d
			}
			return err
		})
	}
}
