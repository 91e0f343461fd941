package probe

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func testKey(t testing.TB, text string) Key {
	t.Helper()
	k, err := ParseKey([]byte(text + "\n"))
	require.NoError(t, err)
	return k
}

func someRequest() message {
	return message{
		kind: request, flags: alsoAside, clusterID: 7, nonce: 0x0102030405060708, length: doubleSize,
		from: netip.MustParseAddr("10.10.1.1"), to: netip.MustParseAddr("fd00:20::1"), node: netip.MustParseAddr("192.168.0.1"),
		cluster: "east", name: "east-1",
	}
}

func TestMessages(t *testing.T) {
	key := testKey(t, "0123456789abcdef")
	for _, row := range []struct {
		name   string
		change func(d []byte) []byte
		err    error
	}{
		{"what was sealed is read as it was", func(d []byte) []byte { return d }, nil},
		{"a changed flag is found out", func(d []byte) []byte { d[6] ^= 1; return d }, errUnauthentic},
		{"a changed address is found out", func(d []byte) []byte { d[30] ^= 1; return d }, errUnauthentic},
		{"changed padding is found out", func(d []byte) []byte { d[len(d)-1] = 1; return d }, errUnauthentic},
		{"a changed MAC is found out", func(d []byte) []byte { d[atMAC] ^= 1; return d }, errUnauthentic},
		{"one that was cut is none", func(d []byte) []byte { return d[:len(d)-1] }, errForeign},
		{"one that has grown is none", func(d []byte) []byte { return append(d, 0) }, errForeign},
		{"an empty one is none", func([]byte) []byte { return nil }, errForeign},
		{"another version is another's", func(d []byte) []byte { d[4] = 2; return d }, errVersion},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := row.change(bytes.Clone(key.sealer().seal(make([]byte, maxDatagram), someRequest())))
			m, err := key.sealer().open(d)
			require.ErrorIs(t, err, row.err)
			if row.err == nil {
				require.Equal(t, someRequest(), m)
			}
		})
	}
	t.Run("one of another key is not ours", func(t *testing.T) {
		d := testKey(t, "another key, of the same length").sealer().seal(make([]byte, maxDatagram), someRequest())
		_, err := key.sealer().open(d)
		require.ErrorIs(t, err, errUnauthentic)
	})
	t.Run("what is authentic and makes no sense is refused", func(t *testing.T) {
		for _, change := range []func(*message){
			func(m *message) { m.kind = 9 }, func(m *message) { m.cluster = "east\x1b[31m" }, func(m *message) { m.name = "a b" },
			func(m *message) { m.from = netip.Addr{} }, func(m *message) { m.to = netip.MustParseAddr("224.0.0.1") },
		} {
			m := someRequest()
			change(&m)
			_, err := key.sealer().open(key.sealer().seal(make([]byte, maxDatagram), m))
			require.ErrorIs(t, err, errMalformed)
		}
	})
	t.Run("long names are cut", func(t *testing.T) {
		m := someRequest()
		m.name = strings.Repeat("n", 300)
		got, err := key.sealer().open(key.sealer().seal(make([]byte, maxDatagram), m))
		require.NoError(t, err)
		require.Equal(t, m.name[:nodeLength], got.name)
	})
}

func TestKeys(t *testing.T) {
	for _, row := range []struct{ name, text, err string }{
		{"a line", "0123456789abcdef\n", ""},
		{"a line as Windows ends it", "0123456789abcdef\r\n", ""},
		{"two lines", "0123456789abcdef\nfedcba9876543210\n", ""},
		{"nothing", "\n", "line 1 has 0 bytes: a key must have 16 to 1024"},
		{"one that is too short", "0123456789abcde\n", "line 1 has 15 bytes: a key must have 16 to 1024"},
		{"one that is too long", strings.Repeat("k", 1025), "line 1 has 1025 bytes: a key must have 16 to 1024"},
		{"a second one that is too short", "0123456789abcdef\nabc\n", "line 2 has 3 bytes: a key must have 16 to 1024"},
		{"a NUL byte", "0123456789\x00abcdef", "line 1 has a NUL byte or a carriage return in it"},
		{"three lines", "0123456789abcdef\n0123456789abcdef\n0123456789abcdef", "there are 3 lines: the key is one, and another key that is heeded as well may be the second"},
	} {
		t.Run(row.name, func(t *testing.T) {
			k, err := ParseKey([]byte(row.text))
			if row.err != "" {
				require.EqualError(t, err, row.err)
				return
			}
			require.NoError(t, err)
			require.False(t, k.IsZero())
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				require.NotContains(t, fmt.Sprintf(verb, Settings{Key: k}), "0123456789", "a key is never printed")
				require.NotContains(t, fmt.Sprintf(verb, Settings{Key: k}), "9876543210", "nor is the other one")
			}
		})
	}
}

// TestAKeyTakesThePlaceOfAnother: in each step some nodes are a step ahead of others, and all understand each other.
func TestAKeyTakesThePlaceOfAnother(t *testing.T) {
	const before, after = "0123456789abcdef\n", "fedcba9876543210\n"
	steps := []string{before, before + after, after + before, after}
	understands := func(reader, writer string) bool {
		_, err := testKey(t, reader).sealer().open(testKey(t, writer).sealer().seal(make([]byte, maxDatagram), someRequest()))
		return err == nil
	}
	for i := range steps[1:] {
		require.True(t, understands(steps[i], steps[i+1]), "step %d", i+1)
		require.True(t, understands(steps[i+1], steps[i]), "step %d", i+1)
	}
	require.False(t, understands(after, before), "in one step they would not")
	require.False(t, understands(after, before+after), "a key that has gone is not heeded")
}

// FuzzOpen gives bytes to the reader as they are, and once more under a right MAC.
func FuzzOpen(f *testing.F) {
	key := testKey(f, "0123456789abcdef")
	f.Add(bytes.Clone(key.sealer().seal(make([]byte, maxDatagram), someRequest())))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, d []byte) {
		s := key.sealer()
		_, _ = s.open(d)
		if len(d) < messageSize || len(d) >= maxDatagram {
			return
		}
		copy(d, magic)
		d[4], d[12], d[13] = version, byte(len(d)>>8), byte(len(d))
		copy(d[atMAC:], s.sign(s.macs[0], d))
		m, err := s.open(d)
		if err != nil {
			require.ErrorIs(t, err, errMalformed)
			return
		}
		again, err := s.open(bytes.Clone(s.seal(make([]byte, maxDatagram), m)))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}
