// Package ipam is the plan of who owns which addresses: what this cluster may advertise, what each remote
// cluster may send (its contract), and what nobody may ever send. It answers with verdicts that carry a
// machine-readable reason and one sentence for people.
//
// It is pure: no I/O, no clock, no logging, no goroutines. It refuses by default: a prefix that no contract
// covers is never accepted, and an incomplete contract (no lengths, no maximum) accepts nothing.
package ipam
