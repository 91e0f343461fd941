package scenario

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == withoutNetfilter {
		os.Exit(runWithoutNetfilter(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}
