package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// claim is a wrong announcement: prefixes with a path, and the verdict they deserve.
type claim struct {
	fault    string
	prefixes string // with blanks
	verdict  string
	unlisted string // more of the kind, which GoBGP drops before the daemon hears of them
	path     func(*wire.Path)
	fast     bool
}

func claims() []claim {
	community := func(id uint32) func(*wire.Path) {
		return func(p *wire.Path) { p.Community = [3]uint32{rawASN, 1, id} }
	}
	nextHop := func(v4, v6 string) func(*wire.Path) {
		return func(p *wire.Path) {
			if p.NextHop.Is4() {
				p.NextHop = netip.MustParseAddr(v4)
			} else {
				p.NextHop = netip.MustParseAddr(v6)
			}
		}
	}
	return []claim{
		{fault: "the default route and its halves", verdict: "DefaultRoute", fast: true,
			prefixes: "0.0.0.0/0 0.0.0.0/1 128.0.0.0/1 ::/0 ::/1 8000::/1"},
		{fault: "our own pod CIDR: equal, inside and around it", verdict: "OwnPrefix", fast: true,
			prefixes: "10.10.1.0/24 10.10.1.0/28 10.10.1.10/32 10.10.0.0/16 10.8.0.0/13 10.10.99.0/24 fd00:10:0:1::/64 fd00:10::/48 fd00:10::/32 fd00:10:0:1::10/128"},
		{fault: "what covers a contract", verdict: "CoversContract", prefixes: "10.20.0.0/15 10.16.0.0/12 fd00:20::/47"},
		{fault: "reserved ranges: services, management", verdict: "Reserved", prefixes: "10.96.0.0/16 10.96.0.10/32 192.168.77.0/24 fd00:96::/64 fd00:fab:77::/64"},
		{fault: "our addresses, links and peers", verdict: "NodeAddress", fast: true,
			prefixes: "192.168.1.0/24 192.168.1.1/32 192.168.1.2/32 192.168.5.2/32 192.168.2.128/25 fd00:fab:1::/64 fd00:fab:5::2/128"},
		{fault: "bogons: loopback, link-local, multicast", verdict: "Special",
			prefixes: "127.0.0.0/8 169.254.0.0/16 169.254.169.254/32 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 0.0.0.0/8 fe80::/10 ff00::/8 ::1/128 ::ffff:10.20.0.0/112 192.0.2.0/24 2001:db8:1::/48"},
		{fault: "what no contract covers", verdict: "NoContract", fast: true, prefixes: "10.40.0.0/24 8.8.8.0/24 fd00:40::/64 2600:db8:1::/48"},
		{fault: "prefixes of a cluster that the peer may not speak for", verdict: "PeerNotAllowed", prefixes: "10.30.8.0/24 10.30.9.0/24 fd00:30:0:9::/64"},
		{fault: "lengths outside the contract", verdict: "PrefixLength", prefixes: "10.20.70.0/29 10.20.5.10/32 fd00:20:0:7::/96 fd00:20:0:5::10/128"},
		{fault: "the id of our own cluster", verdict: "OwnClusterID", prefixes: "10.20.71.0/24 fd00:20:0:71::/64", path: community(1)},
		{fault: "the id of a cluster that it is not", verdict: "ClusterMismatch", prefixes: "10.20.72.0/24 fd00:20:0:72::/64", path: community(3)},
		{fault: "our own address as next hop", verdict: "NextHopOurs", prefixes: "10.20.73.0/24 fd00:20:0:73::/64", path: nextHop("192.168.5.1", "fd00:fab:5::1")},
		{fault: "a next hop that is a pod", verdict: "NextHopInPodRange", prefixes: "10.20.74.0/24 fd00:20:0:74::/64", path: nextHop("10.20.1.10", "fd00:20:0:1::10")},
		{fault: "a next hop that nothing can be sent to", verdict: "NextHopInvalid", prefixes: "fd00:20:0:75::/64", unlisted: "10.20.75.0/24", path: nextHop("127.0.0.1", "::1")},
	}
}

// The prefixes with which nothing is wrong, announced along with every claim.
const legal4, legal6 = "10.20.200.0/24", "fd00:20:0:200::/64"

// hostileRows are about peers that announce what they must not.
func hostileRows() []row {
	var rows []row
	for _, c := range claims() {
		rows = append(rows, row{
			name: c.fault, fast: c.fast,
			required: "refused as " + c.verdict + "; not in the kernel; the rest of the peer's routes is taken, its session stays",
			rewrites: true,
			says:     []string{"refused, " + c.verdict},
			metrics:  []string{fmt.Sprintf(`underlayd_session_refused_paths_total{peer="raw",reason=%q}`, c.verdict)},
			inject:   func(ctx context.Context, s *scene) error { return s.claims(ctx, c) },
		})
	}
	return slices.Concat(rows, floodRows(), poisonRows())
}

// parse reads prefixes with blanks in between.
func parse(list string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range strings.Fields(list) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// announce writes the prefixes, those of one family in one UPDATE, with a path that change may spoil.
func announce(b []byte, change func(*wire.Path), prefixes ...netip.Prefix) []byte {
	for _, v6 := range []bool{false, true} {
		path := rawPath(v6)
		if change != nil {
			change(&path)
		}
		some := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return p.Addr().Is6() != v6 })
		b = wire.AppendUpdate(b, path, perUpdate, some...)
	}
	return b
}

// perUpdate keeps an UPDATE below 4096 bytes.
const perUpdate = 200

func withdraw(prefixes ...netip.Prefix) []byte {
	var b []byte
	for _, v6 := range []bool{false, true} {
		some := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return p.Addr().Is6() != v6 })
		if len(some) > 0 {
			b = wire.AppendWithdraw(b, perUpdate, some...)
		}
	}
	return b
}

// claims announces what is wrong together with something that is not, and withdraws all.
func (s *scene) claims(ctx context.Context, c claim) error {
	wrong, right := parse(c.prefixes), parse(legal4+" "+legal6)
	b := announce(nil, c.path, append(parse(c.unlisted), wrong...)...)
	if c.path == nil { // it is in the same UPDATE
		b = announce(nil, nil, append(slices.Clone(wrong), right...)...)
	} else {
		b = announce(b, nil, right...)
	}
	if err := s.raw.write(b); err != nil {
		return err
	}
	installed := append(wanted(), legal4+" via "+neighbourOf("raw").address(false).String(), legal6+" via "+neighbourOf("raw").address(true).String())
	slices.Sort(installed)
	_, err := s.until(ctx, 2*time.Second, "the legal routes", func(context.Context) error { return s.routesAre(installed) })
	if err == nil {
		err = s.refused(ctx, c.verdict, wrong...)
	}
	if err == nil {
		err = s.routesAre(installed)
	}
	if err == nil {
		err = s.says(ctx, time.Second, "refused, "+c.verdict)
	}
	return errors.Join(err, s.raw.write(withdraw(append(wrong, right...)...)))
}

// refused waits until the daemon lists all prefixes as refused for a reason.
func (s *scene) refused(ctx context.Context, verdict string, prefixes ...netip.Prefix) error {
	took, err := s.until(ctx, patience, "refusals", func(ctx context.Context) error {
		text, err := s.daemon.get(ctx, "/v1/routes?"+url.Values{"verdict": {verdict}}.Encode())
		if err != nil {
			return err
		}
		var list struct {
			Items []struct {
				Prefix netip.Prefix `json:"prefix"`
			} `json:"items"`
		}
		if err := json.Unmarshal(text, &list); err != nil {
			return err
		}
		var missing []string
		for _, p := range prefixes {
			if !slices.ContainsFunc(list.Items, func(r struct {
				Prefix netip.Prefix `json:"prefix"`
			}) bool {
				return r.Prefix == p
			}) {
				missing = append(missing, p.String())
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("not refused as %s: %q", verdict, missing)
		}
		return nil
	})
	if err == nil {
		s.note("%d refused after %s", len(prefixes), took)
	}
	return err
}
