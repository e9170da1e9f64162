package cfnapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// An operation is the work on one stack: a queue of steps, each at its time.
// Steps may put further steps into the queue.
type operation struct {
	stack  *stack
	call   *authz.Call // who makes the resources
	target *revision   // what the stack is to be; nil for a deletion
	steps  []step
	due    time.Time     // of the next step
	wait   time.Duration // until the next step, if longer than usual

	evaluator *cfn.Evaluator
	journal   []undo // what an update did, oldest first

	onFailure      string // of a creation: "ROLLBACK", "DELETE" or "DO_NOTHING"
	keepOnFailure  bool   // of an update: do not roll back
	failedDeletion []string
	failedRestores []string // of a rollback
	statusBefore   string   // of the stack, before its deletion
}

// A step does one thing at the time it is due.
type step func(now time.Time)

// push puts steps at the end of the queue.
func (op *operation) push(steps ...step) { op.steps = append(op.steps, steps...) }

// next puts steps at the front of the queue.
func (op *operation) next(steps ...step) { op.steps = append(steps, op.steps...) }

// instead drops the queue in favour of other steps.
func (op *operation) instead(steps ...step) { op.steps = steps }

// start begins an operation. The first step is due one step from now.
func (s *Service) start(op *operation, now time.Time) {
	op.due = now.Add(s.options.Step)
	op.stack.operation = op
	s.operations = append(s.operations, op)
}

// Advance runs the steps of all operations that are due. The sandbox calls it
// before it answers a request of any service, so that nobody sees a stack lag
// behind the clock.
func (s *Service) Advance(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var op *operation
		for _, candidate := range s.operations {
			if op == nil || candidate.due.Before(op.due) {
				op = candidate
			}
		}
		if op == nil || op.due.After(now) {
			return
		}
		run := op.steps[0]
		op.steps = op.steps[1:]
		run(op.due)
		op.due = op.due.Add(max(s.options.Step, op.wait))
		op.wait = 0
		if len(op.steps) == 0 {
			s.end(op)
		}
	}
}

// end takes an operation off the list.
func (s *Service) end(op *operation) {
	op.stack.operation = nil
	s.operations = slices.DeleteFunc(s.operations, func(other *operation) bool { return other == op })
}

// propagationRetry is how long a step waits for IAM before it tries again.
const propagationRetry = time.Second

// retry puts a step back at the front of the queue if it failed because a
// principal in a policy has not taken effect yet, as one made by an earlier
// step has not while IAM changes are delayed. Since is when the step was first
// tried.
func (s *Service) retry(op *operation, err error, since, now time.Time, again step) bool {
	if err == nil || now.Sub(since) > s.options.IAMDelay || s.options.IAMDelay == 0 {
		return false
	}
	var unknown *directory.InvalidPrincipalError // whatever code the service gives it
	if !errors.As(err, &unknown) {
		return false
	}
	op.next(again)
	op.wait = propagationRetry
	return true
}

// stackCall returns the call on whose behalf a stack's resources are made: the
// caller through CloudFormation, or the stack's service role. Passing a role
// needs iam:PassRole; a role that the stack already has needs nothing more.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
func (s *Service) stackCall(c *authz.Call, p place, roleARN, stackRoleARN string) (*authz.Call, error) {
	own := *c
	own.Context = context.WithoutCancel(c.Context) // the work outlives the request
	if roleARN == "" {
		roleARN = stackRoleARN
	} else if err := s.checkPassRole(c, p, roleARN); err != nil {
		return nil, err
	}
	if roleARN == "" {
		return own.Forward(forwardedBy), nil
	}
	assumed, err := own.AsServiceRole(roleARN, forwardedBy, "AWSCloudFormation")
	if err != nil {
		e := wire.AsError(invalid("Role %s is invalid or cannot be assumed", clip(roleARN)))
		e.Cause = err
		return nil, e
	}
	return assumed, nil
}

func (s *Service) checkPassRole(c *authz.Call, p place, roleARN string) error {
	role, err := iam.ParseRoleARN(roleARN)
	if err != nil {
		return invalid("1 validation error detected: Value at 'roleARN' failed to satisfy constraint: Member must be the ARN of an IAM role")
	}
	if role.Account != p.account {
		return wire.Errorf(403, "AccessDenied", "Cross-account pass role is not allowed.")
	}
	return c.Authorize(authz.Query{
		Action: "iam:PassRole", Resource: roleARN,
		Context: func(k *iam.Context) { k.Set("iam:PassedToService", forwardedBy) },
	})
}

// job prepares the work on a resource at a time.
func (s *Service) job(op *operation, r *resource, now time.Time) *job {
	call := *op.call
	call.Now = now
	return &job{
		call: &call, logicalID: r.logicalID, physicalID: r.physicalID,
		properties: r.properties, tags: r.tags,
		attributes: make(map[string]string),
		newName: func(max int) string {
			return generatedName(op.stack.name, r.logicalID, s.suffix(), max)
		},
	}
}

// failure words why a service would not make, change or delete a resource, as
// CloudFormation does.
func (s *Service) failure(t *resourceType, call *authz.Call, err error) string {
	e := wire.AsError(err)
	service := strings.Split(t.name, "::")[1]
	return fmt.Sprintf("Resource handler returned message: \"%s (Service: %s, Status Code: %d, Request ID: %s)\" (RequestToken: %s, HandlerErrorCode: %s)",
		e.Message, service, e.Status, call.RequestID, s.uuid(), handlerCode(e.Code))
}

// handlerCode translates a service's error code to those of resource handlers.
//
// https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-test-contract-errors.html
func handlerCode(code string) string {
	switch code {
	case "AccessDenied":
		return "AccessDenied"
	case "EntityAlreadyExists", "BucketAlreadyExists", "BucketAlreadyOwnedByYou":
		return "AlreadyExists"
	case "NoSuchEntity", "NoSuchBucket":
		return "NotFound"
	case "LimitExceeded":
		return "ServiceLimitExceeded"
	case "DeleteConflict":
		return "ResourceConflict"
	case "ValidationError", "InvalidInput", "MalformedPolicyDocument", "MalformedPolicy":
		return "InvalidRequest"
	}
	return "GeneralServiceException"
}

// deletionOrder returns resources so that each comes before those it depends
// on; among others the newest comes first.
func deletionOrder(resources []*resource) []*resource {
	waiting := slices.Clone(resources)
	slices.Reverse(waiting)
	var order []*resource
	for len(waiting) > 0 {
		next := slices.IndexFunc(waiting, func(r *resource) bool {
			return !slices.ContainsFunc(waiting, func(other *resource) bool {
				return other != r && slices.Contains(other.dependsOn, r.logicalID)
			})
		})
		next = max(next, 0) // a circle, which templates cannot have
		order = append(order, waiting[next])
		waiting = slices.Delete(waiting, next, next+1)
	}
	return order
}

// deleteResource deletes what a resource stands for and reports success.
func (s *Service) deleteResource(op *operation, r *resource, now time.Time) bool {
	t := s.types[r.typeName]
	j := s.job(op, r, now)
	if err := t.delete(j); err != nil {
		s.setResourceStatus(op.stack, r, deleteFailed, s.failure(t, j.call, err), now)
		return false
	}
	s.setResourceStatus(op.stack, r, deleteComplete, "", now)
	return true
}

func listFailed(verb string, logicalIDs ...string) string {
	return "The following resource(s) failed to " + verb + ": [" + strings.Join(logicalIDs, ", ") + "]. "
}
