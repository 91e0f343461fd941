package annotation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

func remoteCIDRs(text string) ([]netip.Prefix, error) {
	var texts []string
	if err := json.Unmarshal([]byte(text), &texts); err != nil {
		return nil, errors.New("not a JSON array of strings")
	}
	if texts == nil {
		return nil, errors.New("null is not a list")
	}
	return disjoint(texts)
}

func remoteClusters(text string) ([]RemoteCluster, error) {
	names, err := members(text)
	if err != nil {
		return nil, err
	}
	clusters := make([]RemoteCluster, 0, len(names))
	for name, raw := range names {
		if !ValidName(name) {
			return nil, fmt.Errorf("%q is not a DNS label", clip(name))
		}
		cluster, err := remoteCluster(name, string(raw))
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", name, err)
		}
		clusters = append(clusters, cluster)
	}
	slices.SortFunc(clusters, func(a, b RemoteCluster) int { return strings.Compare(a.Name, b.Name) })
	return clusters, nil
}

func remoteCluster(name, text string) (RemoteCluster, error) {
	c := RemoteCluster{Name: name, Omitted: true}
	fields, err := members(text)
	if err != nil {
		return c, err
	}
	if raw, ok := fields["cidrs"]; ok {
		c.Omitted = false
		if c.CIDRs, err = remoteCIDRs(string(raw)); err != nil {
			return c, fmt.Errorf("cidrs: %w", err)
		}
	}
	peers := fields["peers"]
	if err := json.Unmarshal(peers, &c.Peers); err != nil || c.Peers < 0 || string(peers) == "null" {
		return c, errors.New("peers: not a count")
	}
	if err := json.Unmarshal(fields["state"], &c.State); err != nil || !ValidWord(c.State) {
		return c, errors.New("state: not a word")
	}
	if raw, ok := fields["reason"]; ok {
		if err := json.Unmarshal(raw, &c.Reason); err != nil || !ValidWord(c.Reason) {
			return c, errors.New("reason: not a word")
		}
	}
	if raw, ok := fields["probe"]; ok {
		if err := json.Unmarshal(raw, &c.Probe); err != nil || !ValidWord(c.Probe) {
			return c, errors.New("probe: not a word")
		}
	}
	return c, nil
}

// members splits a JSON object. encoding/json alone would take the last of two
// equal names and ignore case: two readers of one text could then disagree.
func members(text string) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	found := map[string]json.RawMessage{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("not a JSON object")
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("%q appears twice", clip(name))
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, errors.New("not a JSON object")
		}
		found[name] = raw
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errors.New("not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the JSON object")
	}
	return found, nil
}
