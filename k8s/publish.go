package k8s

import (
	"context"
	"time"
)

// idle is how long the publisher sleeps when nothing but news can make work.
const idle = time.Hour

// wanted is the newest report and its number.
type wanted struct {
	report *Report // nil before the first
	number uint64
	// urgent: a report since the last outcome that was not pending asked for
	// haste, this one or an earlier one.
	urgent bool
}

// desk is what the publisher needs of the rest; its methods are called from the
// publisher's goroutine.
type desk interface {
	// wanted returns the newest report.
	wanted() wanted
	// live returns the Node as last seen, nil while it is unknown or deleted.
	live() *live
	// apply writes the content; what the API answers is seen by the next live.
	// since is when the condition got its status.
	apply(ctx context.Context, c *content, since time.Time) error
	// outcome tells how it stands with a wanted: pending, until the Node says it;
	// err is why a write failed, or why what was written does not stay.
	outcome(w wanted, pending bool, err error)
}

// publisher brings the Node to say what the newest report says, at the pace
// allowed. One goroutine owns it. It is level-triggered: a wake-up says only
// that something may be different.
type publisher struct {
	desk     desk
	schedule schedule
	backoff  backoff
	contest  contest
	uid      string // of the Node written last

	rendered *Report // the report that content was made of
	content  *content
	renderAt time.Time // the next rendering comes no sooner

	applied  *content   // last written by this process
	status   transition // of the condition
	answered bool       // the API answered the last write, if only to refuse it
}

// transition remembers when the wanted status became what it is, for the tries
// until it is written.
type transition struct {
	status ConditionStatus
	since  time.Time
}

func newPublisher(d desk, pace Pace) *publisher {
	return &publisher{
		desk: d, schedule: schedule{pace: pace}, backoff: backoff{max: pace.MaxBackoff}, contest: contest{interval: pace.Interval},
	}
}

// run works until ctx ends. A value on wake means news, a value on back that the
// API answers again after a failure.
func (p *publisher) run(ctx context.Context, wake, back <-chan struct{}) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-back:
			p.backoff.reset()
		case <-timer.C:
		}
		timer.Reset(p.step(ctx))
	}
}

// step does what is due now and returns how long nothing will be.
func (p *publisher) step(ctx context.Context) time.Duration {
	want, node := p.desk.wanted(), p.desk.live()
	if want.report == nil || node == nil {
		return idle
	}
	start := time.Now()
	if p.rendered != want.report {
		if wait := p.renderAt.Sub(start); wait > 0 {
			return wait
		}
		p.render(want.report)
	}
	if p.uid != node.uid { // another Node, which nobody had a chance to contest
		p.uid, p.applied, p.contest = node.uid, nil, contest{interval: p.contest.interval}
	}
	settled := node.says(p.content) && (node.owns(p.content) || p.applied == p.content)
	urgent := want.urgent || (!settled && node.loses(p.content))
	// All this is linear in the routes, and reports may come with each route: it
	// takes at most a twentieth of a core.
	now := time.Now()
	p.renderAt = now.Add(min(20*now.Sub(start), p.schedule.pace.Coalesce))

	if settled {
		wait, why := p.contest.settled(now)
		p.desk.outcome(want, false, why)
		p.schedule.settle()
		if p.status.status != p.content.status {
			p.status = transition{} // of tries that came to nothing: there is no change to tell of
		}
		return wait
	}
	p.desk.outcome(want, true, p.contest.why)
	p.schedule.change(now, urgent)
	due, _ := p.schedule.due()
	if p.applied == p.content && p.contest.rounds > 0 {
		due = latest(due, p.schedule.last.Add(p.contest.hold()))
	}
	if due = latest(due, p.backoff.until); due.After(now) {
		return due.Sub(now)
	}
	p.write(ctx, want, node)
	return 0
}

func (p *publisher) render(r *Report) {
	p.rendered = r
	// Equal content keeps its identity: that is what applied is compared by.
	if next := render(r); p.content == nil || !p.content.equal(next) {
		p.content = next
	}
}

func (p *publisher) write(ctx context.Context, want wanted, node *live) {
	status := p.content.status
	if since := node.since(status); !since.IsZero() {
		p.status = transition{status, since}
	} else if p.status.status != status {
		// Kept for the tries to come: the change was now, not when it gets through.
		p.status = transition{status, time.Now()}
	}
	err := p.desk.apply(ctx, p.content, p.status.since)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		// The first answer after none at all starts a back-off of its own.
		if answered(err) && !p.answered {
			p.backoff.reset()
		}
		p.answered = answered(err)
		p.backoff.failed(time.Now(), retryAfter(err))
		p.desk.outcome(want, true, err)
		return
	}
	p.answered = true
	p.backoff.reset()
	now := time.Now()
	if p.applied == p.content {
		p.contest.repaired(now, node, p.content)
	}
	p.applied = p.content
	p.schedule.wrote(now)
	// The answer shows what became of the write: admission may have altered it.
	node = p.desk.live()
	p.contest.altered = node != nil && !node.says(p.content)
	p.desk.outcome(want, node == nil || p.contest.altered, p.contest.why)
}
