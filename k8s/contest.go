package k8s

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/k8s/annotation"
)

const (
	// contestAfter is how many repairs in a row are a contest: one may be anybody's
	// mistake.
	contestAfter = 2
	// contestSteps is how often the time between repairs doubles at most: 10 s
	// become five minutes.
	contestSteps = 5
)

// contestError says that what was written does not stay on the Node. It is an
// answer of the API: to be back from an outage does not end it.
type contestError struct{ what, who string }

func (e *contestError) Error() string {
	return fmt.Sprintf("what is written on the Node does not stay: %s, by %s; it is written again ever less often", e.what, e.who)
}

// contest notices that what was written does not stay, and spaces the repairs
// then: whoever writes his own text at each of our writes can't be outwritten, only
// made to cost the API a write every ten seconds of every node. The publisher's
// goroutine owns it.
type contest struct {
	interval time.Duration
	rounds   int       // repairs with no calm between them
	last     time.Time // of the last repair
	altered  bool      // the last write was something else in its own answer
	why      error
}

// hold is how long after a write the next repair waits, and how long peace has to
// last to be one.
func (c *contest) hold() time.Duration { return c.interval << min(c.rounds, contestSteps) }

// repaired notes that a content had to be written again, since the Node said
// something else.
func (c *contest) repaired(now time.Time, node *live, content *content) {
	c.rounds, c.last = c.rounds+1, now
	if c.rounds >= contestAfter {
		c.why = node.dispute(content, c.altered)
	}
}

// settled notes that the Node says what it should. It returns what is wrong all the
// same, and for how long that is to be told.
func (c *contest) settled(now time.Time) (time.Duration, error) {
	if c.rounds == 0 {
		return idle, nil
	}
	if left := c.last.Add(c.hold()).Sub(now); left > 0 {
		return left, c.why
	}
	c.rounds, c.why = 0, nil
	return idle, nil
}

// dispute says what of a content the Node does not say, and who wrote that
// instead, as far as the field managers tell. Our name on it has two reasons: our write
// was altered on its way, by the admission of the API server, or somebody else has it.
func (l *live) dispute(c *content, altered bool) error {
	var what, keys []string
	for _, key := range annotation.Keys() {
		if l.annotations[key] != c.annotations[key] {
			what, keys = append(what, "annotation "+key), append(keys, key)
		}
	}
	condition := l.condition == nil || string(l.condition.Status) != string(c.status) ||
		l.condition.Reason != c.reason || l.condition.Message != c.message
	if condition {
		what = append(what, "condition "+annotation.Condition)
	}
	var who []string
	for _, entry := range l.managers {
		owns := owns(entry, keys, condition)
		switch {
		case !owns:
		case ours(entry) && !altered:
			who = append(who, "another underlayd with the name of this node")
		case ours(entry):
			who = append(who, "an admission webhook or policy that alters our writes")
		default:
			who = append(who, "field manager "+strconv.Quote(clipName(entry.Manager)))
		}
	}
	slices.Sort(who)
	if who = slices.Compact(who); len(who) == 0 {
		who = []string{"somebody who leaves no trace (deleting does not)"}
	}
	return &contestError{what: strings.Join(what, ", "), who: strings.Join(who, " and ")}
}

func clipName(s string) string { return s[:min(len(s), 64)] }

// ours reports whether a field manager's entry is that of our apply.
func ours(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == annotation.FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply &&
		entry.Subresource == "status"
}

// owns reports whether a field manager owns one of the annotations, or something of
// our condition.
func owns(entry metav1.ManagedFieldsEntry, keys []string, condition bool) bool {
	if entry.FieldsV1 == nil {
		return false
	}
	fields := fieldsOf(entry.FieldsV1.GetRawBytes())
	for _, key := range keys {
		if _, ok := fields.Metadata.Annotations["f:"+key]; ok {
			return true
		}
	}
	_, ok := fields.Status.Conditions[`k:{"type":"`+annotation.Condition+`"}`]
	return ok && condition
}

// managed is what matters here of a set of managed fields.
type managed struct {
	Metadata struct {
		Annotations map[string]json.RawMessage `json:"f:annotations"`
	} `json:"f:metadata"`
	Status struct {
		Conditions map[string]json.RawMessage `json:"f:conditions"`
	} `json:"f:status"`
}

// fieldsOf reads a set of managed fields; text that is none has no fields.
func fieldsOf(text []byte) managed {
	var set managed
	if json.Unmarshal(text, &set) != nil {
		return managed{}
	}
	return set
}
