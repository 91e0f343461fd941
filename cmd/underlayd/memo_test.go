package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s"
)

func aMemo() memo {
	return memo{
		Node:       "east-1",
		Labels:     map[string]string{"rack": "a"},
		PodCIDRs:   []netip.Prefix{netip.MustParsePrefix("10.10.1.0/24"), netip.MustParsePrefix("fd00:10:0:1::/64")},
		Peers:      map[string]memoPeer{"tor-a": {Address: peerA}},
		PeersFile:  "groups: []\n",
		Nodes:      []k8s.Member{{Name: "east-2", Addresses: []netip.Addr{peerA}}},
		Running:    true,
		Crashes:    []time.Time{time.Unix(1700000000, 0).UTC()},
		Quarantine: map[string]quarantine{"tor-b": {Until: time.Unix(1700000600, 0).UTC(), Times: 1}},
	}
}

func TestTheNextRunKnowsWhatThisOneKnew(t *testing.T) {
	folder := t.TempDir()
	k := newKeeper(folder)
	got, err := k.read("east-1")
	require.NoError(t, err, "nothing was written yet")
	require.Equal(t, memo{Node: "east-1"}, got)

	require.NoError(t, k.write(aMemo()))
	before, err := os.Stat(k.path)
	require.NoError(t, err)
	require.NoError(t, k.write(aMemo()))
	after, err := os.Stat(k.path)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "the same again is not written again")

	next := newKeeper(folder)
	got, err = next.read("east-1")
	require.NoError(t, err)
	require.Equal(t, aMemo(), got)
	require.NoError(t, next.write(aMemo()))
	after, err = os.Stat(k.path)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "nor by the next run")

	require.NoError(t, k.remove())
	require.NoError(t, k.remove())
	require.NoFileExists(t, k.path)
}

// TestADamagedMemoIsNone: every file that was not written like this by us is refused, with a reason.
func TestADamagedMemoIsNone(t *testing.T) {
	k := newKeeper(t.TempDir())
	require.NoError(t, k.write(aMemo()))
	whole, err := os.ReadFile(k.path)
	require.NoError(t, err)
	for name, row := range map[string]struct {
		text []byte
		node string
		want string
	}{
		"empty":                 {nil, "east-1", "unexpected end"},
		"cut short":             {whole[:len(whole)/2], "east-1", "unexpected end"},
		"a flipped bit":         {bytes.Replace(whole, []byte("10.10.1.0"), []byte("10.10.3.0"), 1), "east-1", "checksum is wrong"},
		"of another node":       {whole, "east-2", `is of node "east-1", not "east-2"`},
		"of a later version":    {bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":2`), 1), "east-1", "is of version 2, this daemon reads 1"},
		"something else's file": {[]byte(`{"version":1}`), "east-1", "checksum is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t.TempDir())
			require.NoError(t, os.WriteFile(k.path, row.text, 0o600))
			got, err := k.read(row.node)
			require.ErrorIs(t, err, errMemo)
			require.ErrorContains(t, err, row.want)
			require.Equal(t, memo{Node: row.node}, got)
			require.NoError(t, k.write(aMemo()), "it is replaced")
			_, err = k.read("east-1")
			require.NoError(t, err)
		})
	}
}

// TestKeysOfOtherVersionsAreLeftAside: an upgrade forgets neither the peers nor who is in quarantine.
func TestKeysOfOtherVersionsAreLeftAside(t *testing.T) {
	text, err := json.Marshal(aMemo())
	require.NoError(t, err)
	old := bytes.Replace(text, []byte(`"tor-a":{`), []byte(`"tor-a":{"gracefulRestart":true,`), 1)
	require.NotEqual(t, text, old)
	whole, err := json.Marshal(memoFile{Version: memoVersion, SHA256: seal(old), Memo: old})
	require.NoError(t, err)
	k := newKeeper(t.TempDir())
	require.NoError(t, os.WriteFile(k.path, whole, 0o600))
	got, err := k.read("east-1")
	require.NoError(t, err)
	require.Equal(t, aMemo(), got)
}

// TestAMemoThatWasNotWrittenIsTriedAgain, though nothing new is to be remembered.
func TestAMemoThatWasNotWrittenIsTriedAgain(t *testing.T) {
	a := deciding(1)
	a.log = logrus.New()
	a.log.SetOutput(t.Output())
	folder := filepath.Join(t.TempDir(), "not there yet")
	a.keeper, a.memo = newKeeper(folder), aMemo()
	a.remember()
	require.Len(t, a.memoProblems(), 1)
	a.tryAgain(t.Context())
	require.Len(t, a.memoProblems(), 1, "it is still so")

	require.NoError(t, os.Mkdir(folder, 0o700))
	a.stale = false
	a.tryAgain(t.Context())
	require.Empty(t, a.memoProblems())
	require.True(t, a.stale, "status is to say so")
	got, err := newKeeper(folder).read("east-1")
	require.NoError(t, err)
	require.Equal(t, aMemo(), got)
}

// TestAFullDiskKeepsTheOldMemo: a file system of one page has room for one of them.
func TestAFullDiskKeepsTheOldMemo(t *testing.T) {
	containerlab.Require(t)
	folder := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", folder, "tmpfs", 0, "size=8k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(folder, unix.MNT_DETACH)) })
	k := newKeeper(folder)
	require.NoError(t, k.write(aMemo()))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "filler"), make([]byte, 4096), 0o600))
	other := aMemo()
	other.Running = false
	require.ErrorIs(t, k.write(other), unix.ENOSPC)
	require.NoFileExists(t, k.path+".new")
	got, err := newKeeper(folder).read("east-1")
	require.NoError(t, err)
	require.Equal(t, aMemo(), got)
	require.NoError(t, os.Remove(filepath.Join(folder, "filler")))
	require.NoError(t, k.write(other), "tried again")
}
