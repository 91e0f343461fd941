package scenario

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dockerfile is what BuildKit's parser finds in it.
type dockerfile struct {
	Stages []struct {
		Name, Base, Platform string
		Commands, Runs       []string
	}
	Warnings []string
}

func parseDockerfile(t *testing.T) dockerfile {
	t.Helper()
	file, err := os.Open("../../Dockerfile")
	require.NoError(t, err)
	defer file.Close()
	c := exec.Command("go", "run", ".")
	c.Dir, c.Stdin = "../../.ci/deploy", file
	out, err := c.Output()
	require.NoError(t, err)
	var d dockerfile
	require.NoError(t, json.Unmarshal(out, &d))
	return d
}

// context copies what Docker would be sent: what .dockerignore lets through, read as it is written there and no more.
func dockerContext(t *testing.T) string {
	t.Helper()
	folder := emptyFolder(t)
	text, err := os.ReadFile("../../.dockerignore")
	require.NoError(t, err)
	var argv []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			argv = append(argv, name)
		}
	}
	require.Contains(t, string(text), "\n*\n", "nothing that is not named")
	require.True(t, strings.HasSuffix(string(text), "\n**/*_test.go\n**/testdata\n"), "what is taken out last is taken out here: %s", text)
	tar := exec.Command("sh", "-c", `tar -C ../.. --exclude '*_test.go' --exclude testdata -c "$@" | tar -x -C "$0"`)
	tar.Args = append(append(tar.Args, folder), argv...)
	out, err := tar.CombinedOutput()
	require.NoError(t, err, string(out))
	return folder
}

// TestTheDockerfileBuildsWhatMakeDoes runs what the build stage runs, with the files that Docker would send. That the base
// image has Go, and that Docker does what BuildKit's parser understood, is taken on trust: there may be nothing to pull from.
func TestTheDockerfileBuildsWhatMakeDoes(t *testing.T) {
	t.Parallel()
	d := parseDockerfile(t)
	require.Empty(t, d.Warnings)
	require.Len(t, d.Stages, 2)
	build, final := d.Stages[0], d.Stages[1]
	require.Equal(t, []string{"build", "golang:${GO_VERSION}", "$BUILDPLATFORM"}, []string{build.Name, build.Base, build.Platform}, "nothing is emulated")
	require.Equal(t, "scratch", final.Base)
	require.Empty(t, final.Runs, "there is no shell")
	text := strings.Join(final.Commands, "\n")
	for _, has := range []string{
		"COPY --from=build --chmod=0555 /src/out/bin/ /usr/local/bin/", "/src/out/sbom.spdx.json /usr/share/underlayd/sbom.spdx.json",
		`CMD ["/usr/local/bin/underlayd", "health"]`, `ENTRYPOINT ["/usr/local/bin/underlayd"]`, `CMD ["run"]`,
	} {
		require.Contains(t, text, has)
	}
	module, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	file, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	require.Contains(t, string(module), "\ngo 1.26.0\n")
	require.Contains(t, string(file), "\nARG GO_VERSION=1.26\n", "the Go of go.mod")

	folder := dockerContext(t)
	run := func(arch string, argv ...string) {
		t.Helper()
		c := exec.Command(argv[0], argv[1:]...)
		c.Dir = folder
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "TARGETOS=linux", "TARGETARCH="+arch, "VERSION=test")
		out, err := c.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	require.Contains(t, strings.Join(build.Commands, "\n"), `ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"`)
	for _, arch := range []string{"amd64", "arm64"} {
		for _, command := range build.Runs {
			run(arch, "sh", "-c", command)
		}
		programs := map[string][]byte{}
		for name, of := range map[string]string{"underlayd": "./cmd/underlayd", "gobgp": "github.com/osrg/gobgp/v4/cmd/gobgp"} {
			var err error
			programs[name], err = os.ReadFile(filepath.Join(folder, "out/bin", name))
			require.NoError(t, err)
			flags := map[string]string{"underlayd": "-s -w -X main.version=test", "gobgp": "-s -w"}[name]
			again := filepath.Join(emptyFolder(t), name)
			c := exec.Command("go", "build", "-ldflags", flags, "-o", again, of) // as the Makefile does
			c.Dir = "../.."
			c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOOS=linux", "GOARCH="+arch)
			out, err := c.CombinedOutput()
			require.NoError(t, err, string(out))
			theirs, err := os.ReadFile(again)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(theirs)), fmt.Sprintf("%x", sha256.Sum256(programs[name])),
				"%s for %s: in another folder, the same bytes", name, arch)
		}
		list, err := os.ReadFile(filepath.Join(folder, "out/sbom.spdx.json"))
		require.NoError(t, err)
		require.Contains(t, string(list), "underlayd-test-linux-"+arch)
	}
}
