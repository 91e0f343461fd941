package main

import (
	"fmt"
	"regexp"
	"slices"
)

// cell is one combination of the matrix.
type cell struct {
	Daemon    string // whom underlayd speaks with
	Transport string // what the session runs over, and what it carries
	Relation  string // what the two are to each other
	Feature   string // what is tried
}

func (c cell) String() string {
	return fmt.Sprintf("%s %s %s %s", c.Daemon, c.Transport, c.Relation, c.Feature)
}

// The axes of the matrix.
const (
	frr, bird, gobgp                                         = "frr", "bird", "gobgp"
	overIPv4, overIPv6, rfc8950, unnumbered                  = "ipv4", "ipv6", "rfc8950", "unnumbered"
	ebgp, ibgp, reflector, multihop                          = "ebgp", "ibgp", "reflector", "multihop"
	plain, md5, gtsm, bfd, helper, restarting, leaving, soft = "plain", "md5", "gtsm", "bfd", "gr-helper", "gr-restarting", "graceful-shutdown", "route-refresh"
	addPath                                                  = "add-path"
)

func daemons() []string    { return []string{frr, bird, gobgp} }
func transports() []string { return []string{overIPv4, overIPv6, rfc8950, unnumbered} }
func relations() []string  { return []string{ebgp, ibgp, reflector, multihop} }
func features() []string {
	return []string{plain, md5, gtsm, bfd, helper, restarting, leaving, soft, addPath}
}

// matrix is all cells, in the order of the table.
func matrix() []cell {
	var all []cell
	for _, d := range daemons() {
		for _, t := range transports() {
			for _, r := range relations() {
				for _, f := range features() {
					all = append(all, cell{d, t, r, f})
				}
			}
		}
	}
	return all
}

// matching returns the cells whose names match.
func matching(pattern string) ([]cell, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(matrix(), func(c cell) bool { return !re.MatchString(c.String()) }), nil
}

// reason says why there is no such cell: because of the protocol, or because the peer's program does not do it. Empty: it
// is tried.
func (c cell) reason() string {
	switch {
	case c.Transport == unnumbered && c.Relation == multihop:
		return "a link-local address is of one link"
	case c.Transport == unnumbered && c.Relation == reflector:
		return "a reflected next hop that is link-local means nothing to the client"
	case c.Transport == unnumbered && c.Feature == addPath:
		return "the other paths' next hops are of other links"
	case c.Relation == multihop && c.Feature == addPath:
		return "the same as without multihop"
	}
	for _, u := range lacks() {
		if u.matches(c) {
			return u.why
		}
	}
	return ""
}

// lack is something that a program in the version of the lab does not do. An empty axis stands for all of it.
type lack struct {
	cell
	why string
}

func (l lack) matches(c cell) bool {
	is := func(wanted, is string) bool { return wanted == "" || wanted == is }
	return is(l.Daemon, c.Daemon) && is(l.Transport, c.Transport) && is(l.Relation, c.Relation) && is(l.Feature, c.Feature)
}

// lacks is what the peers' programs do not do; all of it was tried.
func lacks() []lack {
	return []lack{
		{cell{Daemon: gobgp, Feature: bfd}, "gobgpd 3.10 has no BFD"},
		{cell{Daemon: gobgp, Relation: ebgp, Feature: addPath}, "gobgpd names itself as the next hop of all that it passes on to another AS"},
		{cell{Daemon: gobgp, Transport: unnumbered, Feature: md5}, "gobgpd 3.10 signs nothing to an address with a zone"},
		{cell{Daemon: frr, Transport: rfc8950, Relation: ebgp, Feature: addPath}, "FRR 8.4 names itself as the IPv6 next hop of what it passes on to another AS"},
		{cell{Daemon: gobgp, Feature: soft}, "gobgpd re-reads its own Adj-RIB-In and asks nobody"},
	}
}

// carries4 and carries6 say which families the session carries.
func (c cell) carries4() bool { return c.Transport != overIPv6 }
func (c cell) carries6() bool { return c.Transport == overIPv6 || c.Transport == unnumbered }

// internal says whether both are in one AS.
func (c cell) internal() bool { return c.Relation == ibgp || c.Relation == reflector }

// origins is how many speakers stand behind the peer and announce what it passes on.
func (c cell) origins() int {
	switch {
	case c.Feature == addPath:
		return 2
	case c.Relation == reflector:
		return 1
	}
	return 0
}

// hops is how far the peer is.
func (c cell) hops() int {
	if c.Relation == multihop {
		return 2
	}
	return 1
}
