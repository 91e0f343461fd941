package status

import (
	"context"
	"io"
	"net/http"
)

// Configured is a Source that tells the configuration in force, too: as YAML, with what flags, variables and other sources
// said in it, and without a secret. Nil means that there is none yet.
type Configured interface {
	Configuration() ([]byte, error)
}

// configuration answers with the configuration in force.
func (h *handler) configuration(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.RawQuery) > 0 {
		refuse(w, http.StatusBadRequest, "config takes no parameters")
		return
	}
	configured, can := h.source.(Configured)
	if !can {
		notYet(w)
		return
	}
	text, err := configured.Configuration()
	switch {
	case err != nil:
		refuse(w, http.StatusInternalServerError, "%s", err)
	case text == nil:
		notYet(w)
	default:
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(text)
	}
}

// Copy writes what the daemon answers on a page, such as /v1/status or /metrics, as it is and without holding it.
func (c *Client) Copy(ctx context.Context, w io.Writer, page string) error {
	body, err := c.get(ctx, page, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}
