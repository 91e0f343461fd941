package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/underlayd/underlayd/containerlab"
)

// speaker is the peer's program, as far as it is asked something.
type speaker struct {
	host
	node   *containerlab.Node
	folder string // of its configuration
}

func (s speaker) family() string {
	if s.V4() {
		return "ipv4"
	}
	return "ipv6"
}

// prefix is what the node announces, in a family that the session carries.
func prefixOf(h host) string {
	if h.V4() {
		return h.Pods4()
	}
	return h.Pods6()
}

// table is what the peer says of a prefix of the node's.
func (s speaker) table(ctx context.Context) (string, error) {
	prefix := prefixOf(s.Node)
	var argv []string
	switch s.Daemon() {
	case frr:
		argv = []string{"vtysh", "-c", "show bgp " + s.family() + " unicast " + prefix}
	case bird:
		argv = []string{"birdc", "show", "route", prefix, "all"}
	default:
		argv = []string{"gobgp", "global", "rib", prefix, "-a", s.family()}
	}
	return s.node.Output(ctx, argv...)
}

// has fails unless the peer has the node's prefix.
func (s speaker) has(ctx context.Context) error {
	text, err := s.table(ctx)
	if err == nil && !regexp.MustCompile(`(?i)best|unicast \[|\*>`).MatchString(text) {
		err = fmt.Errorf("%s has no route to %s: %s", s.Name, prefixOf(s.Node), strings.TrimSpace(text))
	}
	return err
}

// told fails unless the peer has heard that the node is about to leave.
func (s speaker) told(ctx context.Context) error {
	text, err := s.table(ctx)
	if err == nil && !regexp.MustCompile(`65535[:,] ?0\b|graceful-shutdown|planned-shut`).MatchString(text) {
		err = fmt.Errorf("no GRACEFUL_SHUTDOWN: %s", strings.TrimSpace(text))
	}
	return err
}

// leave has the peer say that it is about to leave.
func (s speaker) leave(ctx context.Context) error {
	switch s.Daemon() {
	case frr:
		_, err := s.node.Output(ctx, "vtysh", "-c", "configure terminal", "-c", fmt.Sprintf("router bgp %d", s.ASN), "-c", "bgp graceful-shutdown")
		return err
	case bird:
		path := filepath.Join(s.folder, "bird.conf")
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.Replace(string(text), "# leaving: ", "", 1)), 0o644)
		}
		if err == nil {
			_, err = s.node.Output(ctx, "birdc", "configure")
		}
		return err
	}
	announcer := s.announcer()
	nextHop := announcer.Session()
	_, err := s.node.Output(ctx, "gobgp", "global", "rib", "add", prefixOf(announcer), "origin", "igp", "nexthop", nextHop,
		"community", "65535:0", "-a", s.family())
	return err
}

// refresh has the peer ask for all routes again (RFC 2918).
func (s speaker) refresh(ctx context.Context) error {
	argv := []string{"birdc", "reload", "in", "east"}
	if s.Daemon() == frr {
		argv = []string{"vtysh", "-c", "clear bgp " + s.family() + " unicast * soft in"}
	}
	_, err := s.node.Output(ctx, argv...)
	return err
}

// updates is how many UPDATEs of the node's the peer has counted.
func (s speaker) updates(ctx context.Context) (int, error) {
	if s.Daemon() == bird {
		text, err := s.node.Output(ctx, "birdc", "show", "protocols", "all", "east")
		if err != nil {
			return 0, err
		}
		found := regexp.MustCompile(`Import updates: +(\d+)`).FindStringSubmatch(text)
		if found == nil {
			return 0, errors.New("birdc counts nothing")
		}
		return strconv.Atoi(found[1])
	}
	text, err := s.node.Output(ctx, "vtysh", "-c", "show bgp neighbors json")
	if err != nil {
		return 0, err
	}
	var neighbors map[string]struct {
		RemoteAS int    `json:"remoteAs"`
		Router   string `json:"remoteRouterId"`
		Stats    struct {
			Received int `json:"updatesRecv"`
			Asked    int `json:"routeRefreshSent"`
		} `json:"messageStats"`
	}
	if err := json.Unmarshal([]byte(text), &neighbors); err != nil {
		return 0, err
	}
	for _, n := range neighbors {
		if n.Router == s.Node.RouterID() {
			return n.Stats.Received, nil
		}
	}
	return 0, errors.New("FRR does not know the node")
}

// processes are those that a crash of the peer takes along.
func (s speaker) processes() []string {
	return map[string][]string{frr: {"bgpd"}, bird: {"bird"}, gobgp: {"bash"}}[s.Daemon()]
}

// state is what the daemon says of its session.
type state struct {
	Sessions []struct {
		State     string `json:"state"`
		LastError string `json:"lastError"`
		BFD       struct {
			State   string `json:"state"`
			Problem string `json:"problem"`
		} `json:"bfd"`
	} `json:"sessions"`
	ConfigProblem string `json:"configProblem"`
}

// route is what the daemon says of a prefix.
type route struct {
	Detail string `json:"detail"`
	Paths  []struct {
		NextHop   string `json:"nextHop"`
		LocalPref int    `json:"localPref"`
		Detail    string `json:"detail"`
		Accepted  bool   `json:"accepted"`
	} `json:"paths"`
	NextHops []string `json:"nextHops"`
	Kernel   struct {
		Status string `json:"status"`
	} `json:"kernel"`
}

// query asks the daemon.
func query(ctx context.Context, n *containerlab.Node, into any, argv ...string) error {
	text, err := n.Output(ctx, append(append([]string{"underlayd"}, argv...), "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}
