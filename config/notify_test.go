package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// TestAFolderThatCantBeWatched is said once, with what happens instead, and is watched as soon as it is there.
func TestAFolderThatCantBeWatched(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	dir := filepath.Join(t.TempDir(), "later")
	n := Notify(log, 10*time.Second, dir)
	defer n.Close()
	n.Renew()
	require.Len(t, hook.AllEntries(), 1)
	said, err := hook.LastEntry().String()
	require.NoError(t, err)
	require.Contains(t, said, "can't watch a folder: its files are read from time to time until it can be watched")
	require.Contains(t, said, "every=10s folder="+dir)

	require.NoError(t, os.Mkdir(dir, 0o755))
	n.Renew()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	select {
	case <-n.C:
	case <-time.After(time.Minute):
		require.Fail(t, "no notification")
	}
	require.Len(t, hook.AllEntries(), 1)
	require.NoError(t, os.RemoveAll(dir))
	n.Renew()
	require.Len(t, hook.AllEntries(), 2, "it is news that it has gone again")
}
