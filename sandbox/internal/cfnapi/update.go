package cfnapi

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// An undo says how a resource was before an update touched it.
type undo struct {
	r      *resource
	before *resource // a copy; nil if the update made the resource
	// replaced means that r now stands for a new physical resource, while
	// before is the old one, which still exists.
	replaced bool
	// changed means that a service was asked to change it in place.
	changed bool
}

// updateSteps fills the queue of an update whose stack has just entered
// UPDATE_IN_PROGRESS.
func (s *Service) updateSteps(op *operation) {
	st := op.stack
	op.push(func(now time.Time) {
		order, err := s.prepare(op)
		if err != nil {
			s.updateFailed(op, wireMessage(err), now)
			return
		}
		for _, r := range deletionOrder(st.resources) {
			if st.made(r.logicalID) == nil {
				s.pushCleanup(op, r, false) // what an earlier update without rollback left half-made
			}
		}
		kept := make(map[string]bool)
		for _, d := range order {
			kept[d.Name] = true
			if st.made(d.Name) == nil {
				s.pushAdd(op, d)
			} else {
				s.pushModify(op, d)
			}
		}
		op.push(func(now time.Time) { s.finishUpdate(op, kept, now) })
	})
}

func (s *Service) pushAdd(op *operation, d *cfn.Resource) {
	op.push(func(now time.Time) {
		r := s.beginCreate(op, d, now)
		op.journal = append(op.journal, undo{r: r})
		op.next(s.finishCreate(op, r, d, now, s.updateFailed))
	})
}

// pushModify queues the steps that bring a resource to what the template now
// says. Whether there is anything to do shows only when the values it refers
// to are final.
func (s *Service) pushModify(op *operation, d *cfn.Resource) {
	st, t := op.stack, s.types[d.Type]
	op.push(func(now time.Time) {
		r := st.resource(d.Name)
		want, err := s.desire(st, op.target, op.evaluator, d)
		if err == nil {
			err = checkProperties(t, want.properties)
		}
		if err != nil {
			op.journal = append(op.journal, undo{r: r, before: r.copy()})
			s.setResourceStatus(st, r, updateFailed, wireMessage(err), now)
			s.updateFailed(op, listFailed("update", d.Name), now)
			return
		}
		c, changed := compare(r, want)
		works := false // whether a service has to be asked
		for _, detail := range c.details {
			works = works || detail.Target.Attribute == "Properties" || detail.Target.Attribute == "Tags"
		}
		if !changed || !works {
			op.journal = append(op.journal, undo{r: r, before: r.copy()})
			r.adopt(want)
			return
		}
		replace := c.replacement == "True"
		reason := ""
		if replace {
			reason = "Requested update requires the creation of a new physical resource; hence creating one."
		}
		s.setResourceStatus(st, r, updateInProgress, reason, now)
		op.next(s.finishModify(op, r, want, replace, now))
	})
}

func (r *resource) copy() *resource {
	c := *r
	return &c
}

// finishModify returns the step that changes a resource in place, or makes the
// one that takes its place.
func (s *Service) finishModify(op *operation, r *resource, want *desired, replace bool, since time.Time) step {
	return func(now time.Time) {
		st, t := op.stack, want.typ
		before := r.copy()
		fail := func(reason string) {
			s.setResourceStatus(st, r, updateFailed, reason, now)
			s.updateFailed(op, listFailed("update", r.logicalID), now)
		}
		if name := textOf(want.properties, t.nameProperty); replace && name != "" && name == textOf(before.properties, t.nameProperty) {
			op.journal = append(op.journal, undo{r: r, before: before})
			fail("CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename " + name + " and update the stack again.")
			return
		}
		r.adopt(want)
		j := s.job(op, r, now)
		u := undo{r: r, before: before, changed: !replace}
		var err error
		if replace {
			j.physicalID = ""
			err = t.create(j)
			u.replaced = j.physicalID != ""
		} else {
			j.old, j.oldTags = before.properties, before.tags
			maps.Copy(j.attributes, before.attributes)
			err = t.update(j)
		}
		if !u.replaced && s.retry(op, err, since, now, s.finishModify(op, r, want, replace, since)) {
			*r = *before
			return
		}
		op.journal = append(op.journal, u)
		if u.replaced || u.changed {
			r.physicalID, r.attributes = j.physicalID, j.attributes
		} else {
			*r = *before // nothing took its place
		}
		if err != nil {
			fail(s.failure(t, j.call, err))
			return
		}
		s.setResourceStatus(st, r, updateComplete, "", now)
	}
}

// finishUpdate settles the outputs and cleans up what the template no longer
// has and what was replaced.
func (s *Service) finishUpdate(op *operation, kept map[string]bool, now time.Time) {
	st := op.stack
	outputs, err := s.finalOutputs(op)
	if err != nil {
		s.updateFailed(op, wireMessage(err)+". ", now)
		return
	}
	st.outputs, st.revision = outputs, op.target
	s.setStatus(st, updateCleanupInProgress, "", now)
	// What was replaced may still use what was removed, so all goes in one
	// order.
	var garbage []*resource
	for _, r := range st.resources {
		if !kept[r.logicalID] {
			garbage = append(garbage, r)
		}
	}
	retain := make(map[*resource]bool)
	for _, u := range op.journal {
		if u.replaced {
			garbage = append(garbage, u.before)
			retain[u.before] = u.before.updateReplacePolicy == "Retain"
		}
	}
	for _, r := range deletionOrder(garbage) {
		keep, replaced := retain[r]
		if !replaced {
			keep = r.deletionPolicy == "Retain" || r.deletionPolicy == "RetainExceptOnCreate"
		}
		s.pushCleanup(op, r, keep)
	}
	op.push(func(now time.Time) { s.setStatus(st, updateComplete, "", now) })
}

// pushCleanup queues the deletion of a resource that the stack no longer has.
// If it fails, the resource stays behind, as in AWS.
func (s *Service) pushCleanup(op *operation, r *resource, retain bool) {
	s.pushDelete(op, r, retain)
	op.push(func(time.Time) { op.stack.removeResource(r) })
}

// updateFailed rolls an update back.
func (s *Service) updateFailed(op *operation, reason string, now time.Time) {
	st := op.stack
	if op.keepOnFailure {
		st.revision = op.target
		s.setStatus(st, updateFailed, reason, now)
		op.instead()
		return
	}
	s.setStatus(st, updateRollbackInProgress, reason, now)
	op.instead()
	var leftovers []*resource
	for i := len(op.journal) - 1; i >= 0; i-- {
		u := op.journal[i]
		switch {
		case u.before == nil:
			leftovers = append(leftovers, u.r)
		case u.replaced:
			leftovers = append(leftovers, u.r.copy())
			op.push(func(now time.Time) {
				*u.r = *u.before
				s.setResourceStatus(st, u.r, updateComplete, "", now)
			})
		case u.changed:
			s.pushRestore(op, u)
		default:
			*u.r = *u.before
		}
	}
	slices.Reverse(leftovers) // oldest first
	op.push(func(now time.Time) {
		if len(op.failedRestores) > 0 {
			// What should go cannot go yet; the stack's deletion takes it along.
			for _, r := range leftovers {
				st.removeResource(r)
			}
			st.orphans = append(st.orphans, leftovers...)
			s.setStatus(st, updateRollbackFailed, listFailed("update", op.failedRestores...), now)
			return
		}
		s.setStatus(st, updateRollbackCleanupInProgress, "", now)
		for _, r := range deletionOrder(leftovers) {
			s.pushCleanup(op, r, r.deletionPolicy == "Retain")
		}
		op.push(func(now time.Time) { s.setStatus(st, updateRollbackComplete, "", now) })
	})
}

// pushRestore queues the steps that bring a resource back to its properties
// before the update.
func (s *Service) pushRestore(op *operation, u undo) {
	st, t := op.stack, s.types[u.r.typeName]
	op.push(func(now time.Time) {
		s.setResourceStatus(st, u.r, updateInProgress, "", now)
		op.next(func(now time.Time) {
			failed := u.r.copy()
			u.r.properties, u.r.tags = u.before.properties, u.before.tags
			j := s.job(op, u.r, now)
			j.old, j.oldTags = failed.properties, failed.tags
			maps.Copy(j.attributes, u.before.attributes)
			if err := t.update(j); err != nil {
				s.setResourceStatus(st, u.r, updateFailed, s.failure(t, j.call, err), now)
				op.failedRestores = append(op.failedRestores, u.r.logicalID)
				return
			}
			restored := *u.before
			restored.physicalID, restored.attributes = j.physicalID, j.attributes
			*u.r = restored
			s.setResourceStatus(st, u.r, updateComplete, "", now)
		})
	})
}

// wireMessage returns what an error says to people.
func wireMessage(err error) string {
	return wire.AsError(plainError(asValidationError(err))).Message
}

// plainError gives errors of this package that are not the service's own a
// message that may be shown.
func plainError(err error) error {
	var e *noExportError
	if errors.As(err, &e) {
		return invalid("%s", e.Error())
	}
	return err
}
