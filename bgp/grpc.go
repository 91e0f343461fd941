package bgp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxRequest bounds a gRPC request in bytes; a reader's questions are small.
const maxRequest = 64 << 10

// readOnly returns the server options that turn GoBGP's gRPC service, which is full and unauthenticated
// control of the speaker, into one that only answers questions. Whatever is not on the list is refused, so
// that a method GoBGP adds is refused as well.
func readOnly() []grpc.ServerOption {
	refuse := func(method string) error {
		name := path.Base(method)
		for _, prefix := range []string{"Get", "List", "Watch"} {
			if strings.HasPrefix(name, prefix) {
				return nil
			}
		}
		return status.Errorf(codes.PermissionDenied,
			"%s: underlayd owns this speaker; its socket is read-only, change the configuration file instead", name)
	}
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := refuse(info.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := refuse(info.FullMethod); err != nil {
				return err
			}
			return next(server, discreet{stream})
		}),
	}
}

// discreet is a stream whose answers have no passwords. They are made for the one who asked, so that nothing else changes.
type discreet struct{ grpc.ServerStream }

// SendMsg implements grpc.ServerStream.
func (s discreet) SendMsg(message any) error {
	var peer *api.Peer
	switch m := message.(type) {
	case *api.ListPeerResponse:
		peer = m.GetPeer()
	case *api.WatchEventResponse:
		peer = m.GetPeer().GetPeer()
	}
	if conf := peer.GetConf(); conf.GetAuthPassword() != "" {
		conf.AuthPassword = redacted
	}
	if state := peer.GetState(); state.GetAuthPassword() != "" {
		state.AuthPassword = redacted
	}
	return s.ServerStream.SendMsg(message)
}

// removeStaleSocket removes what a killed process left behind. GoBGP could not listen over it.
func removeStaleSocket(name string) error {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("gobgp socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("gobgp socket: %s exists and is not a socket", name)
	}
	if answers(name) == nil {
		return fmt.Errorf("gobgp socket: %s is in use by a running daemon", name)
	}
	return os.Remove(name)
}

// protectSocket waits until GoBGP listens, which it does in the background and reports only to its log, and
// gives the socket to its owner alone. Until then the directory (0700) and the umask of the daemon guard it.
func protectSocket(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := os.Chmod(name, 0o600)
		if err == nil {
			err = answers(name) // the file is there a moment before somebody listens
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gobgp socket: GoBGP does not listen on %s: %w", name, err)
		case <-tick.C:
		}
	}
}

func answers(name string) error {
	conn, err := net.DialTimeout("unix", name, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// defaultListenAddresses is every address of the families this host has: GoBGP fails to start when one of
// its listeners fails, as it would on a host with IPv6 turned off.
func defaultListenAddresses() []string {
	listen := []string{"0.0.0.0"}
	if probe, err := net.Listen("tcp6", "[::]:0"); err == nil {
		_ = probe.Close()
		listen = append(listen, "::")
	}
	return listen
}
