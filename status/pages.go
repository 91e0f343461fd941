package status

import (
	"context"
	"iter"
	"maps"
	"net/netip"
)

// routePages reads the routes of a daemon that answers in pages, one after the other. It belongs to one reader.
type routePages struct {
	client *Client
	filter Filter
	left   int          // routes that may still come; negative: all
	next   netip.Prefix // where the list goes on
	page   *RouteStream // the one that is being read
}

// pagedRoutes asks a looking glass, which has no list without a limit, for all that the filter chooses.
func (c *Client) pagedRoutes(ctx context.Context, f Filter) (*RouteStream, error) {
	p := &routePages{client: c, filter: f, left: -1}
	if f.Limit > 0 {
		p.left = f.Limit
	}
	if err := p.turn(ctx); err != nil {
		return nil, err
	}
	return &RouteStream{RouteHead: p.page.RouteHead, Stream: Stream[Route]{body: p, items: p.all(ctx)}}, nil
}

// turn opens the page that follows.
func (p *routePages) turn(ctx context.Context) error {
	f := p.filter
	if f.Limit = maxPage; p.left >= 0 {
		f.Limit = min(f.Limit, p.left)
	}
	if p.next.IsValid() {
		f.After = p.next
	}
	p.next = netip.Prefix{}
	s := &RouteStream{}
	fields := maps.Clone(s.fields())
	fields["next"] = &p.next
	stream, err := openStream[Route](ctx, p.client, listQuestion{"/v1/routes", f.query(), fields, &s.APIVersion})
	if err != nil {
		return err
	}
	s.Stream, p.page = stream, s
	return nil
}

func (p *routePages) all(ctx context.Context) iter.Seq2[*Route, error] {
	return func(yield func(*Route, error) bool) {
		for {
			for r, err := range p.page.All() {
				if !yield(r, err) || err != nil {
					return
				}
				p.left--
			}
			if !p.next.IsValid() || p.left == 0 {
				return
			}
			if err := p.page.Close(); err != nil {
				yield(nil, err)
				return
			}
			if err := p.turn(ctx); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Close implements io.Closer.
func (p *routePages) Close() error { return p.page.Close() }
