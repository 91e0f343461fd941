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

// Client asks the daemon of this node. It is safe for concurrent use and holds no connection between questions.
type Client struct {
	path string
	http *http.Client
}

// NewClient makes a client of the daemon whose socket is at path (see SocketPath). It does not connect yet.
func NewClient(path string) *Client {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: answerTimeout + 5*time.Second,
	}}}
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
	address := url.URL{Scheme: "http", Host: "underlayd", Path: path, RawQuery: q.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.explain(err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	var said problemBody
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&said) != nil || said.Error == "" {
		said.Error = "it answered " + response.Status
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
