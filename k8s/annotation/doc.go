// Package annotation is the contract between underlayd and the consumers of what
// it says on a Node: policy controllers, service federation, tools. It imports
// nothing but the standard library.
//
// The agent of a node writes the annotations listed below and the condition
// [Condition] with one server-side apply (field manager [FieldManager]); nobody
// else writes them. A consumer reads them with [ParseNode] and asks [State.Routable].
// [JSONSchema] says the same to tools in other languages, and the program in folder
// example is a whole consumer: a controller that keeps a NetworkPolicy.
//
//	underlayd.io/schema           "1"
//	underlayd.io/cluster          "east"
//	underlayd.io/local-cidrs      "10.10.1.0/24,fd00:10:0:1::/64"
//	underlayd.io/remote-cidrs     ["10.20.0.0/16","fd00:20::/48"]
//	underlayd.io/remote-clusters  {"west":{"cidrs":["10.20.0.0/16","fd00:20::/48"],"peers":2,"state":"Ready"}}
//	underlayd.io/routes-hash      "sha256:0123456789abcdef"
//	underlayd.io/truncated        "812"; absent when nothing is missing
//
// What a consumer may rely on:
//
//   - remote-cidrs is what the node's kernel routes to other clusters now: masked,
//     aggregated, disjoint, IPv4 before IPv6, ascending.
//   - A CIDR that is listed is routable, also when the lists were cut. When they
//     were cut, a CIDR that is not listed may be routable nevertheless:
//     [State.Routable] then answers [Unknown], never [No].
//   - Unknown is not "nothing routable". A Node without these annotations
//     ([ErrAbsent]) has no agent, or none that has spoken yet; one with another schema
//     ([ErrSchema]) has an agent that this package is too old for; any other error is
//     text that no agent wrote. What such a Node said before may still be so.
//   - routes-hash is of the complete remote-cidrs, cut or not: it changes when,
//     and only when, the routable set changes. It is the first 16 hexadecimal
//     digits of the SHA-256 of the complete JSON array, as written.
//   - The same state is written as the same bytes; nothing ticks.
//   - Freshness is the Lease [LeaseName] in [LeaseNamespace], renewed only while
//     what the Node says is what the agent means. When it has expired, the
//     annotations are the last thing a silent agent said.
//   - Members may be added to the JSON objects and keys to the annotations under
//     the same schema; a consumer ignores what it does not know. Any other change
//     has another schema, and Parse refuses it with [ErrSchema].
package annotation
