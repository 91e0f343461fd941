package bgp

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// PathSet is the paths of a prefix. It is immutable, and shared: prefixes with the same paths have the same set, so
// that 100,000 prefixes of 4,000 nodes have 4,000 sets. The nil set is empty.
type PathSet struct {
	paths []Path // sorted by peer and ID
	key   string // under which the table keeps it; empty for a set of somebody's own
	users int    // prefixes in the table that have it; guarded by the table's mutex
}

// NewPathSet makes a set that is not shared. The caller must not touch paths again.
func NewPathSet(paths []Path) *PathSet {
	if len(paths) == 0 {
		return nil
	}
	return &PathSet{paths: paths}
}

// All returns the paths of the set. Nobody may write to them.
func (s *PathSet) All() []Path {
	if s == nil {
		return nil
	}
	return s.paths
}

// from returns the index of a peer's path, -1 if there is none. The id is that of the path among the peer's.
func (s *PathSet) from(peer netip.Addr, id uint32) int {
	for i := range s.All() {
		if s.paths[i].Peer == peer && s.paths[i].ID == id {
			return i
		}
	}
	return -1
}

// Len is the number of paths.
func (s *PathSet) Len() int { return len(s.All()) }

// pathSets finds the set of given paths, or makes it.
type pathSets struct {
	sets    map[string]*PathSet
	scratch []byte
}

// intern returns the set of the paths, which it sorts, with one more user. It keeps none of the slices it is given.
func (p *pathSets) intern(paths []Path) *PathSet {
	if len(paths) == 0 {
		return nil
	}
	slices.SortStableFunc(paths, func(a, b Path) int { return cmp.Or(a.Peer.Compare(b.Peer), cmp.Compare(a.ID, b.ID)) })
	p.scratch = p.scratch[:0]
	for i := range paths {
		p.scratch = paths[i].appendKey(p.scratch)
	}
	s := p.sets[string(p.scratch)]
	if s == nil {
		s = &PathSet{paths: make([]Path, len(paths)), key: string(p.scratch)}
		for i, path := range paths {
			path.ASPath, path.ClusterIDs = slices.Clone(path.ASPath), slices.Clone(path.ClusterIDs)
			s.paths[i] = path
		}
		p.sets[s.key] = s
	}
	s.users++
	return s
}

// release takes one user away. A set without users is forgotten here; who still has it may keep it.
func (p *pathSets) release(s *PathSet) {
	if s == nil {
		return
	}
	if s.users--; s.users == 0 {
		delete(p.sets, s.key)
	}
}

// appendKey appends all that makes a path what it is.
func (p *Path) appendKey(b []byte) []byte {
	b = appendAddr(appendAddr(b, p.Peer), p.NextHop)
	b = binary.NativeEndian.AppendUint32(b, p.ID)
	b = binary.NativeEndian.AppendUint32(b, p.LocalPref)
	b = binary.NativeEndian.AppendUint32(b, p.MED)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(p.ASPath)))
	for _, asn := range p.ASPath {
		b = binary.NativeEndian.AppendUint32(b, asn)
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(len(p.ClusterIDs)))
	for _, id := range p.ClusterIDs {
		b = binary.NativeEndian.AppendUint32(b, id)
	}
	flags := byte(0)
	if p.Stale {
		flags |= 1
	}
	if p.Blackhole {
		flags |= 2
	}
	if p.ClusterLoop {
		flags |= 4
	}
	if p.NotForUs {
		flags |= 8
	}
	if p.OurGateway {
		flags |= 16
	}
	if p.Probe.Known {
		flags |= 32
		b = binary.NativeEndian.AppendUint32(b, p.Probe.Value)
	}
	return append(b, flags)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	bytes := a.As16()
	b = append(append(b, byte(a.BitLen())), bytes[:]...)
	return append(append(b, a.Zone()...), 0)
}
