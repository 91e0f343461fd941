package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// capabilities is a set of them, a bit each (capabilities(7)).
type capabilities uint64

// The capabilities that the daemon has a use for. To read files it has root's ordinary rights; TCP_MD5SIG, the TTL
// options and socket filters need none.
const (
	netAdmin       capabilities = 1 << unix.CAP_NET_ADMIN        // routes, next-hop objects, nftables, large buffers
	netBindService capabilities = 1 << unix.CAP_NET_BIND_SERVICE // a listening port below 1024
)

// confine gives up, for all threads and for good, every privilege of this process but the wanted capabilities, and
// keeps its memory, in which there are secrets, out of core files and from other processes. A wanted capability that
// the process does not have is an error that names it.
//
// The bounding set can be narrowed only by one who has CAP_SETPCAP. Without it, it stays as it is, which is no way
// back: with no_new_privs no program that is executed has more than its caller (prctl(2)).
func confine(wanted capabilities, reasons map[capabilities]string) error {
	had, err := permitted()
	if err != nil {
		return err
	}
	keep := had & wanted
	if had&(1<<unix.CAP_SETPCAP) != 0 {
		if err := narrowBounds(keep); err != nil {
			return err
		}
	}
	err = errors.Join(
		control("clear the ambient capabilities", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL),
		failure("give up capabilities", hold(keep)),
		control("set no_new_privs", unix.PR_SET_NO_NEW_PRIVS, 1),
		// These two are the process's, not the threads'.
		failure("forbid core files", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})),
		failure("forbid core files", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)))
	if err != nil {
		return err
	}
	return missing(wanted&^had, reasons)
}

// permitted returns what this thread may make use of.
func permitted() (capabilities, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return capabilities(data[0].Permitted) | capabilities(data[1].Permitted)<<32, nil
}

// Privileges are a thread's own for the kernel, and the Go runtime has several threads before main begins; package psx
// makes a system call in all of them, with cgo (which the race detector needs) and without.

// hold sets the effective and the permitted set of every thread and empties the inheritable one.
func hold(set capabilities) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // Pid 0: each thread itself
	half := func(n uint32) unix.CapUserData { return unix.CapUserData{Effective: n, Permitted: n} }
	data := [2]unix.CapUserData{half(uint32(set)), half(uint32(set >> 32))}
	//nolint:gosec // capset(2) takes pointers; psx keeps them alive
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// control is prctl(2) for every thread.
func control(what string, option, argument uintptr) error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, option, argument, 0, 0, 0, 0); errno != 0 {
		return failure(what, errno)
	}
	return nil
}

// narrowBounds takes all but keep out of the bounding set. It needs CAP_SETPCAP, which must be permitted.
func narrowBounds(keep capabilities) error {
	if err := hold(keep | 1<<unix.CAP_SETPCAP); err != nil {
		return fmt.Errorf("raise CAP_SETPCAP: %w", err)
	}
	for c := range uintptr(64) {
		// Beyond the last one that this kernel knows there is an error.
		in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil || in == 0 || keep&(1<<c) != 0 {
			continue
		}
		if err := control("narrow the bounding set", unix.PR_CAPBSET_DROP, c); err != nil {
			return err
		}
	}
	return nil
}

func failure(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// missing says what cannot be done without the capabilities of a set.
func missing(set capabilities, reasons map[capabilities]string) error {
	var list []string
	for _, c := range []capabilities{netAdmin, netBindService} {
		if set&c != 0 {
			list = append(list, fmt.Sprintf("%s is missing: it is needed %s", c, reasons[c]))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return errors.New(strings.Join(list, "; ") + "; run as root, or give it by AmbientCapabilities= in a systemd unit, " +
		"by securityContext.capabilities.add in a Pod")
}

func (c capabilities) String() string {
	names := map[capabilities]string{netAdmin: "CAP_NET_ADMIN", netBindService: "CAP_NET_BIND_SERVICE"}
	var list []string
	for _, one := range []capabilities{netAdmin, netBindService} {
		if c&one != 0 {
			list = append(list, names[one])
		}
	}
	return strings.Join(list, ", ")
}

// confineDaemon leaves the daemon what it needs to listen on a port and to write routes.
func confineDaemon(port int) (capabilities, error) {
	wanted := netAdmin
	if port > 0 && port < firstFreePort() {
		wanted |= netBindService
	}
	return wanted, confine(wanted, map[capabilities]string{
		netAdmin:       "to write routes and next-hop objects",
		netBindService: fmt.Sprintf("to listen on port %d (bgp.port)", port),
	})
}

// firstFreePort is the lowest port that everybody may listen on (ip(7), ip_unprivileged_port_start).
func firstFreePort() int {
	const usual = 1024
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return usual
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return usual
	}
	return port
}

// readable says at the start what a reload would stumble over: root without CAP_DAC_OVERRIDE reads only what it has the
// right to, like everybody else.
func readable(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: the daemon gives up CAP_DAC_OVERRIDE; its own user must be allowed to read its configuration", err)
	}
	if err != nil {
		return err
	}
	return f.Close()
}
