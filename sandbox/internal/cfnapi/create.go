package cfnapi

import (
	"slices"
	"time"

	"github.com/crossaccount/crossaccount/template/cfn"
)

// createSteps fills the queue of a creation whose stack has just entered
// CREATE_IN_PROGRESS.
func (s *Service) createSteps(op *operation) {
	st := op.stack
	op.push(func(now time.Time) {
		order, err := s.prepare(op)
		if err != nil {
			s.creationFailed(op, wireMessage(err), now)
			return
		}
		for _, d := range order {
			s.pushCreate(op, d, s.creationFailed)
		}
		op.push(func(now time.Time) {
			outputs, err := s.finalOutputs(op)
			if err != nil {
				s.creationFailed(op, wireMessage(err), now)
				return
			}
			st.outputs = outputs
			s.setStatus(st, createComplete, "", now)
		})
	})
}

// prepare decides the conditions and the order of the target's resources.
func (s *Service) prepare(op *operation) ([]*cfn.Resource, error) {
	e, err := s.evaluator(op.stack, op.target, op.stack.resource)
	if err != nil {
		return nil, err
	}
	op.evaluator = e
	return e.Order()
}

// finalOutputs resolves the outputs after all resources exist, and checks
// exports.
func (s *Service) finalOutputs(op *operation) ([]output, error) {
	outputs, err := s.resolveOutputs(op.target, op.evaluator)
	if err != nil {
		return nil, err
	}
	if err := s.exportsTaken(op.stack, outputs); err != nil {
		return nil, err
	}
	return outputs, s.exportsInUse(op.stack, outputs)
}

// pushCreate queues the two steps that make a resource. If one fails, failed
// is called with the reason for the stack.
func (s *Service) pushCreate(op *operation, d *cfn.Resource, failed func(*operation, string, time.Time)) {
	op.push(func(now time.Time) {
		if minutes := op.stack.timeoutInMinutes; minutes > 0 && now.Sub(op.stack.created) > time.Duration(minutes)*time.Minute {
			failed(op, "Stack creation time exceeded the specified timeout. ", now)
			return
		}
		r := s.beginCreate(op, d, now)
		op.next(s.finishCreate(op, r, d, now, failed))
	})
}

func (s *Service) beginCreate(op *operation, d *cfn.Resource, now time.Time) *resource {
	r := &resource{logicalID: d.Name, typeName: d.Type}
	op.stack.resources = append(op.stack.resources, r)
	s.setResourceStatus(op.stack, r, createInProgress, "", now)
	return r
}

// finishCreate returns the step that makes a resource. After a failure r has a
// physical ID only if something was left behind.
func (s *Service) finishCreate(op *operation, r *resource, d *cfn.Resource, since time.Time, failed func(*operation, string, time.Time)) step {
	return func(now time.Time) {
		st, t := op.stack, s.types[d.Type]
		want, err := s.desire(st, op.target, op.evaluator, d)
		if err == nil {
			r.adopt(want)
			err = checkProperties(t, want.properties)
		}
		if err != nil {
			s.setResourceStatus(st, r, createFailed, wireMessage(err), now)
			failed(op, listFailed("create", d.Name), now)
			return
		}
		j := s.job(op, r, now)
		err = t.create(j)
		if j.physicalID == "" && s.retry(op, err, since, now, s.finishCreate(op, r, d, since, failed)) {
			return
		}
		r.physicalID, r.attributes = j.physicalID, j.attributes
		if err != nil {
			s.setResourceStatus(st, r, createFailed, s.failure(t, j.call, err), now)
			failed(op, listFailed("create", d.Name), now)
			return
		}
		s.setResourceStatus(st, r, createInProgress, "Resource creation Initiated", now)
		s.setResourceStatus(st, r, createComplete, "", now)
	}
}

// adopt takes over what the template says about a resource.
func (r *resource) adopt(want *desired) {
	r.properties, r.tags, r.dependsOn = want.properties, want.tags, want.dependsOn
	r.metadata = want.declaration.Metadata
	r.deletionPolicy = want.declaration.DeletionPolicy
	r.updateReplacePolicy = want.declaration.UpdateReplacePolicy
}

// creationFailed does what the caller wanted done when a stack cannot be made.
func (s *Service) creationFailed(op *operation, reason string, now time.Time) {
	st := op.stack
	switch op.onFailure {
	case "DO_NOTHING":
		s.setStatus(st, createFailed, reason, now)
		op.instead()
		return
	case "DELETE":
		s.setStatus(st, deleteInProgress, reason, now)
	default:
		s.setStatus(st, rollbackInProgress, reason+"Rollback requested by user.", now)
	}
	op.instead()
	for _, r := range deletionOrder(st.resources) {
		s.pushDelete(op, r, r.deletionPolicy == "Retain")
	}
	op.push(func(now time.Time) {
		failed := op.failedDeletion
		switch {
		case op.onFailure == "DELETE" && len(failed) > 0:
			s.setStatus(st, deleteFailed, listFailed("delete", failed...), now)
		case op.onFailure == "DELETE":
			st.deleted = &now
			s.setStatus(st, deleteComplete, "", now)
		case len(failed) > 0:
			s.setStatus(st, rollbackFailed, listFailed("delete", failed...), now)
		default:
			s.setStatus(st, rollbackComplete, "", now)
		}
	})
}

// pushDelete queues the two steps that delete a resource, or the one that
// keeps it. What a resource depends on is not deleted if deleting the resource
// failed.
func (s *Service) pushDelete(op *operation, r *resource, retain bool) {
	st := op.stack
	op.push(func(now time.Time) {
		switch {
		case r.physicalID == "" || r.status == deleteComplete:
			return // there is nothing to delete
		case retain:
			s.setResourceStatus(st, r, deleteSkipped, "", now)
			return
		case slices.ContainsFunc(st.resources, func(other *resource) bool {
			return slices.Contains(op.failedDeletion, other.logicalID) && slices.Contains(other.dependsOn, r.logicalID)
		}):
			return
		}
		s.setResourceStatus(st, r, deleteInProgress, "", now)
		op.next(func(now time.Time) {
			if !s.deleteResource(op, r, now) {
				op.failedDeletion = append(op.failedDeletion, r.logicalID)
			}
		})
	})
}

// deleteSteps fills the queue of a deletion whose stack has just entered
// DELETE_IN_PROGRESS.
func (s *Service) deleteSteps(op *operation) {
	st := op.stack
	op.push(func(now time.Time) {
		if err := s.exportsInUse(st, nil); err != nil {
			// AWS puts the stack back where it was and says why.
			s.setStatus(st, op.statusBefore, wireMessage(err), now)
			return
		}
		for _, r := range deletionOrder(slices.Concat(st.resources, st.orphans)) {
			retain := r.deletionPolicy == "Retain" || r.deletionPolicy == "RetainExceptOnCreate" || slices.Contains(st.retainOnDelete, r.logicalID)
			s.pushDelete(op, r, retain)
		}
		op.push(func(now time.Time) {
			if len(op.failedDeletion) > 0 {
				s.setStatus(st, deleteFailed, listFailed("delete", op.failedDeletion...), now)
				return
			}
			st.deleted = &now
			st.outputs, st.changeSets = nil, nil
			s.setStatus(st, deleteComplete, "", now)
		})
	})
}
