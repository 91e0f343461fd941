package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// What a caller of the Client may want to tell apart, with errors.Is.
var (
	// ErrNotRunning: nobody listens on the socket.
	ErrNotRunning = errors.New("underlayd is not running")
	// ErrNotPermitted: the socket is there, but not for this user.
	ErrNotPermitted = errors.New("permission denied")
)

// Client asks a daemon. It is safe for concurrent use and holds no connection between questions.
type Client struct {
	path string // of the socket, or where else it is asked
	base url.URL
	http *http.Client
	// paged says that a list of routes comes in pages.
	paged bool
}

// NewClient makes a client of the daemon whose socket is at path (see SocketPath). It does not connect yet.
func NewClient(path string) *Client {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	return &Client{path: path, base: url.URL{Scheme: "http", Host: "underlayd"}, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: answerTimeout + 5*time.Second,
	}}}
}

// NewRemoteClient makes a client of a daemon whose looking glass is at base; how it is reached is the caller's.
func NewRemoteClient(base *url.URL, h *http.Client) *Client {
	return &Client{path: base.String(), base: *base, http: h, paged: true}
}

// Summary asks for what is said of a node in a list of them.
func (c *Client) Summary(ctx context.Context) (*NodeSummary, error) {
	s := &NodeSummary{}
	if err := c.ask(ctx, "/v1/summary", nil, s); err != nil {
		return nil, err
	}
	return s, checkVersion(s.APIVersion)
}

// Status asks for everything but the routes.
func (c *Client) Status(ctx context.Context) (*Snapshot, error) {
	s := &Snapshot{}
	if err := c.ask(ctx, "/v1/status", nil, s); err != nil {
		return nil, err
	}
	return s, checkVersion(s.APIVersion)
}

// Peers asks for the sessions; for one of them if name is not empty. A name that no peer has is an error that
// lists the names there are.
func (c *Client) Peers(ctx context.Context, name string) (*PeerList, error) {
	q := url.Values{}
	if name != "" {
		q.Set("name", name)
	}
	list := &PeerList{}
	if err := c.ask(ctx, "/v1/peers", q, list); err != nil {
		return nil, err
	}
	return list, checkVersion(list.APIVersion)
}

func (c *Client) ask(ctx context.Context, path string, q url.Values, into any) error {
	body, err := c.get(ctx, path, q)
	if err != nil {
		return err
	}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return errors.Join(fmt.Errorf("read the daemon's answer: %w", err), body.Close())
	}
	return body.Close()
}

func (c *Client) get(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	address := c.base.JoinPath(path)
	address.RawQuery = q.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil) //nolint:gosec // where to ask is the caller's to say
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	response, err := c.http.Do(request) //nolint:gosec // likewise
	if err != nil {
		return nil, c.explain(err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	var said struct {
		problemBody

		Message string // of an API server in between
	}
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&said) != nil || said.Error == "" && said.Message == "" {
		said.Error = "it answered " + response.Status
	}
	if said.Message != "" {
		return nil, errors.Join(fmt.Errorf("the API server: %s", said.Message), response.Body.Close())
	}
	return nil, errors.Join(fmt.Errorf("the daemon refused: %s", said.Error), response.Body.Close())
}

// explain turns what the system says into what the person can do.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody answers on %s; start it with 'underlayd run', or look at this node's underlayd pod if Kubernetes starts it",
			ErrNotRunning, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s is for root only; run this as root", ErrNotPermitted, c.path)
	case errors.Is(err, context.Canceled):
		return err
	default:
		return fmt.Errorf("ask the daemon on %s: %w", c.path, err)
	}
}

func checkVersion(got string) error {
	if got == APIVersion {
		return nil
	}
	return fmt.Errorf("the daemon speaks %q, this command %q: use the command that came with the daemon", got, APIVersion)
}
