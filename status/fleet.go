package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// The kinds of documents about nodes as a whole.
const (
	KindNodeSummary = "NodeSummary"
	KindFleetList   = "FleetList"
)

// The limits of asking other nodes. What they cost does not depend on how many look.
const (
	fleetAtOnce  = 64
	fleetTimeout = 2 * time.Second // for one node
	fleetFresh   = 3 * time.Second // for which an answer is given again
	fleetBytes   = 16 << 10        // of one node's answer
	fleetWord    = 300             // bytes of each text in it
)

// NodeSummary is how a node is, in a few lines.
type NodeSummary struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Node       string `json:"node"`
	Cluster    string `json:"cluster"`
	Version    string `json:"version"`
	Pulse
	// Headlines are the first few of its problems.
	Headlines []Problem `json:"headlines,omitempty"`
}

func newNodeSummary(s *Snapshot) *NodeSummary {
	return &NodeSummary{
		APIVersion: APIVersion, Kind: KindNodeSummary, Node: s.Node, Cluster: s.Cluster.Name, Version: s.Version, Pulse: newPulse(s),
		Headlines: s.Problems[:min(len(s.Problems), maxHeadlines)],
	}
}

// FleetList is how each node of the fleet is, as far as it says so: this one first.
type FleetList struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Node       string      `json:"node"`
	Time       time.Time   `json:"time"` // when they were asked
	Items      []FleetNode `json:"items"`
}

// FleetNode is one node's answer, or why there is none.
type FleetNode struct {
	Address netip.AddrPort `json:"address,omitzero"` // where it was asked; none: it is this node
	Took    time.Duration  `json:"tookNanoseconds,omitempty"`
	Summary *NodeSummary   `json:"summary,omitempty"`
	Error   string         `json:"error,omitempty"`
}

// fleet asks the nodes that the configuration names, and nobody else.
type fleet struct {
	nodes []netip.AddrPort
	http  *http.Client

	mu    sync.Mutex // guards what follows, and has those wait who ask at the same time
	asked time.Time
	last  []FleetNode
}

func newFleet(nodes []netip.AddrPort) *fleet {
	dialer := net.Dialer{Timeout: fleetTimeout}
	return &fleet{nodes: nodes, http: &http.Client{
		Timeout:       fleetTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // with no proxy of the environment
			DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: fleetBytes,
		},
	}}
}

// answers returns what the nodes said last, within fleetFresh. Whoever comes meanwhile waits for the same answers. It is not his
// asking that is cut short when he goes: others wait for it too.
func (f *fleet) answers(ctx context.Context) ([]FleetNode, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.asked) < fleetFresh {
		return f.last, f.asked
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	all := make([]FleetNode, len(f.nodes))
	var group errgroup.Group
	group.SetLimit(fleetAtOnce)
	for i, address := range f.nodes {
		group.Go(func() error {
			all[i] = f.ask(ctx, address)
			return nil
		})
	}
	_ = group.Wait() // each says for itself what went wrong
	f.last, f.asked = all, time.Now()
	return f.last, f.asked
}

// ask asks one node. Its answer is another machine's: its size is bounded, and so is each text in it.
func (f *fleet) ask(ctx context.Context, address netip.AddrPort) FleetNode {
	out, began := FleetNode{Address: address}, time.Now()
	s, err := f.summary(ctx, address)
	out.Took = time.Since(began)
	if err != nil {
		out.Error = shortened(err.Error())
		return out
	}
	out.Summary = s
	return out
}

func (f *fleet) summary(ctx context.Context, address netip.AddrPort) (*NodeSummary, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.String()+"/v1/summary", nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	response, err := f.http.Do(request)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		if failed.Timeout() {
			return nil, fmt.Errorf("no answer within %s", fleetTimeout)
		}
		return nil, failed.Err // the address is told beside it
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body := io.LimitReader(response.Body, fleetBytes)
	if response.StatusCode != http.StatusOK {
		var said problemBody
		if json.NewDecoder(body).Decode(&said) != nil || said.Error == "" {
			said.Error = "no reason given"
		}
		return nil, fmt.Errorf("it answered %s: %s", response.Status, said.Error)
	}
	s := &NodeSummary{}
	if err := json.NewDecoder(body).Decode(s); err != nil {
		return nil, fmt.Errorf("read its answer: %w", err)
	}
	if s.APIVersion != APIVersion || s.Kind != KindNodeSummary {
		return nil, fmt.Errorf("it answered with a %s of %s: a %s of %s is wanted", s.Kind, s.APIVersion, KindNodeSummary, APIVersion)
	}
	return s.shorten(), nil
}

// shorten bounds what another machine said.
func (s *NodeSummary) shorten() *NodeSummary {
	for _, text := range []*string{&s.Node, &s.Cluster, &s.Version, (*string)(&s.Phase)} {
		*text = shortened(*text)
	}
	s.Headlines = s.Headlines[:min(len(s.Headlines), maxHeadlines)]
	for i := range s.Headlines {
		p := &s.Headlines[i]
		p.Subject, p.Message, p.Severity = shortened(p.Subject), shortened(p.Message), Severity(shortened(string(p.Severity)))
	}
	return s
}

func shortened(s string) string {
	if len(s) <= fleetWord {
		return s
	}
	return strings.ToValidUTF8(s[:fleetWord], "") + "…"
}

func (g *lookingGlass) tellSummary(w http.ResponseWriter, r *http.Request) {
	if s := g.summary(w, r); s != nil {
		n := newNodeSummary(s.finish(g.surveyor.survey(s.Table)))
		n.shorten()
		answer(w, n)
	}
}

func (g *lookingGlass) tellFleet(w http.ResponseWriter, r *http.Request) {
	s := g.summary(w, r)
	if s == nil {
		return
	}
	own := FleetNode{Summary: newNodeSummary(s.finish(g.surveyor.survey(s.Table))).shorten()}
	others, asked := g.fleet.answers(r.Context())
	answer(w, FleetList{
		APIVersion: APIVersion, Kind: KindFleetList, Node: s.Node, Time: asked, Items: slices.Concat([]FleetNode{own}, others),
	})
}
