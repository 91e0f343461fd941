package k8s

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"golang.org/x/time/rate"

	"github.com/underlayd/underlayd/k8s/annotation"
)

const (
	// eventNamespace is where the API wants Events about what has no namespace.
	eventNamespace = metav1.NamespaceDefault
	// reportingController names us in Events.
	reportingController = "underlayd.io/agent"
	// A node may write so many Events at once, and one more in each pause.
	eventBurst = 20
	eventPause = 30 * time.Second
)

// recorder tells incidents as Events on the Node (events.k8s.io/v1). client-go's
// recorder for that API brings the types of all of Kubernetes along, and holds what
// it can't write for minutes; its other one, for core/v1, has no series.
//
// It has a goroutine, a client with a limit and a memory of its own: nothing waits
// for it. What the API does not take is dropped, since an Event is news. One
// goroutine owns it.
type recorder struct {
	n       *Node
	ledger  ledger
	limiter *rate.Limiter
	backoff backoff
	report  *Report // the last one observed
	uid     string  // of the Node that Events are about
}

func newRecorder(n *Node) *recorder {
	return &recorder{
		n: n, ledger: ledger{pause: n.pace.Series, series: map[incidentKey]*series{}}, backoff: backoff{max: n.pace.MaxBackoff},
		limiter: rate.NewLimiter(rate.Every(eventPause), eventBurst),
	}
}

// run works until ctx ends. A value on wake says that there may be news.
func (r *recorder) run(ctx context.Context, wake <-chan struct{}) {
	inTurns(ctx, wake, r.step)
}

// step tells one thing if one is due and returns how long nothing will be.
func (r *recorder) step(ctx context.Context) time.Duration {
	now := time.Now()
	report, uid := r.n.incidents()
	if report != nil && report != r.report {
		r.report = report
		r.ledger.observe(report.Incidents, now)
	}
	if r.backoff.until.After(now) {
		r.ledger.drop()
	}
	if uid != "" && uid != r.uid {
		r.uid = uid
		r.ledger.anew()
	}
	defer r.count()
	if uid == "" {
		return idle
	}
	key, s, wait := r.ledger.next(now)
	if s == nil {
		return wait
	}
	reservation := r.limiter.ReserveN(now, 1)
	if delay := reservation.DelayFrom(now); delay > 0 {
		reservation.CancelAt(now)
		return delay
	}
	err := r.tell(ctx, event{key, s, uid, now})
	if ctx.Err() != nil {
		return idle
	}
	if err != nil {
		r.failed(err, now)
		return 0
	}
	r.backoff.reset()
	return 0
}

func (r *recorder) failed(err error, now time.Time) {
	log := r.n.log.WithField("node", r.n.name).WithField("op", "event").WithError(err)
	if r.backoff.fails == 0 {
		log.Warn("Kubernetes API: Events are dropped, nothing else depends on them")
	} else {
		log.Debug("Kubernetes API: Events are still dropped")
	}
	r.backoff.failed(now, retryAfter(err))
	r.ledger.drop()
}

// count shows what was dropped so far.
func (r *recorder) count() {
	r.n.mu.Lock()
	defer r.n.mu.Unlock()
	r.n.stats.EventsDropped = r.ledger.dropped
}

// incidents returns the newest report, and the UID of the Node, empty as long as it
// is not known.
func (n *Node) incidents() (*Report, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == nil {
		return n.report, ""
	}
	return n.report, n.current.uid
}

// event is one Event to be written.
type event struct {
	key incidentKey
	*series
	uid string
	now time.Time
}

// tell writes an Event, or that it happened again.
func (r *recorder) tell(ctx context.Context, e event) error {
	if e.event != "" {
		patch := encodeJSON(map[string]any{"series": eventsv1.EventSeries{
			Count: seriesCount(e.total + e.untold), LastObservedTime: metav1.NewMicroTime(e.observed),
		}})
		err := r.n.client.patchEvent(ctx, eventNamespace, e.event, []byte(patch))
		if !apierrors.IsNotFound(err) { // they do not live long
			return r.told(e, e.event, err)
		}
	}
	name := eventName(r.n.name, e.now)
	return r.told(e, name, r.n.client.createEvent(ctx, e.object(name, r.n.name)))
}

func (r *recorder) told(e event, name string, err error) error {
	if err != nil {
		return fmt.Errorf("event %s of node %s: %w", e.key.reason, r.n.name, err)
	}
	e.wrote(name, e.now)
	r.n.mu.Lock()
	defer r.n.mu.Unlock()
	r.n.stats.Events++
	return nil
}

func (e event) object(name, node string) *eventsv1.Event {
	kind := corev1.EventTypeWarning
	if e.normal {
		kind = corev1.EventTypeNormal
	}
	reason := e.key.reason
	if !annotation.ValidWord(reason) {
		reason = "Unknown"
	}
	object := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: eventNamespace, Name: name},
		EventTime:  metav1.NewMicroTime(e.observed),
		Regarding:  corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node, UID: types.UID(e.uid)},
		Reason:     reason, Action: reason, Note: e.note, Type: kind,
		ReportingController: reportingController,
		ReportingInstance:   node[:min(len(node), 128)], // the API takes no more
	}
	if e.untold > 1 {
		object.Series = &eventsv1.EventSeries{Count: seriesCount(e.untold), LastObservedTime: object.EventTime}
	}
	return object
}

func hexadecimal(n int64) string { return strconv.FormatInt(n, 16) }
