package bgp

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// GoBGP sets a peer's key on its listeners and only logs when the kernel refuses it: the peer is then open to
// anybody. And it leaves the key there when the peer is deleted: the same address can't come back without one. So keys
// are set here first, with every error looked at, and taken away here.

// setKey puts the key of a peer in force on the listeners, before the peer is added. An error means that the peer must
// not be added.
func (s *Speaker) setKey(p Peer) error {
	if other, clash := s.otherKey(p); clash {
		return fmt.Errorf("TCP MD5 (RFC 2385): peer %s has the same address on another link with another password, or one of the two has none: "+
			"the kernel tells keys apart by address alone", other)
	}
	if p.Password.IsZero() {
		return nil
	}
	if err := probeMD5(p); err != nil {
		return fmt.Errorf("TCP MD5 (RFC 2385): %w", hint(err))
	}
	if s.cfg.Port <= 0 {
		return nil
	}
	s.keyed[p.Address] = struct{}{} // also if only some of the listeners took it
	if err := s.eachListener(p.Address, p.Password.text); err != nil {
		return fmt.Errorf("TCP MD5 (RFC 2385): %w", hint(err))
	}
	return nil
}

// otherKey says whether a present peer has the same link-local address on another link, and another key.
func (s *Speaker) otherKey(p Peer) (name string, clash bool) {
	if p.Address.Zone() == "" {
		return "", false
	}
	for address, other := range s.peers {
		if address != p.Address && address.WithZone("") == p.Address.WithZone("") && other.Password != p.Password {
			return other.Name, true
		}
	}
	return "", false
}

// needed says whether the key of an address is that of a wanted peer, too, on another link.
func needed(address netip.Addr, want map[netip.Addr]Peer) bool {
	if address.Zone() == "" {
		return false
	}
	for a, p := range want {
		if a != address && a.WithZone("") == address.WithZone("") && p.Refused == "" && !p.Password.IsZero() {
			return true
		}
	}
	return false
}

// clearKeys takes the keys of peers that have none any more from the listeners. Established sessions have their own
// copy and keep it.
func (s *Speaker) clearKeys(want map[netip.Addr]Peer) error {
	var errs []error
	for address := range s.keyed {
		if p, ok := want[address]; ok && p.Refused == "" && !p.Password.IsZero() {
			continue
		}
		if _, exists := s.peers[address]; exists {
			continue // its deletion failed: it must not be left without a key
		}
		if needed(address, want) {
			delete(s.keyed, address)
			continue
		}
		if err := s.eachListener(address, ""); err != nil {
			errs = append(errs, fmt.Errorf("take back the password of %s: %w", address, err))
			continue
		}
		delete(s.keyed, address)
	}
	return errors.Join(errs...)
}

// eachListener sets a key on every listening socket that the peer could reach, or takes it away if it is empty.
func (s *Speaker) eachListener(peer netip.Addr, key string) error {
	listeners, err := listening(s.cfg.Port)
	if err != nil {
		return err
	}
	for _, fd := range listeners {
		err := setMD5(fd, peer, key)
		if err != nil && (key != "" || !errors.Is(err, unix.ENOENT)) {
			return fmt.Errorf("listener on port %d: %w", s.cfg.Port, err)
		}
	}
	return nil
}

// setMD5 sets the key for what comes from, and goes to, one address. A socket that can't have such a peer is left
// alone.
func setMD5(fd int, peer netip.Addr, key string) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	option := unix.TCPMD5Sig{Keylen: uint16(len(key))} // at most maxSecret
	copy(option.Key[:], key)
	option.Addr.Family = uint16(domain)
	switch {
	case domain == unix.AF_INET && peer.Is4():
		copy(option.Addr.Data[2:], peer.AsSlice()) // after the port
	case domain == unix.AF_INET6:
		if only6, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); err != nil || only6 != 0 && peer.Is4() {
			return err
		}
		address := peer.As16()
		copy(option.Addr.Data[6:], address[:]) // after the port and the flow
	default:
		return nil
	}
	return unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &option)
}

// probeMD5 tries the key on a socket like the one that would be used to connect: GoBGP says nothing but "active" of a
// peer that it can't connect to for want of MD5.
func probeMD5(p Peer) error {
	domain := unix.AF_INET
	if p.Address.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return setMD5(fd, p.Address, p.Password.text)
}

// hint says what to do about the errors that the kernel is known to give.
func hint(err error) error {
	switch {
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("the kernel has no room for another key on this socket: raise the sysctl net.core.optmem_max: %w", err)
	case errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the kernel can't do it (CONFIG_TCP_MD5SIG, FIPS mode): %w", err)
	}
	return err
}

// CheckMD5 says whether this kernel can sign connections at all, by a key that it forgets at once.
func CheckMD5() error {
	var p Peer
	p.Address, p.Password = netip.AddrFrom4([4]byte{127, 0, 0, 1}), Secret{text: "underlayd"}
	if err := probeMD5(p); err != nil {
		return fmt.Errorf("TCP MD5 (RFC 2385): %w", hint(err))
	}
	return nil
}
