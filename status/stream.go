package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
)

// Stream is a list that is still being read: its items arrive while they are asked for.
type Stream[T any] struct {
	body  io.Closer
	items iter.Seq2[*T, error]
}

// All yields the items as they arrive, once. An error is the last thing it yields: then the list is incomplete.
func (s *Stream[T]) All() iter.Seq2[*T, error] { return s.items }

// Close ends the reading; it may come before the end of All, and twice.
func (s *Stream[T]) Close() error { return s.body.Close() }

// RouteStream is a list of routes.
type RouteStream struct {
	RouteHead
	Stream[Route]
}

// Routes asks for the routes that the filter chooses. The caller closes the stream. ctx holds for the reading too.
func (c *Client) Routes(ctx context.Context, f Filter) (*RouteStream, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if c.paged {
		return c.pagedRoutes(ctx, f)
	}
	s := &RouteStream{}
	stream, err := openStream[Route](ctx, c, listQuestion{"/v1/routes", f.query(), s.fields(), &s.APIVersion})
	if err != nil {
		return nil, err
	}
	s.Stream = stream
	return s, nil
}

// AdvertisedStream is a list of what peers are told.
type AdvertisedStream struct {
	AdvertisedHead
	Stream[Advertisement]
}

// Advertised asks for what this node tells its peers: of the filter, Prefix, Peer, Family, Limit and, with Peer, After count.
// A name that no peer has is an error that lists the names there are. The caller closes the stream.
func (c *Client) Advertised(ctx context.Context, f Filter) (*AdvertisedStream, error) {
	if err := f.ValidateAdvertised(); err != nil {
		return nil, err
	}
	s := &AdvertisedStream{}
	stream, err := openStream[Advertisement](ctx, c, listQuestion{"/v1/advertised", f.query(), s.fields(), &s.APIVersion})
	if err != nil {
		return nil, err
	}
	s.Stream = stream
	return s, nil
}

// listQuestion asks for a list and says where its head goes.
type listQuestion struct {
	page    string
	query   url.Values
	fields  map[string]any
	version *string // one of them
}

func openStream[T any](ctx context.Context, c *Client, q listQuestion) (Stream[T], error) {
	body, err := c.get(ctx, q.page, q.query)
	if err != nil {
		return Stream[T]{}, err
	}
	d := json.NewDecoder(body)
	if err = decodeHead(d, q.fields); err != nil {
		err = fmt.Errorf("read the daemon's answer: %w", err)
	} else {
		err = checkVersion(*q.version)
	}
	if err != nil {
		return Stream[T]{}, errors.Join(err, body.Close())
	}
	return Stream[T]{body: body, items: decodeItems[T](d)}, nil
}
