package containerlab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"
)

// starter stands for an image: the folders it brings along and what it starts when the node has no cmd.
type starter struct {
	empty []string                           // configuration folders that are the node's own, not the machine's
	owned []ownedFolder                      // run-time folders that belong to a daemon's user
	start func(context.Context, *Node) error // nil: nothing is started
}

type ownedFolder struct {
	path string
	user string
}

func (f ownedFolder) make() error {
	u, err := user.Lookup(f.user)
	if err != nil {
		return fmt.Errorf("folder %s: %w", f.path, err)
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	if err := errors.Join(errUID, errGID, os.MkdirAll(f.path, 0o755), os.Chown(f.path, uid, gid)); err != nil {
		return fmt.Errorf("folder %s: %w", f.path, err)
	}
	return nil
}

// starterOf knows an image by the last part of its repository name, whatever the registry and the tag. An image it
// does not know is a plain host: its programs are this machine's, and only cmd starts any.
func starterOf(image string) starter {
	repository, _, _ := strings.Cut(path.Base(image), ":")
	repository, _, _ = strings.Cut(repository, "@")
	switch repository {
	case "frr":
		return starter{
			empty: []string{"/etc/frr"},
			owned: []ownedFolder{{"/run/frr", "frr"}, {"/var/tmp/frr", "frr"}},
			start: startFRR,
		}
	case "bird":
		return starter{
			empty: []string{"/etc/bird"},
			owned: []ownedFolder{{"/run/bird", "bird"}},
			start: startBIRD,
		}
	default:
		return starter{}
	}
}

func startBIRD(ctx context.Context, n *Node) error {
	p, err := n.ensure("bird", "bird", "-f", "-c", "/etc/bird/bird.conf", "-s", "/run/bird/bird.ctl")
	if err != nil {
		return err
	}
	return n.untilListening(ctx, p, "/run/bird/bird.ctl")
}

const (
	frrPrograms = "/usr/lib/frr/"
	frrSockets  = "/run/frr/"
)

// startFRR does what the image's start script does: the daemons of /etc/frr/daemons, then the integrated
// configuration. There is no watchfrr: a daemon that is stopped stays stopped until Launch.
func startFRR(ctx context.Context, n *Node) error {
	daemons, err := readFRRDaemons(n)
	if err != nil {
		return err
	}
	for i, d := range daemons {
		p, err := n.ensure(d[0], append([]string{frrPrograms + d[0], "--log", "stdout"}, d[1:]...)...)
		if err != nil {
			return err
		}
		// The others register with zebra; started before it listens they would try again much later.
		if i == 0 {
			if err := n.untilListening(ctx, p, frrSockets+"zserv.api"); err != nil {
				return err
			}
		}
	}
	for _, d := range daemons {
		if err := n.untilListening(ctx, n.Process(d[0]), frrSockets+d[0]+".vty"); err != nil {
			return err
		}
	}
	if _, err := n.Output(ctx, "vtysh", "-b"); err != nil {
		return fmt.Errorf("load /etc/frr/frr.conf: %w", err)
	}
	return nil
}

// readFRRDaemons returns the daemons to start, each with its options: zebra first, then what this FRR always runs,
// then what the file enables.
func readFRRDaemons(n *Node) ([][]string, error) {
	var text []byte
	err := n.way.enter(inNode, func() (err error) {
		text, err = os.ReadFile("/etc/frr/daemons")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("frr: %w", err)
	}
	options := map[string]string{}
	enabled := []string{"zebra"}
	for _, always := range []string{"mgmtd", "staticd"} {
		if _, err := os.Stat(frrPrograms + always); err == nil {
			enabled = append(enabled, always)
		}
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		options[key] = value
		if value == "yes" && !slices.Contains(enabled, key) && key != "vtysh_enable" && key != "watchfrr_enable" {
			enabled = append(enabled, key)
		}
	}
	daemons := make([][]string, 0, len(enabled))
	for _, name := range enabled {
		var argv []string
		unquoted, err := words(options[name+"_options"])
		if err == nil {
			argv, err = words(strings.Join(unquoted, " "))
		}
		if err != nil {
			return nil, fmt.Errorf("frr: daemons: %s_options: %w", name, err)
		}
		daemons = append(daemons, append([]string{name}, argv...))
	}
	return daemons, nil
}

// untilListening waits until p listens on a unix socket of the node; it fails as soon as p has ended. The socket
// being there is not enough: it may be left over from the process before.
func (n *Node) untilListening(ctx context.Context, p *Process, socket string) error {
	return Until(ctx, p.Name()+" to listen", func(ctx context.Context) error {
		if !p.Running() {
			return Permanent(fmt.Errorf("%s has ended, %s: %s", p.Name(), p.cmd.ProcessState, p.LogTail(5)))
		}
		conn, err := new(net.Dialer).DialContext(ctx, "unix", n.Path(socket))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
