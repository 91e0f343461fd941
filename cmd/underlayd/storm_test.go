package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

// TestAStormOfOneMessageIsCounted: what the log does not have is a number in it, and other messages are not concerned.
func TestAStormOfOneMessageIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newLog(&out, config.Log{Level: "debug", Format: "json"})
		settle := guardStorms(log)
		for i := range 1000 {
			log.WithField("peer", fmt.Sprint("leaf-", i)).Info("session lost")
			log.WithField("peer", i).Debug("asked for")
		}
		log.WithField("peer", "leaf-1000").Warn("session lost")
		log.Error("another")
		count := func() map[string]int {
			got := map[string]int{}
			for line := range bytes.Lines(bytes.Clone(out.Bytes())) {
				var e struct {
					Message, Level, Msg string
					Lines               int
				}
				require.NoError(t, json.Unmarshal(line, &e))
				got[e.Level+": "+e.Msg]++
				if e.Lines > 0 {
					got[e.Message+" left out"] = e.Lines
				}
			}
			return got
		}
		require.Equal(t, map[string]int{"info: session lost": stormBurst, "debug: asked for": 1000, "error: another": 1}, count())

		<-time.After(stormWindow)
		synctest.Wait()
		told := map[string]int{
			"info: session lost": stormBurst, "debug: asked for": 1000, "error: another": 1,
			"warning: " + stormMessage: 1, "session lost left out": 1001 - stormBurst,
		}
		require.Equal(t, told, count())

		settle()
		require.Equal(t, told, count(), "it is said once")

		log.Info("session lost")
		told["info: session lost"]++
		require.Equal(t, told, count(), "the storm is over")
	})
}

// TestMessagesWithoutEndShareOneAllowance: nobody who finds a message with a variable in it fills the memory or the disk.
func TestMessagesWithoutEndShareOneAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newLog(&out, config.Log{Level: "info", Format: "json"})
		settle := guardStorms(log)
		for i := range 100 * stormKinds {
			log.Info("message ", i)
		}
		require.Equal(t, stormKinds+stormBurst, bytes.Count(out.Bytes(), []byte("\n")))
		settle()
		require.Contains(t, out.String(), fmt.Sprintf(`"lines":%d`, 99*stormKinds-stormBurst))
	})
}

// TestTheLogsFormat: people at a terminal read text, everything else takes JSON.
func TestTheLogsFormat(t *testing.T) {
	for format, want := range map[string]string{"auto": "{", "json": "{", "text": "time="} {
		var out bytes.Buffer
		newLog(&out, config.Log{Level: logrus.InfoLevel.String(), Format: format}).Info("hello")
		require.Regexp(t, "^"+want, out.String(), format)
	}
}
