package status

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestASecondDaemonIsToldWhoTheFirstIs(t *testing.T) {
	d := runtimeDirectory(t)
	first := start(t, "lock", d)
	_, err := AcquireLock(d, time.Now())
	var held *HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, first.Process.Pid, held.Holder.PID)
	require.Equal(t, lockTime, held.Holder.Started)
	require.Equal(t, fmt.Sprintf("another underlayd runs on this node: pid %d, started 2026-03-04T05:06:07Z (it holds %s)",
		first.Process.Pid, filepath.Join(d, lockName)), err.Error())
}

func TestTheLockEndsWithItsProcessHoweverThatEnds(t *testing.T) {
	d := runtimeDirectory(t)
	start(t, "lock", d).kill()
	l, err := AcquireLock(d, time.Now())
	require.NoError(t, err)
	require.NoError(t, l.Release())
	require.Error(t, l.Release())
}

func TestTheLockCanBeTakenAgainAfterItsRelease(t *testing.T) {
	d := runtimeDirectory(t)
	for range 2 {
		l, err := AcquireLock(d, time.Now())
		require.NoError(t, err)
		_, err = AcquireLock(d, time.Now())
		require.ErrorContains(t, err, fmt.Sprintf("pid %d,", os.Getpid()), "the same process cannot take it twice either")
		require.NoError(t, l.Release())
	}
}

func TestAHolderInAContainerIsNamedAsSuch(t *testing.T) {
	e := &HeldError{Path: "/run/underlayd/underlayd.lock", Holder: Holder{PID: 1, PIDNamespace: "pid:[1]", Started: lockTime}, foreign: true}
	require.Equal(t, "another underlayd runs on this node: pid 1 in another pid namespace, that is, a container, started 2026-03-04T05:06:07Z (it holds /run/underlayd/underlayd.lock)", e.Error())
}

func TestAHolderThatHasNotSignedYetIsStillReported(t *testing.T) {
	d := runtimeDirectory(t)
	for _, content := range []string{"", "{", "garbage", `{"pid":0}`} {
		l, err := AcquireLock(d, time.Now())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(d, lockName), []byte(content), 0o644))
		_, err = AcquireLock(d, time.Now())
		require.EqualError(t, err, "another underlayd runs on this node (it holds "+filepath.Join(d, lockName)+")")
		require.NoError(t, l.Release())
	}
}

func TestALongerRecordOfAnEarlierHolderLeavesNoTail(t *testing.T) {
	d := runtimeDirectory(t)
	require.NoError(t, os.MkdirAll(d, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(d, lockName), make([]byte, 4096), 0o644))
	l, err := AcquireLock(d, lockTime)
	require.NoError(t, err)
	_, err = AcquireLock(d, time.Now())
	require.ErrorContains(t, err, "started 2026-03-04T05:06:07Z")
	require.NoError(t, l.Release())
}

func TestALockThatCannotBeMadeSaysWhichFile(t *testing.T) {
	d := runtimeDirectory(t)
	require.NoError(t, os.WriteFile(d, nil, 0o600))
	_, err := AcquireLock(d, time.Now())
	require.ErrorIs(t, err, syscall.ENOTDIR)
	require.ErrorContains(t, err, d)
}

func TestALockThatIsRemovedLeavesNothingAndHasOneHolderAtATime(t *testing.T) {
	d := filepath.Join(runtimeDirectory(t), "own")
	l, err := AcquireLock(d, time.Now())
	require.NoError(t, err)
	late, err := os.Open(filepath.Join(d, lockName))
	require.NoError(t, err)
	require.NoError(t, l.Remove())
	require.NoDirExists(t, d)
	require.NoError(t, syscall.Flock(int(late.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	require.False(t, (&Lock{file: late}).current(late.Name()), "who opened the file before it was removed has the lock of nothing")
	require.NoError(t, late.Close())
	var holders atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				l, err := AcquireLock(d, time.Now())
				if err != nil {
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two have the lock")
				}
				holders.Add(-1)
				if err := l.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.NoDirExists(t, d)
}
