// Package deploy holds the manifests that run underlayd as a DaemonSet: a
// kustomize base for `kubectl apply -k`, and the same files for Go callers. Beside
// it are components for what some clusters need, an example of an overlay, the
// Pods that clean up before everything is deleted, and a Helm chart, which is
// tested to make the objects of the base and no others.
package deploy

import (
	"embed"
	"io/fs"
)

//go:embed base
var base embed.FS

//go:embed components/startup-taint
var startupTaint embed.FS

// StartupTaint returns the kustomize component with the rights that
// kubernetes.startupTaint needs on top of the base.
func StartupTaint() fs.FS {
	sub, err := fs.Sub(startupTaint, "components/startup-taint")
	if err != nil {
		return startupTaint // cannot happen, as below
	}
	return sub
}

//go:embed components/password-secret
var passwordSecret embed.FS

// PasswordSecret returns the kustomize component with the right to read the Secret
// underlayd-passwords, for bgp.peers[].passwordSecret.
func PasswordSecret() fs.FS {
	sub, err := fs.Sub(passwordSecret, "components/password-secret")
	if err != nil {
		return passwordSecret // cannot happen, as below
	}
	return sub
}

// Base returns the kustomize base: kustomization.yaml and the files it lists.
func Base() fs.FS {
	sub, err := fs.Sub(base, "base")
	if err != nil {
		return base // cannot happen: "base" is a valid path, checked at build time by embed
	}
	return sub
}
