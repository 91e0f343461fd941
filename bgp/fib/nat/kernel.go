package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"go4.org/netipx"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp/fib/sockopt"
)

const (
	// A transaction is one message to the kernel, however large: 100,000 ranges take some 6 MiB.
	sendBuffer = 256 << 20
	// Of the answers to it there is one for each part.
	replyBuffer = 16 << 20
	watchBuffer = 16 << 20
	// A part has a length of 16 bits.
	partRanges = 512
	// Netlink answers before the request returns: whoever waits waits for something that will not come.
	replyTimeout = 10 * time.Second
)

// kernel is the netlink side. It stays in the network namespace of the thread that opened it. Not for concurrent use.
type kernel struct {
	shape *shape
	conn  *nftables.Conn
	raw   *netlink.Conn
	port  uint32
}

func openKernel(table string) (*kernel, error) {
	k := &kernel{shape: newShape(table)}
	var err error
	k.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(k.prepare))
	if err != nil {
		return nil, explain(fmt.Errorf("open netlink socket: %w", plain(err)))
	}
	if _, _, err = k.table(); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

// prepare makes room for large transactions, if we may, and notes the port by which the kernel calls what we do.
func (k *kernel) prepare(conn *netlink.Conn) error {
	k.raw = conn
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		sockopt.SendBuffer(int(fd), sendBuffer)
		sockopt.ReceiveBuffer(int(fd), replyBuffer)
		// An answer need not repeat what was asked.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
		var name unix.Sockaddr
		name, failed = unix.Getsockname(int(fd))
		if name, ok := name.(*unix.SockaddrNetlink); ok {
			k.port = name.Pid
		}
		failed = errors.Join(failed, readLargely(int(fd)))
	})
	return errors.Join(err, failed)
}

// readLargely has the kernel answer in pieces as large as it makes them, by reading one answer into as large a buffer: it
// goes through a set from its beginning for each piece of a dump, and the library reads into small ones.
func readLargely(fd int) error {
	noop := make([]byte, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint32(noop, uint32(len(noop)))
	binary.NativeEndian.PutUint16(noop[4:], unix.NLMSG_NOOP)
	binary.NativeEndian.PutUint16(noop[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	if err := unix.Sendto(fd, noop, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask for nothing: %w", err)
	}
	// The answer is there already.
	if _, _, err := unix.Recvfrom(fd, make([]byte, 64<<10), 0); err != nil {
		return fmt.Errorf("read no answer: %w", err)
	}
	return nil
}

func (k *kernel) close() error {
	if err := k.conn.CloseLasting(); err != nil {
		return fmt.Errorf("close netlink socket: %w", err)
	}
	return nil
}

// talk is a conversation: with a limit, and leaving no answer behind for the next one.
func (k *kernel) talk(f func() error) error {
	err := k.raw.SetReadDeadline(time.Now().Add(replyTimeout))
	if err == nil {
		err = f()
	}
	if err != nil {
		k.drain()
	}
	return err
}

func (k *kernel) drain() {
	raw, err := k.raw.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 1<<16)
	_ = raw.Control(func(fd uintptr) {
		for {
			_, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
				return
			}
		}
	})
}

// rebuild replaces whatever there is by a new table: a packet meets the one or the other.
func (k *kernel) rebuild(there bool, c *contents) error {
	err := k.commit(func() error {
		if there {
			k.conn.DelTable(k.shape.table)
		}
		k.conn.AddTable(k.shape.table)
		chains, sets := k.shape.of(c.sets())
		for i, set := range sets {
			if err := k.conn.AddSet(set, nil); err != nil {
				return err
			}
			if err := inParts(c[i], set, k.conn.SetAddElements); err != nil {
				return err
			}
		}
		for _, chain := range chains {
			k.conn.AddChain(chain)
			for _, r := range k.shape.rules(chain) {
				k.conn.AddRule(r)
			}
		}
		return nil
	})
	if !there {
		return explain(err)
	}
	return err
}

// update changes what is in the sets, which are the same.
func (k *kernel) update(old, new *contents) error {
	return k.commit(func() error {
		_, sets := k.shape.of(new.sets())
		for i, set := range sets {
			gone, added := difference(old[i], new[i])
			named := *set
			named.ID = 0 // it is there already and goes by its name
			// What is gone first: the new ranges may overlap with them.
			if err := inParts(gone, &named, k.conn.SetDeleteElements); err != nil {
				return err
			}
			if err := inParts(added, &named, k.conn.SetAddElements); err != nil {
				return err
			}
		}
		return nil
	})
}

// inParts makes messages of a size that they can have.
func inParts(all []netipx.IPRange, set *nftables.Set, add func(*nftables.Set, []nftables.SetElement) error) error {
	for len(all) > 0 {
		n := min(len(all), partRanges)
		if err := add(set, elements(all[:n])); err != nil {
			return fmt.Errorf("set %s: %w", set.Name, err)
		}
		all = all[n:]
	}
	return nil
}

// remove deletes the table; absent is fine.
func (k *kernel) remove() error {
	err := k.commit(func() error {
		k.conn.DelTable(k.shape.table)
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// commit sends what f asks for as one transaction.
func (k *kernel) commit(f func() error) error {
	err := k.talk(func() error {
		return errors.Join(f(), k.conn.Flush())
	})
	if err != nil {
		return fmt.Errorf("write table %s: %w", k.shape.table.Name, plain(err))
	}
	return nil
}

// plain is the kernel's word for an error, or the first of several: the library has one for each part of a transaction.
func plain(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// ErrUnsupported is the cause of what fails for want of something in the kernel.
var ErrUnsupported = errors.New("this kernel has no NAT by nftables for both address families (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_CT; Linux 5.2)")

// explain tells what the kernel lacks, of an error that is about nothing that could be missing but a part of it.
func explain(err error) error {
	for _, lacks := range []syscall.Errno{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT} {
		if errors.Is(err, lacks) {
			return fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
	}
	return err
}
