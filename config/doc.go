// Package config turns text into an immutable, valid Config: a YAML file, UNDERLAYD_* variables and
// flags in, one checked value out.
//
// Every key is declared once, in the grammar (grammar.go). Reading, printing, the flags and variables,
// the table of keys, the JSON Schema and the classification of a reload all follow from that declaration.
//
// The package refuses to guess. An unknown key, a key given twice, a number in quotes or a CIDR with host
// bits set is an error, and all errors are reported at once, each with its place, its path, its value and
// the rule it breaks. It does not look at the network, the kernel or Kubernetes: what can only be known at
// run time is checked by its owner.
package config
