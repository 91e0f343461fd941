package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// session is what a daemon says of one of its sessions.
type session struct {
	State    string `json:"state"`
	Complete bool   `json:"complete"`
	Received int    `json:"received"`
}

// asGoodAs says whether a session is up and has brought at least as much as it once had.
func (s session) asGoodAs(was session) bool {
	return s.State == was.State && s.Complete && s.Received >= was.Received
}

// askPatience is how long a daemon may take to answer.
const askPatience = 5 * time.Second

// sessions asks the node's daemon for its sessions, by the names of the peers.
func (h *host) sessions(ctx context.Context) (map[string]session, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.node.Path("/run/underlayd/underlayd.sock"))
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://underlayd/v1/peers", nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h, err)
	}
	var list struct {
		Items []struct {
			session
			Peer string `json:"peer"`
		} `json:"items"`
	}
	err = json.NewDecoder(answer.Body).Decode(&list)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("%s: its sessions: %w", h, err)
	}
	all := make(map[string]session, len(list.Items))
	for _, s := range list.Items {
		all[s.Peer] = s.session
	}
	return all, nil
}
