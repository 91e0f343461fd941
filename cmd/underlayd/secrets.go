package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// secretSource has what Secrets hold, see k8s.Secrets.
type secretSource interface {
	Follow(names []string)
	Value(name, key string) ([]byte, error)
	Changed() <-chan struct{}
	Run(ctx context.Context) error
}

// passwordID tells where a peer's password is; empty: it has none. A path is absolute, so that no Secret is called like a
// file.
func passwordID(p config.Peer) string {
	if p.PasswordSecret.Name != "" {
		return "Secret " + p.PasswordSecret.Name + " " + p.PasswordSecret.Key
	}
	return p.PasswordFile
}

// secretsOf reads the Secrets of a configuration into what the files hold. Whatever a Secret does, the last password that
// it held stays in force. It belongs to the caller of of.
func (p *passwords) secretsOf(c *config.Config, wanted map[string]password) {
	var names []string
	held := map[string]bgp.Secret{}
	for _, peer := range c.BGP.Peers {
		if peer.PasswordSecret.Name == "" {
			continue
		}
		names = append(names, peer.PasswordSecret.Name)
	}
	slices.Sort(names)
	if p.secrets == nil {
		for _, peer := range c.BGP.Peers {
			if peer.PasswordSecret.Name != "" {
				wanted[passwordID(peer)] = password{problem: "Secret " + peer.PasswordSecret.Name + ": " + errNoAPI.Error()}
			}
		}
		return
	}
	p.secrets.Follow(slices.Compact(names))
	for _, peer := range c.BGP.Peers {
		if peer.PasswordSecret.Name == "" {
			continue
		}
		id := passwordID(peer)
		if _, read := wanted[id]; read {
			continue
		}
		now := p.secretOf(peer.PasswordSecret, p.held[id])
		wanted[id] = now
		if !now.key.IsZero() {
			held[id] = now.key
		}
	}
	p.held = held
}

// secretOf reads one. What is wrong with it is said with its name and the rule, and never with what it holds.
func (p *passwords) secretOf(s config.SecretKey, before bgp.Secret) password {
	raw, err := p.secrets.Value(s.Name, s.Key)
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if raw == nil {
		return password{key: before, problem: problem, unread: errors.Is(err, k8s.ErrSecretUnread)}
	}
	key, wrong := bgp.ParseSecret(raw)
	if wrong != nil {
		return password{key: before, problem: fmt.Sprintf("Secret %s, key %s: %v", s.Name, s.Key, wrong)}
	}
	return password{key: key, problem: problem}
}

// errNoAPI says that there is nowhere to read a Secret.
var errNoAPI = errors.New("there is no Kubernetes API to read it, see kubernetes.enabled")

// withoutAPI says which of the peers can't have their password.
func withoutAPI(c *config.Config) error {
	for _, p := range c.BGP.Peers {
		if p.PasswordSecret.Name != "" {
			return fmt.Errorf("bgp.peers[%s].passwordSecret.name: %s: %w", p.Name, p.PasswordSecret.Name, errNoAPI)
		}
	}
	if s := c.BGP.NodePeers.Defaults.PasswordSecret; s.Name != "" {
		return fmt.Errorf("bgp.nodePeers.defaults.passwordSecret.name: %s: %w", s.Name, errNoAPI)
	}
	return nil
}

// waitsForKeys says that a peer can't run since the API has not shown its password yet.
func (a *agent) waitsForKeys() bool {
	for _, k := range a.keys {
		if k.unread && k.key.IsZero() {
			return true
		}
	}
	return false
}

// secretProblems says why Secrets can't be followed.
func (a *agent) secretProblems() []status.Problem {
	if a.secrets == nil || a.secrets.Problem() == nil {
		return nil
	}
	return []status.Problem{{Severity: status.Warning, Subject: "kubernetes", Message: a.secrets.Problem().Error()}}
}
