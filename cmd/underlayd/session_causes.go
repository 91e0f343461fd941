package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

const (
	sessionDoc  = "docs/operations.md#sessions"
	passwordDoc = "docs/operations.md#passwords-tcp-md5-rfc-2385"
)

// The codes of a NOTIFICATION that a remedy is known for (RFC 4271, section 4.5; RFC 4486).
const (
	codeOpen  = 2
	codeCease = 6
)

// notified says what the NOTIFICATION means that a session, or an attempt to bring it up, ended with.
func (a *account) notified(s status.Session, key string) (reason string, r *status.Remedy) {
	e := s.LastEnd
	if e == nil {
		return "", nil
	}
	say := func(reason, key, action string) (string, *status.Remedy) {
		r := &status.Remedy{Action: action, Key: key, Doc: sessionDoc}
		if key == "" { // it is to be done there
			r.Command = "underlayd peers " + s.Peer
		}
		return reason, r
	}
	switch {
	case e.Code == codeOpen && e.Subcode == 3:
		return say("BGPIdentifier", "bgp.routerID", "two speakers have one BGP identifier, or the peer takes ours for none: give this node another")
	case e.Code == codeOpen && e.Subcode == 5:
		return say("WrongPassword", key+".passwordFile", "the peer does not take who we are: compare the passwords of both sides")
	case e.Code == codeOpen && e.Subcode == 6:
		return say("HoldTime", "bgp.holdTime", "one side does not take the other's hold time: choose one that both take")
	case e.Code == codeOpen && e.Subcode == 7:
		return say("Capability", key, "one side requires a capability that the other has not: the peer's log names it")
	case e.Code == codeCease && e.By == "peer" && e.Subcode == 2:
		return say("ShutDown", "", "the peer was shut down on purpose: bring the session up there")
	case e.Code == codeCease && e.By == "peer" && e.Subcode == 3:
		return say("NotConfigured", "", "the peer has us as a neighbour no more: configure this node there")
	case e.Code == codeCease && e.By == "peer" && e.Subcode == 5:
		return say("NotConfigured", "", fmt.Sprintf("the peer refuses the connection: configure this node there, with AS %d and the address that we connect from", a.config.BGP.ASN))
	}
	return "", nil
}

// unreached says what the kernel knows of the way to a peer that is not there.
func (a *account) unreached(p config.Peer) (reason string, r *status.Remedy) {
	if a.kernel == nil || !p.Address.IsValid() || p.Address.Zone() != "" {
		return "", nil
	}
	x := a.trace(fib.Packet{Dst: p.Address})
	say := func(reason, command, action string) (string, *status.Remedy) {
		return reason, &status.Remedy{Action: action, Command: command, Doc: sessionDoc}
	}
	switch {
	case x.Fate != string(fib.Forwarded) && x.Fate != string(fib.Delivered):
		return say("NoWay", "ip route get "+p.Address.String(), fmt.Sprintf("there is no way to %s: %s; give the node a route, or the link its address", p.Address, fateWords(x)))
	case x.LinkDown:
		return say("LinkDown", "ip link set "+x.Link+" up", "bring the link up")
	case x.Neighbour == "FAILED" || x.Neighbour == "INCOMPLETE":
		gateway := cmp.Or(x.Gateway, p.Address)
		return say("PeerSilent", fmt.Sprintf("ip neigh show %s dev %s", gateway, x.Link),
			fmt.Sprintf("%s does not answer on link %s (ARP, neighbour discovery): see whether it is there, and in the right VLAN", gateway, x.Link))
	}
	return "", nil
}

// counted goes by what the kernel has dropped lately: it says of no peer that it was this one's.
func (a *account) counted(p config.Peer, key string) (reason string, r *status.Remedy) {
	seen := a.checks.dropped()
	keyed := p.PasswordFile != "" || p.PasswordSecret.Name != ""
	say := func(reason, key, value, counter, action string) (string, *status.Remedy) {
		return reason, &status.Remedy{
			Action: fmt.Sprintf("%s (%d segments were dropped within minutes, TcpExt%s)", action, seen[counter], counter), Key: key, Value: value,
			Command: "nstat -az TcpExt" + counter, Doc: passwordDoc,
		}
	}
	file := key + ".passwordFile"
	switch {
	case keyed && seen["TCPMD5Failure"] > 0:
		return say("WrongPassword", file, p.PasswordFile, "TCPMD5Failure", "the two sides most likely have different passwords: make them the same")
	case keyed && seen["TCPMD5NotFound"] > 0:
		return say("NoPassword", file, p.PasswordFile, "TCPMD5NotFound", "the peer most likely has no password, and we have one: give it ours, or take it away here")
	case !keyed && seen["TCPMD5Unexpected"] > 0:
		return say("NoPassword", file, "a file with the peer's password", "TCPMD5Unexpected", "the peer most likely has a password, and we have none for it")
	case p.Hops > 0 && seen["TCPMinTTLDrop"] > 0:
		reason, r = say("TTLSecurity", key+".hops", "", "TCPMinTTLDrop", fmt.Sprintf("the peer's packets most likely come from further away than %d hops, or it does not send them with TTL 255 (GTSM, RFC 5082)", p.Hops))
		r.Doc = sessionDoc
		return reason, r
	case p.Passive:
		return "Passive", &status.Remedy{Action: "we wait for the peer to connect: it must not be passive as well, and have our address", Key: key + ".passive", Value: "false", Doc: sessionDoc}
	}
	return "", nil
}

// What was dropped lately is what was since the oldest of some readings: a speaker may try once in two minutes.
const (
	readingRest = 30 * time.Second
	readings    = 7
)

// reading is what the kernel has counted by a moment.
type reading struct {
	at     time.Time
	counts map[string]uint64
}

// count takes a reading, if the last one is old enough.
func (h *hostChecks) count(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.counts); n > 0 && now.Sub(h.counts[n-1].at) < readingRest {
		return
	}
	h.counts = append(h.counts, reading{now, tcpCounters()})
	h.counts = h.counts[max(0, len(h.counts)-readings):]
}

// dropped is how often what was counted lately.
func (h *hostChecks) dropped() map[string]uint64 {
	if h == nil {
		return nil
	}
	now := tcpCounters()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.counts) == 0 {
		return nil
	}
	for name, before := range h.counts[0].counts {
		now[name] -= min(now[name], before)
	}
	return now
}

// tcpCounters are those of the kernel for this network namespace, without the prefix TcpExt.
func tcpCounters() map[string]uint64 {
	found := map[string]uint64{}
	text, err := os.ReadFile("/proc/self/net/netstat")
	if err != nil {
		return found
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		values, ours := strings.CutPrefix(line, "TcpExt:")
		switch {
		case !ours:
		case names == nil:
			names = strings.Fields(values)
		default:
			for i, v := range strings.Fields(values) {
				if n, err := strconv.ParseUint(v, 10, 64); err == nil && i < len(names) {
					found[names[i]] = n
				}
			}
		}
	}
	return found
}
