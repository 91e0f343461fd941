package bgp

import (
	"log/slog"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

func TestNoRecordEndsTheProcess(t *testing.T) {
	logger, hook := test.NewNullLogger()
	logger.SetLevel(logrus.TraceLevel)
	logger.ExitFunc = func(int) { t.Fatal("the process was ended by a log record") }
	log := newLogger(logger, hearer{})
	for level, want := range map[slog.Level]logrus.Level{
		slog.LevelDebug:      logrus.DebugLevel,
		slog.LevelInfo:       logrus.DebugLevel,
		slog.LevelWarn:       logrus.WarnLevel,
		slog.LevelError:      logrus.ErrorLevel,
		slog.LevelError + 4:  logrus.ErrorLevel, // GoBGP's fatal
		slog.LevelError + 40: logrus.ErrorLevel,
	} {
		log.With("Topic", "Peer").Log(t.Context(), level, "message "+level.String(), "Key", "192.168.0.2")
		entry := hook.LastEntry()
		require.Equal(t, want, entry.Level)
		require.Equal(t, logrus.Fields{"component": "gobgp", "Topic": "Peer", "Key": "192.168.0.2"}, entry.Data)
	}
}

func TestRepeatedWarningsAreNotRepeated(t *testing.T) {
	logger, hook := test.NewNullLogger()
	log := newLogger(logger, hearer{})
	for range 1000 {
		log.Warn("Can't find configuration for a new passive connection", "Key", "192.0.2.9")
	}
	require.Len(t, hook.AllEntries(), 1)
}
