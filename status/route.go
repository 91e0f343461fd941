package status

import (
	"net/netip"
	"time"
)

// Route is one prefix with its one verdict and what became of it.
type Route struct {
	Prefix  netip.Prefix `json:"prefix"`
	Cluster string       `json:"cluster,omitempty"`
	// Accepted and Verdict are those of the plan. An empty Verdict means that no peer announces the prefix: it
	// is here because the kernel still has it.
	Accepted bool   `json:"accepted"`
	Verdict  string `json:"verdict,omitempty"` // the machine-readable reason
	Detail   string `json:"detail,omitempty"`  // the sentence that goes with it
	// Expected marks a refusal that is no fault, such as our own cluster's prefixes heard back from the fabric.
	Expected bool `json:"expected,omitempty"`
	// PassedOn says that the prefix is our own cluster's, which a route reflector learns to pass it on: it is neither accepted
	// nor refused.
	PassedOn bool         `json:"passedOn,omitempty"`
	NextHops []netip.Addr `json:"nextHops,omitempty"` // what the kernel should have
	Paths    []Path       `json:"paths,omitempty"`
	Kernel   KernelRoute  `json:"kernel"`
	Since    time.Time    `json:"since,omitzero"` // when verdict or kernel state changed last
}

// Key implements Row.
func (r *Route) Key() netip.Prefix { return r.Prefix }

// Route implements Row.
func (r *Route) Route() *Route { return r }

// Path is one announcement of a prefix.
type Path struct {
	Peer       string     `json:"peer"`
	NextHop    netip.Addr `json:"nextHop,omitzero"`
	ASPath     []uint32   `json:"asPath,omitempty"`
	ClusterIDs []uint32   `json:"clusterIDs,omitempty"`
	LocalPref  uint32     `json:"localPref,omitempty"`
	MED        uint32     `json:"med,omitempty"`
	Stale      bool       `json:"stale,omitempty"` // the peer is restarting (RFC 4724, section 4.2)
	Accepted   bool       `json:"accepted"`
	Verdict    string     `json:"verdict"`
	Detail     string     `json:"detail,omitempty"`
}

// The states of a prefix in the kernel. The empty one is Absent.
const (
	Installed = "Installed" // the route stands as wanted
	Adopted   = "Adopted"   // left by the process before us, kept until we have converged
	Failed    = "Failed"    // the kernel refused it; it is tried again
	Conflict  = "Conflict"  // somebody else's route stands in the way; we never replace it
	Absent    = "Absent"
)

// KernelRoute is a prefix as the kernel has it.
type KernelRoute struct {
	Status   string       `json:"status,omitempty"`
	NextHops []netip.Addr `json:"nextHops,omitempty"`
	Gateways []netip.Addr `json:"gateways,omitempty"` // where packets are handed to, if that is not the next hops
	Reason   string       `json:"reason,omitempty"`   // why it failed or conflicts
}

// Stale says that every path of the route is stale: it is kept only for a peer's restart.
func (r *Route) Stale() bool {
	for _, p := range r.Paths {
		if !p.Stale {
			return false
		}
	}
	return len(r.Paths) > 0
}

// peers names who announces the route, each once, in the order of the paths.
func (r *Route) peers() []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range r.Paths {
		if !seen[p.Peer] {
			seen[p.Peer] = true
			out = append(out, p.Peer)
		}
	}
	return out
}

// States of a route that Filter and RouteSummary speak of.
const (
	StateAccepted  = "accepted"
	StateRefused   = "refused"
	StateInstalled = "installed"
	StatePending   = "pending" // accepted, and the kernel has not answered yet
	StateFailed    = "failed"
	StateConflict  = "conflict"
	StateAdopted   = "adopted"
	StateStale     = "stale"
	StatePassedOn  = "passed-on"
	StateLearned   = "learned" // announced by a peer now, whatever the verdict; a Filter's alone
)

// filterStates lists every value that Filter.State takes.
func filterStates() []string { return append(states(), StateLearned) }

// states lists those that are counted.
func states() []string {
	return []string{
		StateAccepted, StateRefused, StateInstalled, StatePending, StateFailed, StateConflict, StateAdopted, StateStale,
		StatePassedOn,
	}
}

// is tells whether the route is in a state. A route may be in several (accepted and installed).
func (r *Route) is(state string) bool {
	switch state {
	case StateAccepted:
		return r.Accepted
	case StateRefused:
		return !r.Accepted && r.Verdict != "" && !r.PassedOn
	case StatePassedOn:
		return r.PassedOn
	case StateInstalled:
		return r.Kernel.Status == Installed
	case StatePending:
		return r.Accepted && (r.Kernel.Status == "" || r.Kernel.Status == Absent)
	case StateFailed:
		return r.Kernel.Status == Failed
	case StateConflict:
		return r.Kernel.Status == Conflict
	case StateAdopted:
		return r.Kernel.Status == Adopted
	case StateStale:
		return r.Stale()
	case StateLearned:
		return r.Verdict != ""
	default:
		return false
	}
}
