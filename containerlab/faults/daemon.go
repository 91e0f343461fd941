package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// state is what `underlayd status -o json` says, as far as the bench looks at it. The names are written out here:
// scripts depend on them.
type state struct {
	Phase         string    `json:"phase"`
	PID           int       `json:"pid"`
	Started       time.Time `json:"started"`
	ConfigProblem string    `json:"configProblem"`
	Conditions    []struct {
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"conditions"`
	Sessions   []session `json:"sessions"`
	Advertised []string  `json:"advertised"`
	Kernel     struct {
		Routes     int    `json:"routes"`
		Operations uint64 `json:"operations"`
		Repairs    uint64 `json:"repairs"`
		Errors     uint64 `json:"errors"`
		Conflicts  int    `json:"conflicts"`
	} `json:"kernel"`
	Routes struct {
		Total    int            `json:"total"`
		Accepted int            `json:"accepted"`
		Refusals map[string]int `json:"refusals"`
	} `json:"routes"`
	Problems []struct {
		Severity string `json:"severity"`
		Subject  string `json:"subject"`
		Message  string `json:"message"`
	} `json:"problems"`
}

type session struct {
	Peer      string    `json:"peer"`
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Complete  bool      `json:"complete"`
	Flaps     int       `json:"flaps"`
	LastError string    `json:"lastError"`
	BFD       *struct {
		State string `json:"state"`
	} `json:"bfd"`
}

func (s *state) session(peer string) session {
	at := slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == peer })
	if at < 0 {
		return session{Peer: peer, State: "missing"}
	}
	return s.Sessions[at]
}

// complaints is all that the daemon says is wrong, a line each.
func (s *state) complaints() []string {
	var lines []string
	for _, p := range s.Problems {
		lines = append(lines, p.Subject+": "+p.Message)
	}
	for _, c := range s.Conditions {
		if c.Reason != "RoutesInstalled" {
			lines = append(lines, fmt.Sprintf("condition %s %s: %s", c.Status, c.Reason, c.Message))
		}
	}
	return lines
}

const statusSocket = "/run/underlayd/underlayd.sock"

// daemon asks the daemon of a node over its socket. It is asked often, and a command each time would take the time
// that the bench measures.
type daemon struct {
	node   *containerlab.Node
	client *http.Client
}

func newDaemon(n *containerlab.Node) *daemon {
	return &daemon{node: n, client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.Path(statusSocket))
		},
	}}}
}

// get returns an answer of the daemon; no answer without an error means that there is no such page.
func (d *daemon) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://underlayd"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := d.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode == http.StatusNotFound:
		return nil, nil
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s: %s", path, answer.Status, text)
	}
	return text, nil
}

func (d *daemon) state(ctx context.Context) (*state, error) {
	text, err := d.get(ctx, "/v1/status")
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return &s, nil
}

// process is the daemon's process, running or not.
func (d *daemon) process() *containerlab.Process { return d.node.Process("underlayd") }

// logSize is where the log ends.
func (d *daemon) logSize() int64 {
	info, err := os.Stat(d.process().LogPath())
	if err != nil {
		return 0
	}
	return info.Size()
}

// logSince is the log from there on.
func (d *daemon) logSince(size int64) string {
	f, err := os.Open(d.process().LogPath())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, size, 64<<20))
	return string(text) + errorText(err)
}

// memory is the resident memory of the daemon in bytes.
func (s *scene) memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.daemon.process().PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib int64
			_, err := fmt.Sscan(value, &kib)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// metricValue returns the sum of the samples of a metric whose line begins so; false when there is none, or no
// metrics at all.
func metricValue(text []byte, start string) (sum float64, found bool) {
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, start) {
			continue
		}
		fields := strings.Fields(line)
		var v float64
		if _, err := fmt.Sscan(fields[len(fields)-1], &v); err == nil {
			sum, found = sum+v, true
		}
	}
	return sum, found
}

// settledState says what is not as it is when all is well.
func settledState(s *state) error {
	var errs []error
	if s.Phase != "Ready" || len(s.Problems) > 0 {
		errs = append(errs, fmt.Errorf("the phase is %s: %s", s.Phase, strings.Join(s.complaints(), "; ")))
	}
	for _, p := range neighbours() {
		if state := s.session(p.name).State; state != "established" {
			errs = append(errs, fmt.Errorf("the session with %s is %s", p.name, state))
		}
	}
	return errors.Join(errs...)
}
