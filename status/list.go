package status

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
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

// encodeRoutes writes a route list as one JSON object, a line per route, without ever holding more than one of
// them in text. If the routes end with an error, the object is left unfinished so that no reader can take it
// for complete.
func encodeRoutes(w io.Writer, head RouteHead, routes iter.Seq2[*Route, error]) error {
	text, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("encode the head of the routes: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s,\"items\":[", text[:len(text)-1]); err != nil {
		return err
	}
	separator := "\n"
	for r, err := range routes {
		if err != nil {
			return err
		}
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode route %s: %w", r.Prefix, err)
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, text); err != nil {
			return err
		}
		separator = ",\n"
	}
	_, err = io.WriteString(w, "\n]}\n")
	return err
}

// decodeHead reads a route list up to its first item. It relies on items being the last key, which is part of
// the API; anything unknown before it is skipped.
func decodeHead(d *json.Decoder) (RouteHead, error) {
	var head RouteHead
	if err := expect(d, json.Delim('{')); err != nil {
		return head, err
	}
	fields := map[string]any{
		"apiVersion": &head.APIVersion, "kind": &head.Kind, "node": &head.Node, "time": &head.Time, "summary": &head.Summary,
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return head, err
		}
		if key == "items" {
			return head, expect(d, json.Delim('['))
		}
		into, known := fields[fmt.Sprint(key)]
		if !known {
			into = new(json.RawMessage)
		}
		if err := d.Decode(into); err != nil {
			return head, fmt.Errorf("%v: %w", key, err)
		}
	}
	return head, fmt.Errorf("the answer has no items")
}

// decodeItems yields the routes one by one and then makes sure that the list was complete.
func decodeItems(d *json.Decoder) iter.Seq2[*Route, error] {
	return func(yield func(*Route, error) bool) {
		for d.More() {
			r := &Route{}
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

func cutShort(err error) error { return fmt.Errorf("the list of routes is incomplete: %w", err) }

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
