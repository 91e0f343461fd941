// Package deploy holds the manifests that run underlayd as a DaemonSet: a
// kustomize base for `kubectl apply -k`, and the same files for Go callers. It
// refuses to template them: an overlay is where a cluster's own values go.
package deploy

import (
	"embed"
	"io/fs"
)

//go:embed base
var base embed.FS

// Base returns the kustomize base: kustomization.yaml and the files it lists.
func Base() fs.FS {
	sub, err := fs.Sub(base, "base")
	if err != nil {
		return base // cannot happen: "base" is a valid path, checked at build time by embed
	}
	return sub
}
