package fib

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	batchMessages = 512
	batchBytes    = 56 << 10
	lookupBatch   = 128
)

// netlinkKernel is Linux. All its sockets are opened at once and stay in one namespace.
type netlinkKernel struct {
	cmd     *socket
	mon     *monitor
	addrs   addressList
	witness *witness
	handle  *netlink.Handle
	survey  survey
	table   uint32
	proto   uint32
	objects bool
}

// openNetlink opens the sockets in the calling thread's network namespace.
func openNetlink(table, proto int) (*netlinkKernel, error) {
	runtime.LockOSThread() // all sockets in one namespace, even if the caller did not pin the thread
	defer runtime.UnlockOSThread()
	cmd, err := newSocket()
	if err != nil {
		return nil, err
	}
	mon, err := newMonitor(uint32(table), cmd.port)
	if err != nil {
		return nil, errors.Join(err, cmd.close())
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink handle: %w", err), cmd.close(), mon.close())
	}
	look, err := newSocket()
	if err != nil {
		handle.Close()
		return nil, errors.Join(err, cmd.close(), mon.close())
	}
	return &netlinkKernel{
		cmd: cmd, mon: mon, handle: handle, survey: survey{socket: look}, witness: newWitness(),
		table: uint32(table), proto: uint32(proto),
	}, nil
}

func (k *netlinkKernel) close() error {
	k.handle.Close()
	k.witness.close()
	return errors.Join(k.cmd.close(), k.mon.close(), k.survey.close())
}

// probe finds out by trying whether the kernel has next-hop objects and lets us write.
func (k *netlinkKernel) probe(ctx context.Context) (bool, error) {
	enc := &k.cmd.enc
	seq := k.cmd.nextSeq()
	start := enc.begin(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, seq)
	enc.nextHopHeader(unix.AF_INET, uint8(k.proto))
	enc.u32(unix.NHA_ID, lastID)
	enc.shut(enc.open(unix.NHA_BLACKHOLE))
	enc.end(start)
	err := k.acknowledged(seq)
	switch {
	case err == nil:
		del := []request{{op: opDeleteNextHop, id: lastID}}
		if err := k.apply(ctx, del); err != nil {
			return false, err
		}
		return true, del[0].err
	case errors.Is(err, unix.EPERM):
		return false, fmt.Errorf("write to kernel: %w", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return false, nil
	}
	var refused *kernelError
	if errors.As(err, &refused) {
		return true, nil // it knows what was asked; lo is down, or the id is taken
	}
	return false, err
}

// acknowledged sends what is encoded, one message, and returns its outcome.
func (k *netlinkKernel) acknowledged(seq uint32) error {
	if err := k.cmd.send(); err != nil {
		return err
	}
	return k.cmd.receive(func(m message) (bool, error) {
		if m.seq != seq || m.kind != unix.NLMSG_ERROR {
			return false, nil
		}
		return true, decodeError(m)
	})
}

func (k *netlinkKernel) apply(ctx context.Context, reqs []request) error {
	for len(reqs) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := k.applySome(reqs)
		if err != nil {
			return err
		}
		reqs = reqs[n:]
	}
	return nil
}

// applySome sends as many requests as fit into one datagram. The kernel works them off within
// the send call and answers only what it refused, and the last one: that answer ends the batch.
func (k *netlinkKernel) applySome(reqs []request) (int, error) {
	first, n, last := k.cmd.seq+1, 0, 0
	for n < len(reqs) && n < batchMessages && len(k.cmd.enc.buf) < batchBytes {
		last = k.cmd.enc.request(&reqs[n], k.table, k.proto, k.cmd.nextSeq())
		n++
	}
	k.cmd.enc.setFlags(last, unix.NLM_F_ACK)
	if err := k.cmd.send(); err != nil {
		return 0, err
	}
	return n, k.cmd.receive(func(m message) (bool, error) {
		i := int(int32(m.seq - first))
		if i < 0 || i >= n || m.kind != unix.NLMSG_ERROR {
			return false, nil
		}
		reqs[i].err = outcome(reqs[i].op, decodeError(m))
		return i == n-1, nil
	})
}

// outcome turns the refusal to delete what is not there into success.
func outcome(o op, err error) error {
	if err == nil {
		return nil
	}
	if (o == opDeleteRoute || o == opDeleteNextHop) && (errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT)) {
		return nil
	}
	return err
}

func (k *netlinkKernel) read(ctx context.Context, sink func(*kernelRoute)) ([]kernelNextHop, error) {
	var all []kernelNextHop
	if k.objects {
		seq := k.cmd.nextSeq()
		k.cmd.enc.dumpNextHops(seq)
		err := k.cmd.dump(ctx, seq, func(m message) {
			if n, ok := decodeNextHop(m.body); ok && m.kind == unix.RTM_NEWNEXTHOP {
				n.gateway = k.zoned(n.gateway)
				all = append(all, n)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("read next-hop objects: %w", err)
		}
	}
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := k.readRoutes(ctx, fam, sink); err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
	}
	return all, nil
}

func (k *netlinkKernel) readRoutes(ctx context.Context, fam uint8, sink func(*kernelRoute)) error {
	seq := k.cmd.nextSeq()
	k.cmd.enc.dumpRoutes(fam, k.table, seq)
	var r routeMessage // one for all: a dump makes no garbage
	err := k.cmd.dump(ctx, seq, func(m message) {
		if m.kind != unix.RTM_NEWROUTE || !r.decode(m.body) || r.table != k.table || r.flags&unix.RTM_F_CLONED != 0 {
			return
		}
		if uint32(r.route.protocol) == k.proto {
			for i := range r.route.hops {
				r.route.hops[i] = k.zoned(r.route.hops[i])
			}
		}
		sink(&r.route)
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // no such table yet, or no such family in this kernel
	}
	return err
}
