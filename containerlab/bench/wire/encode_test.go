package wire

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const marker = "ffffffffffffffffffffffffffffffff"

func TestMessagesAreWhatTheRFCsSay(t *testing.T) {
	path4 := Path{NextHop: netip.MustParseAddr("172.31.16.1"), ASPath: []uint32{65000, 64513}, Community: [3]uint32{64513, 1, 2}}
	path6 := path4
	path6.NextHop = netip.MustParseAddr("fd00:be::1")
	prefix4, prefix6 := netip.MustParsePrefix("16.0.1.0/24"), netip.MustParsePrefix("fd20:0:0:1::/64")
	asPath, community := "40020a0202"+"0000fde8"+"0000fc01", "c0200c"+"0000fc01"+"00000001"+"00000002"
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"an IPv4 prefix is announced":  {AppendUpdate(nil, path4, 1, prefix4), marker + "004202" + "0000" + "0027" + "40010100" + asPath + "400304ac1f1001" + community + "18100001"},
		"an IPv6 prefix is announced":  {AppendUpdate(nil, path6, 1, prefix6), marker + "005902" + "0000" + "0042" + "900e001e" + "000201" + "10" + "fd0000be000000000000000000000001" + "00" + "40fd20000000000001" + "40010100" + asPath + community},
		"an IPv4 prefix is withdrawn":  {AppendWithdraw(nil, 1, prefix4), marker + "001b02" + "0004" + "18100001" + "0000"},
		"an IPv6 prefix is withdrawn":  {AppendWithdraw(nil, 1, prefix6), marker + "002702" + "0000" + "0010" + "900f000c" + "000201" + "40fd20000000000001"},
		"both families end":            {AppendEndOfRIB(nil), marker + "001702" + "0000" + "0000" + marker + "001d02" + "0000" + "0006" + "800f03" + "000201"},
		"a session is kept":            {Keepalive(), marker + "001304"},
		"prefixes are split over two":  {AppendWithdraw(nil, 1, prefix4, prefix4), strings.Repeat(marker+"001b02"+"0004"+"18100001"+"0000", 2)},
		"a peer with a long AS opens":  {Peer{Local: netip.MustParseAddr("172.31.0.10"), ASN: 4200000000}.Open(), marker + "003101" + "04" + "5ba0" + "005a" + "ac1f000a" + "14" + "0212" + "010400010001" + "010400020001" + "4104fa56ea00"},
		"one that restarts says so":    {Peer{Local: netip.MustParseAddr("172.31.0.10"), ASN: 65000, GracefulRestart: true}.Open(), marker + "003d01" + "04" + "fde8" + "005a" + "ac1f000a" + "20" + "021e" + "010400010001" + "010400020001" + "41040000fde8" + "400a0078" + "00010100" + "00020100"},
		"nothing is announced as none": {AppendUpdate(nil, path4, 100), ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, hex.EncodeToString(c.got)) })
	}
}
