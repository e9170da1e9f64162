package cfnapi

import (
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// The statuses of stacks and resources.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
const (
	reviewInProgress                = "REVIEW_IN_PROGRESS"
	createInProgress                = "CREATE_IN_PROGRESS"
	createComplete                  = "CREATE_COMPLETE"
	createFailed                    = "CREATE_FAILED"
	rollbackInProgress              = "ROLLBACK_IN_PROGRESS"
	rollbackComplete                = "ROLLBACK_COMPLETE"
	rollbackFailed                  = "ROLLBACK_FAILED"
	updateInProgress                = "UPDATE_IN_PROGRESS"
	updateCleanupInProgress         = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
	updateComplete                  = "UPDATE_COMPLETE"
	updateFailed                    = "UPDATE_FAILED"
	updateRollbackInProgress        = "UPDATE_ROLLBACK_IN_PROGRESS"
	updateRollbackCleanupInProgress = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
	updateRollbackComplete          = "UPDATE_ROLLBACK_COMPLETE"
	updateRollbackFailed            = "UPDATE_ROLLBACK_FAILED"
	deleteInProgress                = "DELETE_IN_PROGRESS"
	deleteComplete                  = "DELETE_COMPLETE"
	deleteFailed                    = "DELETE_FAILED"
	deleteSkipped                   = "DELETE_SKIPPED"
)

const stackType = "AWS::CloudFormation::Stack"

// A place is where stacks live: an account in a region.
type place struct {
	account   iam.AccountID
	partition string
	region    string
}

// A stack is one CloudFormation stack. Its fields belong to the service's
// mutex.
type stack struct {
	place  place
	name   string
	id     string // the stack's ARN
	status string
	reason string

	created time.Time
	updated *time.Time
	deleted *time.Time

	revision *revision // what the stack is, or during its creation is to be; nil before a first change set is executed
	outputs  []output
	// resources in the order in which they were made; those deleted stay until
	// the operation ends.
	resources []*resource
	orphans   []*resource // left by a rollback that failed; deleted with the stack
	events    []event     // oldest first

	changeSets            []*changeSet
	roleARN               string
	disableRollback       bool
	timeoutInMinutes      int
	terminationProtection bool
	retainOnDelete        []string // logical IDs, of the running deletion

	operation *operation // nil when the stack is at rest
	lastToken string     // ClientRequestToken of the latest operation
}

// A revision is what a stack is asked to be.
type revision struct {
	body             string
	template         *cfn.Template
	parameters       []parameterValue // in the template's order
	tags             []Tag
	capabilities     []string
	notificationARNs []string
}

// An output is an output of a stack as it was resolved.
type output struct {
	key, value, description, exportName string
}

// A resource is a resource of a stack that exists or is being made.
type resource struct {
	logicalID  string
	physicalID string // empty until it exists
	typeName   string
	status     string
	reason     string
	changed    time.Time

	properties *cfn.Node // as resolved; a map
	tags       []Tag     // from the stack, on types that take tags
	attributes map[string]string
	metadata   *cfn.Node
	dependsOn  []string

	deletionPolicy      string
	updateReplacePolicy string
}

// An event is one line of a stack's history.
type event struct {
	id         string
	logicalID  string
	physicalID string
	typeName   string
	status     string
	reason     string
	properties string // JSON; empty for the stack's own events
	token      string
	at         time.Time
}

// resource returns the resource with that logical ID, or nil.
func (st *stack) resource(logicalID string) *resource {
	for _, r := range st.resources {
		if r.logicalID == logicalID {
			return r
		}
	}
	return nil
}

// made returns the resource with that logical ID if its creation succeeded, or
// nil. Others are there only after a failed operation without rollback.
func (st *stack) made(logicalID string) *resource {
	if r := st.resource(logicalID); r != nil && r.status != createFailed {
		return r
	}
	return nil
}

func (st *stack) removeResource(r *resource) {
	st.resources = slices.DeleteFunc(st.resources, func(other *resource) bool { return other == r })
}

// exists reports whether the stack still counts under its name.
func (st *stack) exists() bool { return st.status != deleteComplete }

func inProgress(status string) bool { return strings.HasSuffix(status, "_IN_PROGRESS") }

// setStatus moves the stack to a status and records the event.
func (s *Service) setStatus(st *stack, status, reason string, now time.Time) {
	st.status, st.reason = status, reason
	st.events = append(st.events, event{
		id: s.uuid(), logicalID: st.name, physicalID: st.id, typeName: stackType,
		status: status, reason: reason, token: st.lastToken, at: now,
	})
}

// setResourceStatus moves a resource to a status and records the event.
func (s *Service) setResourceStatus(st *stack, r *resource, status, reason string, now time.Time) {
	r.status, r.reason, r.changed = status, reason, now
	e := event{
		id:        r.logicalID + "-" + status + "-" + now.UTC().Format("2006-01-02T15:04:05.000Z") + "-" + s.uuid()[:8],
		logicalID: r.logicalID, physicalID: r.physicalID, typeName: r.typeName,
		status: status, reason: reason, token: st.lastToken, at: now,
	}
	if r.properties != nil {
		e.properties = st.propertiesForShow(r)
	}
	st.events = append(st.events, e)
}

// propertiesForShow returns a resource's properties as JSON, with the values of
// NoEcho parameters replaced wherever they occur.
func (st *stack) propertiesForShow(r *resource) string {
	data, err := r.properties.MarshalJSON()
	if err != nil {
		return ""
	}
	shown := string(data)
	revision := st.revision
	if st.operation != nil && st.operation.target != nil {
		revision = st.operation.target
	}
	if revision == nil {
		return shown
	}
	for _, p := range revision.parameters {
		if p.noEcho && p.value != "" {
			quoted, _ := cfn.NewText(p.value).MarshalJSON() // text always marshals
			shown = strings.ReplaceAll(shown, string(quoted[1:len(quoted)-1]), masked)
		}
	}
	return shown
}

// stackARN returns the ARN of a stack; the id of one not made yet is "*".
func (p place) stackARN(name, id string) string {
	return "arn:" + p.partition + ":cloudformation:" + p.region + ":" + string(p.account) + ":stack/" + name + "/" + id
}

// placeOf returns where a call acts: the caller's own account, in the region it
// signed for.
func placeOf(c *authz.Call) (place, error) {
	p, ok := iam.PartitionOfRegion(c.Region)
	if !ok {
		return place{}, wire.BadRequest("ValidationError", "unknown region %q", c.Region)
	}
	return place{account: c.Account(), partition: p.ID, region: c.Region}, nil
}

// find returns the stack that a caller means: a live stack by name, any by ARN.
// Stacks of other accounts and regions do not exist.
func (s *Service) find(p place, nameOrID string) (*stack, error) {
	if nameOrID == "" {
		return nil, wire.BadRequest("ValidationError", "1 validation error detected: Value null at 'stackName' failed to satisfy constraint: Member must not be null")
	}
	for _, st := range s.stacks {
		if st.place == p && (st.id == nameOrID || st.name == nameOrID && st.exists()) {
			return st, nil
		}
	}
	return nil, noStack(nameOrID)
}

func noStack(name string) error {
	return wire.BadRequest("ValidationError", "Stack with id %s does not exist", clip(name))
}

// clip keeps messages readable when somebody sends ten thousand characters.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}

// resourceARN returns what a call about a stack is authorised on: the stack's
// ARN, or if there is none such the ARN it would have.
func (s *Service) resourceARN(p place, nameOrID string, st *stack) string {
	switch {
	case st != nil:
		return st.id
	case strings.HasPrefix(nameOrID, "arn:"):
		return nameOrID
	case nameOrID == "":
		return p.stackARN("*", "*")
	}
	return p.stackARN(nameOrID, "*")
}

func tagMap(tags []Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}
