package status

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

// PeerList is the answer about sessions.
type PeerList struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Node       string    `json:"node"`
	Time       time.Time `json:"time"`
	Items      []Session `json:"items"`
}

// RouteHead is the part of a route list that comes before its items. Summary counts all routes of the node, not
// only those the filter chose.
type RouteHead struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Node       string       `json:"node"`
	Time       time.Time    `json:"time"`
	Summary    RouteSummary `json:"summary"`
}

// bufferSize of long answers: they are written in pieces of this size.
const bufferSize = 32 << 10

// encodeList writes a list as one JSON object, a line per item, without ever holding more than one of
// them in text. If the items end with an error, the object is left unfinished so that no reader can take it
// for complete.
func encodeList[T any](w io.Writer, head any, items iter.Seq2[T, error]) error {
	text, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("encode the head of a list: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s,\"items\":[", text[:len(text)-1]); err != nil {
		return err
	}
	separator := "\n"
	for item, err := range items {
		if err != nil {
			return err
		}
		text, err := json.Marshal(item)
		if err != nil {
			return fmt.Errorf("encode an item of a list: %w", err)
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, text); err != nil {
			return err
		}
		separator = ",\n"
	}
	_, err = io.WriteString(w, "\n]}\n")
	return err
}

// fields are where decodeHead puts what it reads.
func (h *RouteHead) fields() map[string]any {
	return map[string]any{"apiVersion": &h.APIVersion, "kind": &h.Kind, "node": &h.Node, "time": &h.Time, "summary": &h.Summary}
}

// decodeHead reads a list up to its first item. It relies on items being the last key, which is part of
// the API; anything unknown before it is skipped.
func decodeHead(d *json.Decoder, fields map[string]any) error {
	if err := expect(d, json.Delim('{')); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if key == "items" {
			return expect(d, json.Delim('['))
		}
		into, known := fields[fmt.Sprint(key)]
		if !known {
			into = new(json.RawMessage)
		}
		if err := d.Decode(into); err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
	}
	return fmt.Errorf("the answer has no items")
}

// decodeItems yields the items one by one and then makes sure that the list was complete.
func decodeItems[T any](d *json.Decoder) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for d.More() {
			r := new(T)
			if err := d.Decode(r); err != nil {
				yield(nil, cutShort(err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		for _, end := range []json.Delim{']', '}'} {
			if err := expect(d, end); err != nil {
				yield(nil, cutShort(err))
				return
			}
		}
	}
}

func cutShort(err error) error { return fmt.Errorf("the list is incomplete: %w", err) }

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("found %v where %v was expected", got, want)
	}
	return nil
}

// until ends a long answer when its reader is gone or the daemon stops.
func until[T any](ctx context.Context, stop <-chan struct{}, items iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for x, err := range items {
			select {
			case <-stop:
				yield(none, http.ErrServerClosed)
				return
			case <-ctx.Done():
				yield(none, ctx.Err())
				return
			default:
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

// sure yields what can't fail.
func sure[T any](items iter.Seq[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for x := range items {
			if !yield(x, nil) {
				return
			}
		}
	}
}
