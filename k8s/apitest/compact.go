package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Compact makes etcd forget every earlier version of every object, after writing
// something of no meaning, so that a watch that goes on from before is told 410
// Gone. It works while the API server is stopped, which is when it is of use.
func (s *Server) Compact(ctx context.Context) error {
	var put struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	// Keys and values are base64 in etcd's JSON gateway; this is "apitest".
	const word = "YXBpdGVzdA=="
	for range 10 {
		if err := s.etcdCall(ctx, "/v3/kv/put", map[string]any{"key": word, "value": word}, &put); err != nil {
			return err
		}
	}
	return s.etcdCall(ctx, "/v3/kv/compaction", map[string]any{"revision": put.Header.Revision, "physical": true}, nil)
}

func (s *Server) etcdCall(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("etcd %s: %w", path, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url("http", s.etcdPort)+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("etcd %s: %w", path, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("etcd %s: %w", path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd %s: %s", path, response.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(out)
}
