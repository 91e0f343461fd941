package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// request is one of an agent that the API server has answered.
type request struct {
	at    time.Time
	agent string
	verb  string // as audit has it: list, watch, get, create, update, patch, delete
	what  string // resource and subresource, or the path of what is none
	query url.Values
	code  int
	why   string // the API server's words, if it said no
}

// journal is the API server's audit log, as far as it was read.
type journal struct {
	path     string
	read     int64
	requests []request
}

// event is a line of it, of the kind audit.k8s.io/v1 Event.
type event struct {
	Stage      string
	RequestURI string
	Verb       string
	User       struct{ Extra map[string][]string }
	ObjectRef  *struct{ Resource, Subresource string }
	Status     struct {
		Code    int
		Message string
	} `json:"responseStatus"`
	Received time.Time `json:"requestReceivedTimestamp"`
}

// update reads what was written meanwhile.
func (j *journal) update() error {
	f, err := os.Open(j.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	text := make([]byte, info.Size()-j.read)
	if _, err := f.ReadAt(text, j.read); err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		j.read += int64(len(line))
		if err := j.take(line); err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
	}
	return nil
}

func (j *journal) take(line []byte) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	// A watch counts when it begins. One that is refused never does.
	if e.Verb == "watch" && e.Stage == "ResponseComplete" && e.Status.Code < 400 {
		return nil
	}
	address, err := url.Parse(e.RequestURI)
	if err != nil {
		return err
	}
	r := request{at: e.Received, verb: e.Verb, what: address.Path, query: address.Query(), code: e.Status.Code, why: e.Status.Message}
	if nodes := e.User.Extra["authentication.kubernetes.io/node-name"]; len(nodes) == 1 {
		r.agent = nodes[0]
	}
	if e.ObjectRef != nil {
		r.what = strings.TrimSuffix(e.ObjectRef.Resource+"/"+e.ObjectRef.Subresource, "/")
	}
	j.requests = append(j.requests, r)
	return nil
}

// between returns the requests of agents that came in a span of time, in the order of their coming.
func (j *journal) between(from, to time.Time, agents map[string]bool) []request {
	var found []request
	for _, r := range j.requests {
		if !r.at.Before(from) && r.at.Before(to) && agents[r.agent] {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b request) int { return a.at.Compare(b.at) })
	return found
}

// peak is the most requests that came within a span of time.
func peak(requests []request, span time.Duration) int {
	most, first := 0, 0
	for i := range requests {
		for requests[i].at.Sub(requests[first].at) >= span {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// about counts requests by verb and resource.
func about(requests []request, verb, what string) int {
	n := 0
	for _, r := range requests {
		if r.verb == verb && r.what == what {
			n++
		}
	}
	return n
}

// wide says what a request of a plain agent asks for beyond its own Node; nothing if it doesn't.
func (r request) wide() string {
	if r.what != "nodes" || r.verb != "list" && r.verb != "watch" || r.query.Get("fieldSelector") == "metadata.name="+r.agent {
		return ""
	}
	return fmt.Sprintf("%s asks for other Nodes than its own: %s %s?%s", r.agent, r.verb, r.what, r.query.Encode())
}

// refused counts the requests that the API server said no to, by what was asked and what it answered.
func refused(requests []request) map[string]int {
	count := map[string]int{}
	for _, r := range requests {
		if r.code >= 400 {
			count[strings.ReplaceAll(fmt.Sprintf("%s %s: %d %s", r.verb, r.what, r.code, r.why), r.agent, "NODE")]++
		}
	}
	return count
}
