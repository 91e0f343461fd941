package status

import (
	"context"
	"net/netip"
	"time"
)

// KindExplanation is the kind of an Explanation.
const KindExplanation = "Explanation"

// Question is what an Explanation answers.
type Question struct {
	Target netip.Prefix // an address is a prefix of its full length
	Source netip.Addr   // of the packet; the zero Addr: the node's own, and one of its pods
}

// Explainer is a Source that explains, too: it is called on the goroutine of a request and must not wait for the daemon's
// loop. Nil means that there is nothing to tell yet.
type Explainer interface {
	Explain(ctx context.Context, q Question) *Explanation
}

// Explanation is the way of packets to one address or prefix, from what it is to what the kernel does with them.
type Explanation struct {
	APIVersion string       `json:"apiVersion"` // set by the server
	Kind       string       `json:"kind"`       // set by the server
	Node       string       `json:"node"`
	Time       time.Time    `json:"time"` // of the snapshot; the kernel was asked when the question was
	Target     netip.Prefix `json:"target"`
	Source     netip.Addr   `json:"source,omitzero"`
	Answer     string       `json:"answer"` // in one sentence
	// Reachable says that the way is complete as far as this node can see: no step failed.
	Reachable bool   `json:"reachable"`
	Cluster   string `json:"cluster,omitempty"` // that it belongs to, if that is known
	// Fault is the reason of the first step that failed.
	Fault string `json:"fault,omitempty"`
	Steps []Step `json:"steps"` // in the order of the way
	// Parts are what a prefix consists of: routes inside it, and holes; PartsLeftOut is how many more there are.
	Parts        []Part `json:"parts,omitempty"`
	PartsLeftOut int    `json:"partsLeftOut,omitempty"`
}

// StepResult is how a step went.
type StepResult string

// The results of a step.
const (
	StepOK      StepResult = "ok"
	StepWarning StepResult = "warning" // it works, but somebody should look
	StepFailed  StepResult = "failed"
	StepSkipped StepResult = "skipped" // it does not apply, or nothing came so far
)

// The names of the steps, in their order.
const (
	StepTarget   = "target"   // what the target is
	StepReceived = "received" // who announces what covers it
	StepPolicy   = "policy"   // the verdicts
	StepChoice   = "choice"   // which paths are used, and why not the others
	StepNextHop  = "nextHop"  // how the next hops are reached
	StepKernel   = "kernel"   // our route
	StepLookup   = "lookup"   // what the kernel does with a packet
	StepProbe    = "probe"    // whether packets really reach the cluster's nodes
	StepNAT      = "nat"
	StepHost     = "host"
	StepNode     = "node" // what the Node says
)

// Step is one step of the way.
type Step struct {
	Name     string     `json:"name"`
	Result   StepResult `json:"result"`
	Reason   string     `json:"reason,omitempty"` // in one word, of a step that is not ok
	Sentence string     `json:"sentence"`
	Remedy   *Remedy    `json:"remedy,omitempty"` // of the first step that failed
	// What the sentence is made of, as far as the step has it.
	Range    netip.Prefix    `json:"range,omitzero"` // that the target lies in
	Paths    []ExplainedPath `json:"paths,omitempty"`
	Sessions []Session       `json:"sessions,omitempty"`
	Route    *Route          `json:"route,omitempty"`
	NextHops []Packet        `json:"nextHops,omitempty"` // packets to the next hops themselves
	Packets  []Packet        `json:"packets,omitempty"`
	Findings []string        `json:"findings,omitempty"`
}

// Remedy is what to do about a fault.
type Remedy struct {
	Action  string `json:"action"`            // in a sentence
	Key     string `json:"key,omitempty"`     // of the configuration of this node, unless Action says otherwise
	Value   string `json:"value,omitempty"`   // that it should have
	Command string `json:"command,omitempty"` // for a shell
	Doc     string `json:"doc,omitempty"`     // where more is said
}

// ExplainedPath is a path to one of the prefixes that cover the target.
type ExplainedPath struct {
	Prefix netip.Prefix `json:"prefix"`
	Path
	Used bool `json:"used"`
	// Why it is not used: the verdict, or the step of the comparison that decided against it.
	Decided string `json:"decided,omitempty"`
	Key     string `json:"key,omitempty"` // of the configuration, that the verdict comes from
}

// Packet is a packet and what the kernel does with it, as ip route get says.
type Packet struct {
	Destination netip.Addr   `json:"destination"`
	Source      netip.Addr   `json:"source,omitzero"`
	In          string       `json:"in,omitempty"` // the link it comes in over; empty: the node's own
	Fate        string       `json:"fate"`         // unicast, local, blackhole, unreachable, prohibit, none, source …
	Error       string       `json:"error,omitempty"`
	Link        string       `json:"link,omitempty"`
	Gateway     netip.Addr   `json:"gateway,omitzero"`
	Neighbour   string       `json:"neighbour,omitempty"` // what ARP or neighbour discovery knows: REACHABLE, FAILED …
	LinkDown    bool         `json:"linkDown,omitempty"`
	Prefix      netip.Prefix `json:"prefix,omitzero"` // of the route that decides
	Table       int          `json:"table,omitempty"`
	Protocol    string       `json:"protocol,omitempty"`
	Metric      int          `json:"metric,omitempty"`
	Ours        bool         `json:"ours"`
	Rule        string       `json:"rule,omitempty"` // that led to the table
}

// Part is a piece of a prefix: a route inside it, or a hole, which no route in the kernel covers.
type Part struct {
	Prefix  netip.Prefix `json:"prefix"`
	Hole    bool         `json:"hole,omitempty"`
	Cluster string       `json:"cluster,omitempty"`
	Verdict string       `json:"verdict,omitempty"`
	Kernel  string       `json:"kernel,omitempty"`
	NextHop []netip.Addr `json:"nextHops,omitempty"`
}

// step returns the one of that name.
func (e *Explanation) step(name string) *Step {
	for i := range e.Steps {
		if e.Steps[i].Name == name {
			return &e.Steps[i]
		}
	}
	return &Step{}
}
