package config

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Place is where a value came from.
type Place struct {
	Source string // the file, or the flag or variable
	Line   int    // 1-based; 0 when there is no line
	Column int
}

// String is "file:line:column", without the parts that are absent.
func (p Place) String() string {
	at := p.Source
	for _, n := range []int{p.Line, p.Column} {
		if n == 0 {
			break
		}
		at += ":" + strconv.Itoa(n)
	}
	return at
}

// Places says where the values of a Config came from. It must not be changed.
type Places struct{ of reader }

// Of returns the place of a path such as bgp.peers[1].asn, or else of what surrounds it. The elements of lists of plain
// values are sorted in a Config, so that their numbers there are not those of the file: ask for the list.
func (p Places) Of(path string) Place {
	at := p.of.place(path)
	return Place{Source: at.source, Line: at.line, Column: at.column}
}

// Given says whether a path was given a value, or has its default.
func (p Places) Given(path string) bool { return p.of.given(path) }

// LoadPlaces is Load for those who want to point at values.
func LoadPlaces(path string, o Overrides) (*Config, Places, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Places{}, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	return ParsePlaces(f, path, o)
}

// LoadPeersPlaces is LoadPeers for those who want to point at values: it returns the configuration with the peers, and the
// places of both.
func LoadPeersPlaces(path string, base *Config, of Places, own func(netip.Addr) bool) (*Config, Places, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, Places{}, fmt.Errorf("read peers: %w", err)
	}
	defer in.Close()
	f, err := parsePeers(in, path, base, own)
	if err != nil {
		return nil, Places{}, err
	}
	all := maps.Clone(of.of.places)
	called := make(map[string]string, len(f.paths)) // in the whole configuration, by path in the file
	for i, p := range f.paths {
		called[p] = element("bgp.peers", len(base.BGP.Peers)+i)
	}
	const entry = 2 // brackets in the path of an entry
	for p, at := range f.places {
		end := 0
		for range entry {
			if n := strings.IndexByte(p[end:], ']'); n >= 0 {
				end += n + 1
			}
		}
		if name, is := called[p[:end]]; is {
			all[name+p[end:]] = at
		}
	}
	whole := *base
	whole.BGP.Peers = append(slices.Clone(base.BGP.Peers), f.peers...)
	return &whole, Places{reader{source: of.of.source, places: all}}, nil
}

// ForNodePlaces is ForNode with no labels but node.labels, for those who want to point at values: it returns the places of
// the peers that are left, by their new indices.
func (c *Config) ForNodePlaces(of Places) (*Config, Places, Errors) {
	here, kept, errs := c.forNode(nil, true)
	for i := range errs {
		errs[i].Source = of.of.source
	}
	renamed := make(map[string]string, len(kept))
	for now, before := range kept {
		renamed[element("bgp.peers", before)] = element("bgp.peers", now)
	}
	all := make(map[string]place, len(of.of.places))
	for path, at := range of.of.places {
		end := strings.IndexByte(path, ']') + 1
		if !strings.HasPrefix(path, "bgp.peers[") {
			all[path] = at
		} else if now, is := renamed[path[:end]]; is {
			all[now+path[end:]] = at
		}
	}
	return here, Places{reader{source: of.of.source, places: all}}, errs
}

// ParsePlaces is Parse for those who want to point at values.
func ParsePlaces(in io.Reader, name string, o Overrides) (*Config, Places, error) {
	c, r, err := parse(in, name, o)
	if err != nil {
		return nil, Places{}, err
	}
	return c, Places{reader{source: name, places: r.places}}, nil
}
