package bgp

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Other BGP speakers may run on this node: that of the CNI, of a load balancer, a router's. What they have open is in the
// kernel's list of the sockets of this network namespace; which program a socket belongs to is known as far as we may
// look into the others. The daemon may look into few once it has given up its privileges, and into none from a
// container that does not share the host's process ids.

// The states of a TCP socket in /proc/net/tcp.
const (
	tcpEstablished = 0x01
	tcpListen      = 0x0a
)

// tcpSocket is a line of /proc/net/tcp.
type tcpSocket struct {
	local, remote netip.AddrPort
	state         uint64
	inode         string
}

// tcpSockets calls f for each TCP socket of this network namespace.
func tcpSockets(f func(tcpSocket)) error {
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return err
		}
		err = readSockets(file, f)
		_ = file.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func readSockets(r io.Reader, f func(tcpSocket)) error {
	lines := bufio.NewScanner(r)
	lines.Scan() // the headings
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, err := socketEnd(fields[1])
		if err != nil {
			return err
		}
		remote, err := socketEnd(fields[2])
		if err != nil {
			return err
		}
		state, err := strconv.ParseUint(fields[3], 16, 8)
		if err != nil {
			return err
		}
		f(tcpSocket{local, remote, state, fields[9]})
	}
	return lines.Err()
}

// socketEnd reads an address and a port. The address is in words of four bytes, each in the machine's order.
func socketEnd(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for word := range slices.Chunk(raw, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	a, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), err
}

// PortHolder names the program that listens on a TCP port, such as "bird (pid 812)", or "another program" when it can't
// be told which one; it is empty when nobody listens. It is to be asked while the process still has all its privileges:
// the kernel lets few look into others.
func PortHolder(port int) string {
	inode := ""
	err := tcpSockets(func(s tcpSocket) {
		if s.state == tcpListen && int(s.local.Port()) == port {
			inode = s.inode
		}
	})
	if err != nil || inode == "" {
		return ""
	}
	if name := owner(inode); name != "" {
		return name
	}
	return "another program"
}

// owner names the process that has a socket, "" if that can't be told.
func owner(inode string) string {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return ""
	}
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err == nil && holds(p.Name(), "socket:["+inode+"]") {
			return programName(p.Name())
		}
	}
	return ""
}

// speakers are the names of programs that speak BGP, as the kernel has them: at most 15 characters.
func speakers() []string {
	return []string{"bird", "bird6", "bgpd", "gobgpd", "kube-router", "cilium-agent", "speaker", "exabgp", "holod"}
}

// Speakers names the programs on this node that are known to speak BGP, such as "bird (pid 812)", as far as they can be seen.
func Speakers() []string { return Programs(speakers()...) }

// Programs names the processes that are called one of these names, each of at most 15 characters, as far as they can be seen:
// unlike what they have open, anybody in their namespace of process ids may know what they are called.
func Programs(names ...string) (found []string) {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		name := programName(p.Name())
		if called, _, _ := strings.Cut(name, " (pid "); slices.Contains(names, called) {
			found = append(found, name)
		}
	}
	return found
}

// likelySpeaker names the programs that are known to speak BGP. It is empty if there are none, or more than a few.
func likelySpeaker() string {
	found := Speakers()
	if len(found) == 0 || len(found) > 3 {
		return ""
	}
	return "probably " + strings.Join(found, " or ")
}

func holds(pid, socket string) bool {
	files, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		return false
	}
	for _, f := range files {
		if to, err := os.Readlink("/proc/" + pid + "/fd/" + f.Name()); err == nil && to == socket {
			return true
		}
	}
	return false
}

// programName is what a program calls itself, with its process id.
func programName(pid string) string {
	name, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		return ""
	}
	return printable(strings.TrimSpace(string(name)), 32) + " (pid " + pid + ")"
}
