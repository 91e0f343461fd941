// Package containerlab realises containerlab topologies (*.clab.yml) in plain network namespaces.
//
// The same file runs in real containerlab, on a machine that has images, and here, where there are none: every node
// becomes a network, mount, UTS and PID namespace of its own, links become veth pairs, binds become bind mounts, and
// the programs are those of this machine. What the package does not realise it refuses by name when the file is
// loaded; it never ignores a key that would have had an effect.
//
// It owns the life of a lab: a lab dies with the process that made it, killed or not, unless it was made to be kept.
// It knows nothing of BGP and nothing of underlayd, and the product never imports it.
package containerlab
