// Package picture draws a mesh: clusters as boxes with their nodes in them, routers outside, sessions as lines. It writes
// SVG by itself, and what Graphviz and Mermaid read. The same mesh always gives the same bytes, so that a drawing can be
// kept beside the files it was made of and compared.
package picture
