package containerlab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Ask gets a page over HTTP from whoever listens on a unix socket of the node. Any status but 200 is an error, which
// holds the answer.
func (n *Node) Ask(ctx context.Context, socket, page string) (string, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.Path(socket))
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Name()+page, nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", n.Name(), err)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", n.Name(), page, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %s: %w", n.Name(), page, err)
	case answer.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s: %s: %s", n.Name(), page, answer.Status, text)
	}
	return string(text), nil
}
