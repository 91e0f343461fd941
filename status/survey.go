package status

// surveyor sums up route tables, at the cost of what changed since it did so last.
type surveyor struct{ digest Digest[*findings] }

// survey returns what is true of all routes. The result is the caller's.
func (s *surveyor) survey(t *RouteTable) findings {
	sum := newFindings()
	for _, part := range s.digest.Of(t, surveyChunk) {
		sum.add(part)
	}
	return sum
}

func surveyChunk(chunk []Row) *findings {
	f := newFindings()
	f.summary.Total = len(chunk)
	names, counts := states(), f.summary.counts()
	for _, row := range chunk {
		r := row.Route()
		for i, state := range names {
			if r.is(state) {
				*counts[i]++
			}
		}
		f.examine(r)
	}
	return &f
}

// findings are the sums over many routes.
type findings struct {
	summary          RouteSummary
	failed, conflict finding
	refused          map[string]*finding // by verdict
	paths            map[string]*finding // refused ones of accepted prefixes, likewise
}

func newFindings() findings {
	return findings{
		failed:   finding{severity: Error, subject: "kernel"},
		conflict: finding{severity: Error, subject: "kernel conflict"},
		refused:  map[string]*finding{},
		paths:    map[string]*finding{},
	}
}

// counts are the numbers of the states, in the order of states.
func (s *RouteSummary) counts() [9]*int {
	return [...]*int{&s.Accepted, &s.Refused, &s.Installed, &s.Pending, &s.Failed, &s.Conflict, &s.Adopted, &s.Stale, &s.PassedOn}
}

func (f *findings) examine(r *Route) {
	switch {
	case r.is(StateFailed):
		f.failed.note(r, r.Kernel.Reason)
	case r.is(StateConflict):
		f.conflict.note(r, r.Kernel.Reason)
	}
	if !r.is(StateRefused) {
		f.examinePaths(r)
		return
	}
	f.refuse(r.Verdict, 1)
	if !r.Expected {
		of(f.refused, "refused, ", r.Verdict).note(r, r.Detail)
	}
}

// examinePaths looks for refused paths of a prefix that has better ones.
func (f *findings) examinePaths(r *Route) {
	for _, p := range r.Paths {
		if !p.Accepted && p.Verdict != "" && r.Accepted {
			of(f.paths, "refused path, ", p.Verdict).note(r, p.Detail)
		}
	}
}

func (f *findings) refuse(verdict string, n int) {
	if f.summary.Refusals == nil {
		f.summary.Refusals = map[string]int{}
	}
	f.summary.Refusals[verdict] += n
}

// of returns the finding of a verdict, which is new if there is none.
func of(all map[string]*finding, subject, verdict string) *finding {
	if all[verdict] == nil {
		all[verdict] = &finding{severity: Warning, subject: subject + verdict}
	}
	return all[verdict]
}

// add takes in what was found of the routes that follow.
func (f *findings) add(next *findings) {
	f.summary.Total += next.summary.Total
	sums, parts := f.summary.counts(), next.summary.counts()
	for i, n := range sums {
		*n += *parts[i]
	}
	for verdict, n := range next.summary.Refusals {
		f.refuse(verdict, n)
	}
	f.failed.add(&next.failed)
	f.conflict.add(&next.conflict)
	for verdict, found := range next.refused {
		of(f.refused, "refused, ", verdict).add(found)
	}
	for verdict, found := range next.paths {
		of(f.paths, "refused path, ", verdict).add(found)
	}
}
