package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The limits of the live view. Nothing is queued for a client: it reads the history at its own pace, and one that takes
// nothing for eventStall is dropped.
const (
	maxWatchers  = 16
	eventLook    = 200 * time.Millisecond
	pulseLook    = time.Second
	eventComment = 15 * time.Second // without news, so that both sides notice when the other is gone
	eventStall   = 10 * time.Second
)

// Event is one piece of the live view: an entry of the history that is new or has grown, or how things are now.
type Event struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Entry      *Entry `json:"entry,omitempty"`
	Status     *Pulse `json:"status,omitempty"`
}

// Pulse is a snapshot in a few numbers.
type Pulse struct {
	Time       time.Time `json:"time"`
	Phase      Phase     `json:"phase"`
	Peers      int       `json:"peers"`
	PeersUp    int       `json:"peersUp"`
	Accepted   int       `json:"accepted"`
	Refused    int       `json:"refused"`
	Installed  int       `json:"installed"`
	Advertised int       `json:"advertised"`
	Problems   int       `json:"problems"`
}

func newPulse(s *Snapshot) Pulse {
	p := Pulse{
		Time: s.Time, Phase: s.Phase, Peers: len(s.Sessions), Accepted: s.Routes.Accepted, Refused: s.Routes.Refused,
		Installed: s.Routes.Installed, Advertised: len(s.Advertised), Problems: len(s.Problems),
	}
	for _, x := range s.Sessions {
		if x.State == Established {
			p.PeersUp++
		}
	}
	return p
}

// events streams what happens from now on, or after a revision of the history, as server-sent events until the client goes.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	after, err := parseAfter(r.URL.Query(), h.source.History().revised.Load())
	if err != nil {
		refuse(w, http.StatusBadRequest, "%s", err)
		return
	}
	select {
	case h.watchers <- struct{}{}:
		defer func() { <-h.watchers }()
	default:
		refuse(w, http.StatusServiceUnavailable, "%d clients are watching; try again", maxWatchers)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	o := &observer{handler: h, w: w, control: http.NewResponseController(w), seen: after}
	_ = o.follow(r.Context()) // an error is the reader's going away, or its being too slow
}

func parseAfter(q url.Values, now uint64) (uint64, error) {
	text := q.Get("after")
	q.Del("after")
	if len(q) > 0 {
		return 0, fmt.Errorf("parameter %q is not known; known is after", sortedKeys(q)[0])
	}
	if text == "" {
		return now, nil
	}
	after, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parameter %q: %q is no revision", "after", text)
	}
	return after, nil
}

// observer is one client of the live view.
type observer struct {
	*handler
	w       io.Writer
	control *http.ResponseController
	seen    uint64 // revision
	pulse   Pulse
	looked  time.Time // for the pulse
	said    time.Time
}

// follow returns when the client is gone, too slow, or the daemon stops.
func (o *observer) follow(ctx context.Context) error {
	timer := time.NewTicker(eventLook)
	defer timer.Stop()
	for {
		if err := o.tell(ctx, time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.stop:
			return http.ErrServerClosed
		case <-timer.C:
		}
	}
}

// tell writes what is new.
func (o *observer) tell(ctx context.Context, now time.Time) error {
	var text bytes.Buffer
	for _, e := range o.source.History().after(o.seen) {
		o.seen = e.Revision
		write(&text, "entry", Event{Entry: e})
	}
	if now.Sub(o.looked) >= pulseLook {
		o.looked = now
		if p, news := o.look(ctx); news {
			write(&text, "status", Event{Status: &p})
		}
	}
	if text.Len() == 0 {
		if now.Sub(o.said) < eventComment {
			return nil
		}
		text.WriteString(": nothing new\n\n")
	}
	o.said = now
	if err := o.control.SetWriteDeadline(now.Add(eventStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := o.w.Write(text.Bytes()); err != nil {
		return err
	}
	return o.control.Flush()
}

// look says how things are, and whether that is news.
func (o *observer) look(ctx context.Context) (Pulse, bool) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	s := o.source.Summary(ctx)
	if s == nil || s.Time.Equal(o.pulse.Time) && !s.Time.IsZero() {
		return Pulse{}, false
	}
	p, last := newPulse(s.finish(o.surveyor.survey(s.Table))), o.pulse
	o.pulse = p
	last.Time = p.Time
	return p, p != last
}

func write(text *bytes.Buffer, name string, e Event) {
	e.APIVersion, e.Kind = APIVersion, KindEvent
	data, err := json.Marshal(e)
	if err != nil { // the types always encode
		return
	}
	fmt.Fprintf(text, "event: %s\ndata: %s\n\n", name, data)
}

// Watch yields what happens from now on until ctx is cancelled; an error, such as the daemon's end, is the last thing it
// yields. A client that does not read is dropped by the daemon.
func (c *Client) Watch(ctx context.Context) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		body, err := c.get(ctx, "/v1/events", nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer body.Close()
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			data, is := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			if !is {
				continue
			}
			e := &Event{}
			if err = json.Unmarshal(data, e); err == nil {
				err = checkVersion(e.APIVersion)
			}
			if err != nil {
				yield(nil, fmt.Errorf("read the daemon's answer: %w", err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if err = lines.Err(); err == nil {
			err = io.ErrUnexpectedEOF
		}
		yield(nil, fmt.Errorf("the daemon has ended the view: %w", err))
	}
}

// WriteEvent writes one line: for people, or for programs as JSON.
func WriteEvent(w io.Writer, e *Event, o Options) error {
	if o.Format == JSON {
		return json.NewEncoder(w).Encode(e)
	}
	p := newPage(w, o)
	if x := e.Entry; x != nil {
		at := x.latest()
		p.line("%s  %s", p.moment(at), clean(x.sentence()))
	}
	if s := e.Status; s != nil {
		p.line("%s  %s: %d of %s established, %d of %s in the kernel, %d refused, %s wrong", p.moment(s.Time), p.paint(string(s.Phase), clean(string(s.Phase))), s.PeersUp,
			count(s.Peers, "peer", "peers"), min(s.Installed, s.Accepted), count(s.Accepted, "accepted prefix", "accepted prefixes"), s.Refused,
			count(s.Problems, "thing", "things"))
	}
	return p.flush()
}

// sentence is the entry in one line.
func (e *Entry) sentence() string {
	text := string(e.Kind)
	for _, x := range [][2]string{{" peer ", e.Peer}, {" cluster ", e.Cluster}, {" ", e.examples()}} {
		if x[1] != "" {
			text += x[0] + x[1]
		}
	}
	if e.Count > 1 {
		text += " (" + e.times() + ")"
	}
	return text + after(": ", e.why())
}
