package config_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

var update = flag.Bool("update", false, "write testdata/broken.golden anew")

// TestBrokenFile shows what somebody sees who got everything wrong: all of it, in the order of the file.
func TestBrokenFile(t *testing.T) {
	_, err := config.Load("testdata/broken.yaml", onNode())
	var errs config.Errors
	require.ErrorAs(t, err, &errs)
	if *update {
		require.NoError(t, os.WriteFile("testdata/broken.golden", []byte(err.Error()+"\n"), 0o600))
	}
	want, err := os.ReadFile("testdata/broken.golden")
	require.NoError(t, err)
	require.Equal(t, string(want), errs.Error()+"\n")
}
