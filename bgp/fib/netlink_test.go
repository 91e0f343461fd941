package fib

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// answer encodes one message as the kernel would send it.
func answer(kind, flags uint16, seq uint32, body []byte) []byte {
	var e encoder
	start := e.begin(kind, 0, seq)
	e.buf = append(e.buf, body...)
	e.end(start)
	binary.NativeEndian.PutUint16(e.buf[start+6:], flags)
	return e.buf
}

func TestADumpWithAnInterruptedMarkAnywhereIsAnError(t *testing.T) {
	done := make([]byte, 4)
	for _, c := range []struct {
		name        string
		parts, last uint16
		want        error
	}{
		{"a consistent dump", unix.NLM_F_MULTI, unix.NLM_F_MULTI, nil},
		{"interrupted in the middle", unix.NLM_F_MULTI | unix.NLM_F_DUMP_INTR, unix.NLM_F_MULTI, errInterrupted},
		{"interrupted at the end", unix.NLM_F_MULTI, unix.NLM_F_MULTI | unix.NLM_F_DUMP_INTR, errInterrupted},
	} {
		t.Run(c.name, func(t *testing.T) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
			require.NoError(t, err)
			s := &socket{fd: fds[0], in: make([]byte, receiveSize)}
			defer func() { require.NoError(t, s.close()); require.NoError(t, unix.Close(fds[1])) }()
			stale := answer(unix.RTM_NEWROUTE, unix.NLM_F_DUMP_INTR, 6, nil)
			for _, b := range [][]byte{stale, answer(unix.RTM_NEWROUTE, c.parts, 7, nil), answer(unix.NLMSG_DONE, c.last, 7, done)} {
				_, err := unix.Write(fds[1], b)
				require.NoError(t, err)
			}
			seen := 0
			require.Equal(t, c.want, s.collect(7, func(message) { seen++ }))
			require.Equal(t, 1, seen)
		})
	}
}

func TestTheKernelsOwnWordsAreKept(t *testing.T) {
	var e encoder
	e.buf = binary.NativeEndian.AppendUint32(nil, 0xffffffff-uint32(unix.EINVAL)+1)
	e.buf = append(e.buf, make([]byte, unix.SizeofNlMsghdr)...)
	start := e.open(unix.NLMSGERR_ATTR_MSG)
	e.buf = append(e.buf, "Nexthop id does not exist\x00"...)
	e.shut(start)
	err := decodeError(message{kind: unix.NLMSG_ERROR, flags: unix.NLM_F_ACK_TLVS, body: e.buf})
	require.EqualError(t, err, "invalid argument: Nexthop id does not exist")
	require.ErrorIs(t, err, unix.EINVAL)
}

func TestRequestsAreReadBackAsWritten(t *testing.T) {
	hops := []gateway{{netip.MustParseAddr(n2), 3}, {netip.MustParseAddr(x2), 4}}
	for _, r := range []request{
		{op: opCreateRoute, dst: p(pods), metric: 512, id: 77},
		{op: opCreateRoute, dst: p(pods), metric: 512, hops: hops},
		{op: opAppendRoute, dst: p(pods6), metric: 9, hops: hops[1:]},
		{op: opCreateRoute, dst: p("0.0.0.0/0"), metric: 512, hops: hops[:1]},
	} {
		var e encoder
		e.request(&r, 70000, 200, 1)
		m, rest, err := next(e.buf)
		require.NoError(t, err)
		require.Empty(t, rest)
		var got routeMessage
		require.True(t, got.decode(m.body))
		require.EqualValues(t, 70000, got.table)
		require.Equal(t, kernelRoute{dst: r.dst, metric: r.metric, nextHop: r.id, protocol: 200, hops: r.hops}, got.route)
	}
}

// FuzzMessages feeds the decoders with anything: they must survive, and terminate.
func FuzzMessages(f *testing.F) {
	var e encoder
	e.request(&request{op: opCreateRoute, dst: p(pods), metric: 512, hops: []gateway{{netip.MustParseAddr(n2), 3}, {netip.MustParseAddr(x2), 4}}}, 254, 200, 1)
	e.request(&request{op: opCreateGroup, id: 5, members: []uint32{1, 2}}, 254, 200, 2)
	e.request(&request{op: opCreateNextHop, id: 5, gateway: gateway{netip.MustParseAddr(n2), 1}}, 254, 200, 3)
	f.Add(e.buf)
	f.Add(answer(unix.RTM_NEWLINK, 0, 1, make([]byte, unix.SizeofIfInfomsg)))
	f.Add(answer(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, 1, make([]byte, 40)))
	f.Fuzz(func(_ *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, err := next(b)
			if err != nil {
				return
			}
			new(routeMessage).decode(m.body)
			decodeNextHop(m.body)
			decodeLink(m.body, false)
			_ = decodeError(m)
			(&netlinkKernel{}).decodeLookup(m)
			b = rest
		}
	})
}
