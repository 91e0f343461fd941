package k8s

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go4.org/netipx"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// budget is the most bytes, keys and values together, of our annotations; all of
// a Node's annotations share 256 KiB, and every watcher of Nodes gets them.
const budget = 16 << 10

// maxMessage bounds the condition's message, in bytes.
const maxMessage = 1024

// content is a Report in the form the Node carries it: equal reports make equal
// contents, to the byte.
type content struct {
	annotations map[string]string
	status      ConditionStatus
	reason      string
	message     string
	remote      *netipx.IPSet // the complete set, cut or not
}

// member is one value of the object underlayd.io/remote-clusters.
type member struct {
	CIDRs  *[]netip.Prefix `json:"cidrs,omitempty"` // nil: left out for size
	Peers  int             `json:"peers"`
	State  string          `json:"state"`
	Reason string          `json:"reason,omitempty"`
	Probe  string          `json:"probe,omitempty"`
}

func (c *content) equal(other *content) bool {
	return maps.Equal(c.annotations, other.annotations) &&
		c.status == other.status && c.reason == other.reason && c.message == other.message
}

func render(r *Report) *content {
	flat, set := aggregate(r.RemoteCIDRs)
	parts := parts{cluster: r.Cluster, hash: annotation.Hash(flat), local: exact(r.LocalCIDRs), remote: flat, clusters: members(r.Clusters)}
	c := &content{annotations: parts.fit(), status: r.Ready, reason: r.Reason, message: oneLine(r.Message), remote: set}
	if c.status != True && c.status != False {
		c.status = Unknown
	}
	return c
}

func members(reports []ClusterReport) map[string]member {
	all := make(map[string]member, len(reports))
	for _, report := range reports {
		if !annotation.ValidName(report.Name) {
			continue
		}
		cidrs, _ := aggregate(report.CIDRs)
		if cidrs == nil {
			cidrs = []netip.Prefix{} // [] says none; null would say nothing
		}
		m := member{CIDRs: &cidrs, Peers: max(report.PeersUp, 0), State: report.State, Reason: report.Reason, Probe: report.Probe}
		if !annotation.ValidWord(m.State) {
			m.State = "Unknown"
		}
		if !annotation.ValidWord(m.Reason) {
			m.Reason = ""
		}
		if !annotation.ValidWord(m.Probe) {
			m.Probe = ""
		}
		all[report.Name] = m
	}
	return all
}

// parts are the annotations before they are text.
type parts struct {
	cluster, hash string
	local, remote []netip.Prefix
	clusters      map[string]member
	missing       int
}

// fit returns annotations within the budget. What has to go goes in this order,
// always the same way: the clusters' own lists, since remote-cidrs has it all;
// then the excess of local CIDRs over an eighth of the budget and of clusters
// over a quarter; then remote CIDRs, the narrowest first, of each cluster and
// family as much as of the others.
func (p *parts) fit() map[string]string {
	annotations, size := p.encode()
	if size <= budget {
		return annotations
	}
	var owners []owned
	for name, m := range p.clusters {
		for _, prefix := range *m.CIDRs {
			owners = append(owners, owned{prefix, name})
		}
		p.missing += len(*m.CIDRs)
		m.CIDRs = nil
		p.clusters[name] = m
	}
	if annotations, size = p.encode(); size <= budget {
		return annotations
	}
	p.cutLocal(budget / 8)
	p.cutClusters(budget / 4)
	if annotations, size = p.encode(); size <= budget {
		return annotations
	}
	// The digits of the count may grow by what is cut now.
	const growth = len("1000000000")
	room := budget - size + len(annotations[annotation.RemoteCIDRs]) - growth
	kept := choose(p.remote, owners, room)
	p.missing += len(p.remote) - len(kept)
	p.remote = kept
	annotations, _ = p.encode()
	return annotations
}

func (p *parts) cutLocal(size int) {
	for i, prefix := range p.local {
		if size -= len(prefix.String()) + 1; size < 0 {
			p.missing += len(p.local) - i
			p.local = p.local[:i]
			return
		}
	}
}

func (p *parts) cutClusters(size int) {
	names := make([]string, 0, len(p.clusters))
	for name := range p.clusters {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if size -= len(name) + len(encodeJSON(p.clusters[name])) + len(`"":,`); size < 0 {
			p.missing++
			delete(p.clusters, name)
		}
	}
}

func (p *parts) encode() (map[string]string, int) {
	local := make([]string, len(p.local))
	for i, prefix := range p.local {
		local[i] = prefix.String()
	}
	annotations := map[string]string{
		annotation.Schema:         annotation.SchemaVersion,
		annotation.Cluster:        p.cluster,
		annotation.LocalCIDRs:     strings.Join(local, ","),
		annotation.RemoteCIDRs:    annotation.EncodeCIDRs(p.remote),
		annotation.RemoteClusters: encodeJSON(p.clusters),
		annotation.RoutesHash:     p.hash,
	}
	if p.missing > 0 {
		annotations[annotation.Truncated] = strconv.Itoa(p.missing)
	}
	size := 0
	for key, value := range annotations {
		size += len(key) + len(value)
	}
	return annotations, size
}

// encodeJSON sorts the keys of maps: the same value is the same text.
func encodeJSON(value any) string {
	out, err := json.Marshal(value)
	if err != nil {
		return "{}" // cannot happen: strings, numbers and prefixes marshal without error
	}
	return string(out)
}

// oneLine makes a message fit for a table cell: peers may have a say in it, and
// control characters would speak to a terminal.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "")
	}
	return s
}
