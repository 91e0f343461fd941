package status

import "fmt"

// NATState says whether pods keep their address on the way to pods of other clusters.
type NATState string

// The states of the NAT exemption.
const (
	NATActive NATState = "Active" // the kernel has what it should
	NATIdle   NATState = "Idle"   // there is nothing to exempt
	NATOff    NATState = "Off"    // it is not wanted
	NATFailed NATState = "Failed" // the kernel does not have what it should; Problems say why
)

// NATExemption is what the daemon does about the masquerades of others.
type NATExemption struct {
	State   NATState `json:"state"`
	Table   string   `json:"table,omitempty"`   // of nftables, family inet
	Local   int      `json:"local"`             // ranges of pods here that are exempt
	Remote  int      `json:"remote"`            // ranges of pods elsewhere towards which they are
	Transit int      `json:"transit,omitempty"` // on a gateway: ranges of pods elsewhere whose packets to and from Far are not tracked
	Far     int      `json:"far,omitempty"`     // on a gateway: ranges of pods of other networks
	Repairs uint64   `json:"repairs"`           // since start: times that the table was put back after somebody touched it
}

func (n NATExemption) sentence() string {
	switch n.State {
	case NATActive:
		return fmt.Sprintf("%s of pods keep their addresses towards %s of other clusters%s (table inet %s), %s",
			count(n.Local, "range", "ranges"), count(n.Remote, "range", "ranges"), n.passing(), n.Table, count(n.Repairs, "repair", "repairs"))
	case NATFailed:
		return "failed: what pods send to other clusters may be masqueraded"
	case NATOff:
		return "not wanted"
	default:
		return "nothing to exempt"
	}
}

// passing says what a gateway does beside.
func (n NATExemption) passing() string {
	if n.Transit == 0 {
		return ""
	}
	return fmt.Sprintf("; what passes through to %s of other networks is not tracked", count(n.Far, "range", "ranges"))
}

func (c collector) collectExemption(e emitter) {
	n := c.NATExemption
	for _, state := range []NATState{NATActive, NATIdle, NATOff, NATFailed} {
		e.gauge("nat_exemption_state", "1 for the state that the NAT exemption is in, 0 for the others.", oneIf(n.State == state), "state", string(state))
	}
	elements := func(side string, ranges int) {
		e.gauge("nat_exemption_elements", "Ranges that are exempt, of pods here and of pods elsewhere.", float64(ranges), "side", side)
	}
	elements("local", n.Local)
	elements("remote", n.Remote)
	if n.Transit > 0 {
		elements("transit", n.Transit)
		elements("far", n.Far)
	}
	e.counter("nat_exemption_repairs_total", "Times that the table was put back after somebody touched it.", float64(n.Repairs))
}
