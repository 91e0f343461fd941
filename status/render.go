package status

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
)

// Format is how an answer is written.
type Format string

// The formats.
const (
	Table Format = "table" // for people; may change from version to version
	Wide  Format = "wide"  // likewise, with more columns
	JSON  Format = "json"  // for programs; stable within an APIVersion
)

// ParseFormat reads the value of a flag.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Table, Wide, JSON:
		return f, nil
	default:
		return "", fmt.Errorf("output format %q: must be table, wide, json or yaml", s)
	}
}

// Options of the Write functions.
type Options struct {
	Format Format
	Now    time.Time // what durations are counted to; ignored by JSON
	// Location is where times are told for; nil is this machine's. JSON has them as the daemon said them.
	Location *time.Location
	// Colour has states and severities in colour, as a terminal shows them.
	Colour bool
}

// WriteStatus writes a snapshot as the server answered it: how things are in one sentence, then what is wrong,
// then the tables.
func WriteStatus(w io.Writer, s *Snapshot, o Options) error {
	if o.Format == JSON {
		return writeJSON(w, s)
	}
	p := newPage(w, o)
	p.line("%s", s.sentence(p.paint(string(s.Phase), clean(string(s.Phase)))))
	p.problems(s.Problems)
	p.sessions(s.Sessions)
	if o.Format == Wide {
		p.wideSessions(s.Sessions)
	}
	p.clusters(s.Clusters)
	p.probes(s.Probes, o.Format == Wide)
	p.facts(s)
	return p.flush()
}

// WritePeers writes the sessions.
func WritePeers(w io.Writer, l *PeerList, o Options) error {
	if o.Format == JSON {
		return writeJSON(w, l)
	}
	p := newPage(w, o)
	p.line("%s.", peerSentence(l.Items))
	var wrong []Problem
	for _, s := range l.Items {
		if s.State != Established {
			wrong = append(wrong, s.problem())
		}
	}
	p.problems(wrong)
	p.sessions(l.Items)
	if o.Format == Wide {
		p.wideSessions(l.Items)
	}
	return p.flush()
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// sentence is the roll-up: the one line for somebody who reads only one.
func (s *Snapshot) sentence(phase string) string {
	return fmt.Sprintf("%s of cluster %s is %s: %s, %d of %s in the kernel, %s advertised.",
		clean(s.Node), clean(s.Cluster.Name), phase, peerSentence(s.Sessions),
		s.Routes.inKernel(), count(s.Routes.Accepted, "accepted prefix", "accepted prefixes"),
		count(len(s.Advertised), "pod CIDR", "pod CIDRs"))
}

// inKernel is how many of the accepted prefixes are where they should be.
func (s RouteSummary) inKernel() int {
	return min(s.Installed, s.Accepted)
}

func peerSentence(sessions []Session) string {
	up := 0
	for _, s := range sessions {
		if s.State == Established {
			up++
		}
	}
	return fmt.Sprintf("%d of %s established", up, count(len(sessions), "peer", "peers"))
}

// page writes lines and tables, in large pieces, and remembers the first error.
type page struct {
	w     *bufio.Writer
	now   time.Time
	where *time.Location
	err   error
	// colour says that it is for a terminal.
	colour bool
}

func newPage(w io.Writer, o Options) *page {
	return &page{w: bufio.NewWriterSize(w, bufferSize), now: o.Now, where: cmp.Or(o.Location, time.Local), colour: o.Colour}
}

func (p *page) flush() error {
	if err := p.w.Flush(); p.err == nil {
		p.err = err
	}
	return p.err
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *page) table(header ...string) *table { return newTable(p, header) }

func (p *page) problems(list []Problem) {
	switch len(list) {
	case 0:
		p.line("Nothing is wrong.")
		return
	case 1:
		p.line("1 thing is wrong:")
	default:
		p.line("%d things are wrong:", len(list))
	}
	for _, x := range list {
		since := ""
		if !x.Since.IsZero() {
			since = " (for " + p.since(x.Since) + ")"
		}
		severity := clean(string(x.Severity))
		p.line("  %s %s: %s%s", p.paint(severity, fmt.Sprintf("%-8s", severity)), clean(x.Subject), clean(x.Message), since)
	}
}

func (p *page) sessions(list []Session) {
	if len(list) == 0 {
		return
	}
	p.line("")
	t := p.table("PEER", "ADDRESS", "ASN", "STATE", "FOR", "FAMILIES", "RECEIVED", "ACCEPTED", "ADVERTISED", "FLAPS", "LAST ERROR")
	for _, s := range list {
		state := stateName(s.State)
		if s.State == Established && !s.Complete {
			state += " (learning)"
		}
		t.row(s.Peer, s.where(), number(s.ASN), state, p.since(s.Since), strings.Join(s.Families, ","),
			maybe(s.Received), number(s.Accepted), maybe(s.Advertised), number(s.Flaps), s.LastError)
	}
	t.end()
}

func (p *page) clusters(list []RemoteCluster) {
	if len(list) == 0 {
		return
	}
	p.line("")
	t := p.table("CLUSTER", "ID", "STATE", "PEERS", "ACCEPTED", "INSTALLED", "REFUSED", "MAX", "ROUTABLE", "REASON")
	for _, c := range list {
		t.row(c.Name, number(c.ID), string(c.State), fmt.Sprintf("%d/%d", c.PeersUp, c.Peers), number(c.Accepted),
			number(c.Installed), number(c.Refused), number(c.MaxPrefixes), few(c.Routable), c.Reason)
	}
	t.end()
}

func (p *page) facts(s *Snapshot) {
	p.line("")
	t := p.table()
	t.row("Advertised", s.advertised())
	if s.Gateway != nil {
		t.row("Gateway", s.Gateway.sentence())
	}
	k := s.Kernel
	t.row("Kernel", fmt.Sprintf("%s in table %d (protocol %d, metric %d, next hops %s), %s, %s, %s",
		count(k.Routes, "route", "routes"), k.Table, k.Protocol, k.Metric, k.Mode,
		count(k.Operations, "operation", "operations"), count(k.Repairs, "repair", "repairs"), count(k.Errors, "error", "errors")))
	t.row("NAT exemption", s.NATExemption.sentence())
	for _, n := range k.Notes {
		t.row("Host", n)
	}
	t.row("Kubernetes", s.Kubernetes.sentence())
	if s.Place != nil {
		t.row("Place", s.Place.sentence())
	}
	if len(s.Roles) > 0 {
		t.row("Roles", strings.Join(s.Roles, ", "))
	}
	for _, c := range s.Conditions {
		t.row("Condition", c.Type+"="+c.Status+" ("+c.Reason+")"+after(": ", c.Message))
	}
	t.row("Daemon", fmt.Sprintf("version %s, pid %d, up %s, AS %d%s, router id %s%s, cluster id %d",
		s.Version, s.PID, p.since(s.Started), s.ASN, from(s.ASNFrom), text(s.RouterID), from(s.RouterIDFrom), s.Cluster.ID))
	t.end()
}

// from is what says something, in brackets.
func from(what string) string {
	if what == "" {
		return ""
	}
	return " (" + clean(what) + ")"
}

// advertised names the prefixes by where they were read.
func (s *Snapshot) advertised() string {
	from := make(map[string][]netip.Prefix, 1)
	for _, o := range s.AdvertisedFrom {
		from[o.Source] = append(from[o.Source], o.Prefix)
	}
	if len(from) == 0 {
		return cmp.Or(few(s.Advertised), "nothing")
	}
	var parts []string
	for _, source := range sortedKeys(from) {
		parts = append(parts, few(from[source])+" ("+clean(source)+")")
	}
	return strings.Join(parts, "; ")
}

func (p Place) sentence() string {
	var parts []string
	if p.Region != "" {
		parts = append(parts, "region "+clean(p.Region)+" ("+clean(p.RegionFrom)+")")
	}
	if p.Zone != "" {
		parts = append(parts, "zone "+clean(p.Zone)+" ("+clean(p.ZoneFrom)+")")
	}
	return strings.Join(parts, ", ")
}

func (k Kubernetes) sentence() string {
	switch {
	case !k.Enabled:
		return "not used"
	case !k.Synced:
		return cmp.Or(clean(k.WaitingFor), "the Node has not been read yet")
	default:
		return "the Node is read, " + count(k.Writes, "write", "writes") + " of its status"
	}
}
