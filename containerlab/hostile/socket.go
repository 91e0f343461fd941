package main

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// nearby makes the packets of a socket look like those of a direct neighbour (GTSM, RFC 5082).
func nearby(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 255)
	})
	return errors.Join(err, failed)
}
