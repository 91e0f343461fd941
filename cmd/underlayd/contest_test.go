package main

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

func TestAPortThatIsTaken(t *testing.T) {
	taken := fmt.Errorf("start BGP speaker as AS 64512 on port 179: %w", unix.EADDRINUSE)
	for name, row := range map[string]struct {
		err    error
		holder string
		want   string
	}{
		"is said with its holder": {taken, "bird (pid 8)", "start BGP speaker as AS 64512 on port 179: address already in use: bird (pid 8) listens there; " +
			"set bgp.port to -1, to connect only, or to another port, such as 1790, and see docs/neighbours.md for how to share the node with another BGP speaker"},
		"or without, if that can't be told": {taken, "", "start BGP speaker as AS 64512 on port 179: address already in use: another program listens there; " +
			"set bgp.port to -1, to connect only, or to another port, such as 1790, and see docs/neighbours.md for how to share the node with another BGP speaker"},
		"and any other error is as it was": {errors.New("stuck"), "bird (pid 8)", "stuck"},
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, portTaken(row.err, row.holder), row.want) })
	}
}

func TestAPeerThatClosesOurConnectionsIsNamed(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	turned := func(r bgp.Rival) []bgp.Session {
		return []bgp.Session{{Peer: "tor-a", Address: peerA, Contest: bgp.Contest{Closed: 4, Since: since, Rival: r}}}
	}
	rival := bgp.Rival{Local: netip.MustParseAddrPort("192.168.0.1:179"), Remote: netip.MustParseAddrPort("192.168.0.2:40000")}
	begins := "192.168.0.2 has closed 4 connections since 03:04:05, and no session lasts: "
	for name, row := range map[string]struct {
		sessions []bgp.Session
		severity status.Severity
		words    string
	}{
		"with whoever is known to have a session": {turned(bgp.Rival{Local: rival.Local, Remote: rival.Remote, Program: "probably bird (pid 8)"}), status.Error,
			begins + "probably bird (pid 8) on this node has a connection with it from the same address (192.168.0.1:179 to 192.168.0.2:40000), and a neighbour keeps one"},
		"as another program, if it can't be told which":  {turned(rival), status.Error, begins + "another program on this node has a connection with it"},
		"with the usual reasons, if nobody else is seen": {turned(bgp.Rival{}), status.Warning, begins + "it does not take this node for the neighbour"},
	} {
		t.Run(name, func(t *testing.T) {
			problems := contestProblems(row.sessions)
			require.Len(t, problems, 1)
			require.Equal(t, row.severity, problems[0].Severity)
			require.Equal(t, "peer tor-a", problems[0].Subject)
			require.Equal(t, since, problems[0].Since)
			require.Contains(t, problems[0].Message, row.words)
		})
	}
	require.Empty(t, contestProblems([]bgp.Session{{Peer: "tor-a", Address: peerA}}), "nothing is said of one that does not")
}
