package main

import (
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLastKnownPodCIDRs(t *testing.T) {
	folder := t.TempDir()
	cidrs := []netip.Prefix{netip.MustParsePrefix("10.10.1.0/24"), netip.MustParsePrefix("fd00:10:0:1::/64")}
	l := newLastKnown(folder, "east-1")

	got, err := l.read()
	require.NoError(t, err, "nothing was written yet")
	require.Nil(t, got)

	require.NoError(t, l.write(cidrs))
	before, err := os.Stat(l.path)
	require.NoError(t, err)
	require.NoError(t, l.write(cidrs))
	after, err := os.Stat(l.path)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "the same again is not written again")

	got, err = newLastKnown(folder, "east-1").read()
	require.NoError(t, err)
	require.Equal(t, cidrs, got)

	_, err = newLastKnown(folder, "east-2").read()
	require.ErrorContains(t, err, `of node "east-1"`, "another node's CIDRs are not ours")

	require.NoError(t, os.WriteFile(l.path, []byte(`{"node":"east-1","podCIDRs":["10.10.1`), 0o600))
	got, err = l.read()
	require.ErrorContains(t, err, l.path, "a file cut short is not used")
	require.Nil(t, got)

	require.NoError(t, l.remove())
	require.NoError(t, l.remove())
	require.NoFileExists(t, l.path)
}
