package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// annotationWait is how long a start waits to see the Node if it knows what the last run saw: a change since then takes no
// second restart. One that knows nothing waits for bgp.gracefulRestart.deferral.
const annotationWait = 2 * time.Second

// beginWithNode puts on top of the file what people say on the Node, before there is a speaker: its AS number and its router
// id can't be changed later. An API that is away leaves what the last run knew in force.
func (a *agent) beginWithNode(ctx context.Context) {
	if a.node == nil {
		return
	}
	if a.config.RestartAnnotations() {
		limit := a.config.BGP.GracefulRestart.Deferral
		if a.memo.Annotations != nil {
			limit = min(limit, annotationWait)
		}
		waiting, done := context.WithTimeout(ctx, limit)
		a.node.AwaitAnnotations(waiting)
		done()
	}
	seen, err := a.node.Annotations()
	if err != nil {
		seen = nil
		if a.memo.Annotations == nil && a.config.RestartAnnotations() {
			a.log.WithError(err).Warn("starting without what its annotations may say of AS number and router id")
		}
	}
	update := a.watcher.Begin(seen, a.memo.Annotations)
	a.noteAnnotations(update)
	if update.Err != nil {
		a.problem = update.Err.Error()
		a.log.WithError(update.Err).Error("annotations of the Node refused; the last ones that were good stay in force")
	}
	a.peering.base = update.Config
	a.configure(update.Config)
	a.seen = seen
}

// followAnnotations has the configuration be read again with what people say on the Node now.
func (a *agent) followAnnotations() {
	if a.node == nil {
		return
	}
	seen, err := a.node.Annotations()
	if err != nil || a.seen != nil && maps.Equal(seen, a.seen) {
		return
	}
	a.seen, a.stale = seen, true
	for key, why := range a.peering.base.Unheeded(seen) {
		a.log.WithFields(logrus.Fields{"annotation": key, "reason": why}).Warn("the Node has an annotation that is not heeded")
	}
	a.watcher.Annotate(seen)
}

// noteAnnotations notes those in force, for a run that finds the API away.
func (a *agent) noteAnnotations(update config.Update) {
	if update.Annotations != nil && (a.memo.Annotations == nil || !maps.Equal(update.Annotations, a.memo.Annotations)) {
		a.memo.Annotations = update.Annotations
		a.remember()
	}
}

// annotationProblems names the annotations of the Node that are without effect.
func (a *agent) annotationProblems() []status.Problem {
	why := a.peering.base.Unheeded(a.seen)
	var out []status.Problem
	for _, key := range slices.Sorted(maps.Keys(why)) {
		out = append(out, status.Problem{Severity: status.Warning, Subject: "annotation " + key, Message: "of this Node is not heeded: " + why[key]})
	}
	return out
}

// saidBy is what gave a key its value, if that is an annotation.
func saidBy(c *config.Config, path string) string {
	if by := c.SaidBy(path); by != path {
		return by
	}
	return ""
}
