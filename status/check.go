package status

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// KindCheckList is the kind of a CheckList.
const KindCheckList = "CheckList"

// CheckResult is what came of one check.
type CheckResult string

// The results of a check.
const (
	CheckOK      CheckResult = "ok"
	CheckWarning CheckResult = "warning" // it works, or may not be as meant: somebody should look
	CheckFailed  CheckResult = "failed"  // something that should work does not, or will not
	CheckUnknown CheckResult = "unknown" // it can't be known from here; the remedy says where to look
)

// The groups of checks, in their order.
const (
	CheckConfig     = "configuration"
	CheckKernel     = "kernel"
	CheckLinks      = "links"
	CheckPort       = "port"
	CheckMD5        = "md5"
	CheckNAT        = "nat"
	CheckContracts  = "contracts"
	CheckSessions   = "sessions"
	CheckKubernetes = "kubernetes"
	CheckClock      = "clock"
	CheckPrograms   = "programs" // others that write routes
	CheckProbe      = "probe"    // whether packets really pass
	CheckLimits     = "limits"
	CheckDaemon     = "daemon" // what is wrong with itself
)

func checkGroups() []string {
	return []string{
		CheckConfig, CheckKernel, CheckLinks, CheckPort, CheckMD5, CheckNAT, CheckContracts, CheckSessions, CheckKubernetes,
		CheckProbe, CheckClock, CheckPrograms, CheckLimits, CheckDaemon,
	}
}

// Check is one finding, or the sentence that there is none.
type Check struct {
	Group  string      `json:"group"`
	Name   string      `json:"name"` // what it is about: a peer, a sysctl, a code of lint
	Result CheckResult `json:"result"`
	// Reason is in one word what is wrong, where it has a name; explain has the same ones.
	Reason   string  `json:"reason,omitempty"`
	Sentence string  `json:"sentence"`
	Remedy   *Remedy `json:"remedy,omitempty"` // nil where nothing is to be done
}

// CheckList is all that stands in the way, and what does not.
type CheckList struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Node       string    `json:"node"`
	Time       time.Time `json:"time"`
	Daemon     bool      `json:"daemon"` // false: it does not run, and what only it knows is not among the items
	Failed     int       `json:"failed"`
	Warnings   int       `json:"warnings"`
	Items      []Check   `json:"items"` // by group, the worst of each first
}

// Checker is a Source that checks, too: on the goroutine of a request, without waiting for the daemon's loop.
type Checker interface {
	// Check looks at the host and says what is to be done about the problems of a snapshot, which is complete.
	Check(ctx context.Context, s *Snapshot) []Check
}

// NewCheckList sorts checks into their groups and counts them.
func NewCheckList(node string, now time.Time, daemon bool, items []Check) *CheckList {
	l := &CheckList{APIVersion: APIVersion, Kind: KindCheckList, Node: node, Time: now, Daemon: daemon, Items: list(slices.Clone(items))}
	groups, results := checkGroups(), []CheckResult{CheckFailed, CheckWarning, CheckUnknown, CheckOK}
	rank := func(c Check) int { return slices.Index(groups, c.Group)*len(results) + slices.Index(results, c.Result) }
	slices.SortStableFunc(l.Items, func(a, b Check) int { return rank(a) - rank(b) })
	for _, c := range l.Items {
		switch c.Result {
		case CheckFailed:
			l.Failed++
		case CheckWarning:
			l.Warnings++
		}
	}
	return l
}

// Check asks for what stands in the way.
func (c *Client) Check(ctx context.Context) (*CheckList, error) {
	l := &CheckList{}
	if err := c.ask(ctx, "/v1/check", nil, l); err != nil {
		return nil, err
	}
	return l, checkVersion(l.APIVersion)
}

func (h *handler) check(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.RawQuery) > 0 {
		refuse(w, http.StatusBadRequest, "check takes no parameters")
		return
	}
	checker, can := h.source.(Checker)
	if !can {
		notYet(w)
		return
	}
	s := h.snapshot(w, r)
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	answer(w, NewCheckList(s.Node, time.Now(), true, checker.Check(ctx, s.finish(h.surveyor.survey(s.Table)))))
}
