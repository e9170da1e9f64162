package cfnapi

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A changeSet is a change that may be executed.
type changeSet struct {
	id          string // ARN
	name        string
	stack       *stack
	description string
	create      bool // it creates the stack
	status      string
	reason      string
	execution   string
	created     time.Time
	token       string

	target    *revision
	changes   []change
	call      *authz.Call // of who made it, with the role it named
	roleARN   string
	onFailure string
}

var changeSetNamePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,127}$`)

// CreateChangeSet works out what a change would do, to a stack or to one that
// is to be made. The answer is there at once, as a change set that is complete
// or failed.
func (s *Service) CreateChangeSet(c *authz.Call, in *CreateChangeSetInput) (*CreateChangeSetOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	if err := checkChangeSet(in); err != nil {
		return nil, err
	}
	name := in.StackName
	if err := s.authorizeByName(c, p, "CreateChangeSet", name, func(q *authz.Query) {
		requestKeys(in.TemplateSource, &in.StackSettings)(q)
		also := q.Context
		q.Context = func(k *iam.Context) {
			also(k)
			k.Set("cloudformation:ChangeSetName", in.ChangeSetName)
		}
	}); err != nil {
		return nil, err
	}
	body, t, err := s.updatedTemplate(c, p, name, in.TemplateSource, in.UsePreviousTemplate)
	if err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.stackOfChangeSet(p, in, c.Now)
	if err != nil {
		return nil, err
	}
	for _, cs := range st.changeSets {
		if cs.name == in.ChangeSetName {
			if in.ClientToken != "" && cs.token == in.ClientToken {
				return &CreateChangeSetOutput{Id: cs.id, StackId: st.id}, nil
			}
			return nil, wire.BadRequest("AlreadyExistsException", "ChangeSet %s already exists", in.ChangeSetName)
		}
	}
	create := in.ChangeSetType == "CREATE"
	var old *revision
	if !create {
		old = st.revision
	}
	target, err := s.revise(body, t, &in.StackSettings, old)
	if err != nil {
		return nil, err
	}
	call, err := s.stackCall(c, p, in.RoleARN, st.roleARN)
	if err != nil {
		return nil, err
	}
	plan, err := s.makePlan(st, target)
	if err != nil {
		return nil, err
	}
	cs := &changeSet{
		id:   strings.Replace(p.stackARN(in.ChangeSetName, s.uuid()), ":stack/", ":changeSet/", 1),
		name: in.ChangeSetName, stack: st, description: in.Description, create: create,
		status: createComplete, execution: "AVAILABLE", created: c.Now, token: in.ClientToken,
		target: target, changes: plan.changes, call: call, roleARN: in.RoleARN, onFailure: in.OnStackFailure,
	}
	if !create && plan.empty() {
		cs.status, cs.execution = "FAILED", "UNAVAILABLE"
		cs.reason = "The submitted information didn't contain changes. Submit different information to create a change set."
	}
	if !slices.Contains(s.stacks, st) {
		s.stacks = append(s.stacks, st)
		s.setStatus(st, reviewInProgress, "User Initiated", c.Now)
	}
	st.changeSets = append(st.changeSets, cs)
	return &CreateChangeSetOutput{Id: cs.id, StackId: st.id}, nil
}

func checkChangeSet(in *CreateChangeSetInput) error {
	if !strings.HasPrefix(in.StackName, "arn:") {
		if err := checkStackName(in.StackName); err != nil {
			return err
		}
	}
	if !changeSetNamePattern.MatchString(in.ChangeSetName) {
		return invalid("1 validation error detected: Value '%s' at 'changeSetName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]* and have length less than or equal to 128", clip(in.ChangeSetName))
	}
	switch {
	case in.ChangeSetType == "":
		in.ChangeSetType = "UPDATE"
	case in.ChangeSetType == "IMPORT" || len(in.ResourcesToImport) > 0 || in.ImportExistingResources:
		return wire.Errorf(501, "NotImplemented", "the sandbox does not implement the import of resources by change sets")
	case in.ChangeSetType != "CREATE" && in.ChangeSetType != "UPDATE":
		return invalid("1 validation error detected: Value '%s' at 'changeSetType' failed to satisfy constraint: Member must satisfy enum value set: [IMPORT, UPDATE, CREATE]", clip(in.ChangeSetType))
	}
	switch in.OnStackFailure {
	case "", "ROLLBACK", "DO_NOTHING":
	case "DELETE":
		if in.ChangeSetType != "CREATE" {
			return invalid("OnStackFailure DELETE is only valid for a change set of type CREATE")
		}
	default:
		return invalid("1 validation error detected: Value '%s' at 'onStackFailure' failed to satisfy constraint: Member must satisfy enum value set: [DO_NOTHING, ROLLBACK, DELETE]", clip(in.OnStackFailure))
	}
	if in.DeploymentMode != "" {
		return wire.Errorf(501, "NotImplemented", "the sandbox does not implement the deployment mode %s", clip(in.DeploymentMode))
	}
	return checkSettings(&in.StackSettings)
}

// stackOfChangeSet returns the stack to change, or a new one that is not in the
// list yet.
func (s *Service) stackOfChangeSet(p place, in *CreateChangeSetInput, now time.Time) (*stack, error) {
	st, err := s.find(p, in.StackName)
	switch {
	case in.ChangeSetType == "CREATE" && err == nil && st.status == reviewInProgress:
		return st, nil
	case in.ChangeSetType == "CREATE" && err == nil:
		return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", st.name, in.ChangeSetName)
	case in.ChangeSetType == "CREATE" && strings.HasPrefix(in.StackName, "arn:"):
		return nil, err
	case in.ChangeSetType == "CREATE":
		return s.newStack(p, in.StackName, now), nil
	case err != nil:
		return nil, invalid("Stack [%s] does not exist", clip(in.StackName))
	}
	return st, updatable(st)
}

// changeSet finds a change set and authorises an action on its stack. It needs
// the mutex.
func (s *Service) changeSet(c *authz.Call, p place, action, stackName, name string) (*changeSet, error) {
	if name == "" {
		return nil, invalid("1 validation error detected: Value null at 'changeSetName' failed to satisfy constraint: Member must not be null")
	}
	byARN := strings.HasPrefix(name, "arn:")
	if !byARN && stackName == "" {
		return nil, invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
	}
	for _, st := range s.stacks {
		if st.place != p || !byARN && st.id != stackName && (st.name != stackName || !st.exists()) {
			continue
		}
		for _, cs := range st.changeSets {
			if cs.id == name || !byARN && cs.name == name {
				return cs, s.authorize(c, action, st.id, st, func(q *authz.Query) {
					q.Context = func(k *iam.Context) { k.Set("cloudformation:ChangeSetName", cs.name) }
				})
			}
		}
	}
	st, missing := s.find(p, stackName)
	if err := s.authorize(c, action, s.resourceARN(p, stackName, st), st, nil); err != nil {
		return nil, err
	}
	if !byARN && missing != nil {
		return nil, invalid("Stack [%s] does not exist", clip(stackName))
	}
	return nil, wire.Errorf(404, "ChangeSetNotFound", "ChangeSet [%s] does not exist", clip(name))
}

// DescribeChangeSet shows a change set.
func (s *Service) DescribeChangeSet(c *authz.Call, in *ChangeSetInput) (*DescribeChangeSetOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, err := s.changeSet(c, p, "DescribeChangeSet", in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	out := &DescribeChangeSetOutput{
		ChangeSetName: cs.name, ChangeSetId: cs.id, StackId: cs.stack.id, StackName: cs.stack.name,
		Description: cs.description, Parameters: shownParameters(cs.target), CreationTime: cs.created,
		ExecutionStatus: cs.execution, Status: cs.status, StatusReason: cs.reason,
		NotificationARNs: cs.target.notificationARNs, Capabilities: cs.target.capabilities,
		Tags: cs.target.tags, OnStackFailure: cs.onFailure,
	}
	for i := range cs.changes {
		out.Changes = append(out.Changes, cs.changes[i].shape())
	}
	return out, nil
}

// ExecuteChangeSet begins to make the changes of a change set.
func (s *Service) ExecuteChangeSet(c *authz.Call, in *ExecuteChangeSetInput) (*EmptyResult, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, err := s.changeSet(c, p, "ExecuteChangeSet", in.StackName, in.ChangeSetName)
	if err != nil {
		return nil, err
	}
	st := cs.stack
	if cs.execution != "AVAILABLE" {
		return nil, wire.BadRequest("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current execution status of [%s] and status of [%s]", cs.id, cs.execution, cs.status)
	}
	if in.RetainExceptOnCreate {
		return nil, wire.Errorf(501, "NotImplemented", "the sandbox does not implement RetainExceptOnCreate for whole operations; write it as a resource's DeletionPolicy")
	}
	if !cs.create {
		if err := updatable(st); err != nil {
			return nil, err
		}
	}
	onFailure, err := onFailureOf(cs.onFailure, in.DisableRollback)
	if err != nil {
		return nil, err
	}
	call, err := s.executor(c, cs)
	if err != nil {
		return nil, err
	}
	if cs.roleARN != "" {
		st.roleARN = cs.roleARN
	}
	st.changeSets, st.lastToken = nil, in.ClientRequestToken // the others are obsolete
	if cs.create {
		st.revision = cs.target
		st.disableRollback = onFailure == "DO_NOTHING"
		s.beginCreation(st, call, cs.target, onFailure, c.Now)
	} else {
		s.beginUpdate(st, call, cs.target, onFailure == "DO_NOTHING", c.Now)
	}
	return &EmptyResult{}, nil
}

// executor returns the call that executes a change set: the service role that
// its maker passed, or else whoever executes it.
func (s *Service) executor(c *authz.Call, cs *changeSet) (*authz.Call, error) {
	if cs.roleARN != "" {
		return cs.call, nil
	}
	return s.stackCall(c, cs.stack.place, "", cs.stack.roleARN)
}

// DeleteChangeSet deletes a change set.
func (s *Service) DeleteChangeSet(c *authz.Call, in *ChangeSetInput) (*EmptyResult, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, err := s.changeSet(c, p, "DeleteChangeSet", in.StackName, in.ChangeSetName)
	if err != nil {
		if wire.AsError(err).Code == "ChangeSetNotFound" {
			return &EmptyResult{}, nil
		}
		return nil, err
	}
	cs.stack.changeSets = slices.DeleteFunc(cs.stack.changeSets, func(other *changeSet) bool { return other == cs })
	return &EmptyResult{}, nil
}

// ListChangeSets lists the change sets of a stack.
func (s *Service) ListChangeSets(c *authz.Call, in *ListChangeSetsInput) (*ListChangeSetsOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.authorizedStack(c, p, "ListChangeSets", in.StackName)
	if err != nil {
		return nil, err
	}
	out := &ListChangeSetsOutput{}
	for _, cs := range st.changeSets {
		out.Summaries = append(out.Summaries, ChangeSetSummary{
			StackId: st.id, StackName: st.name, ChangeSetId: cs.id, ChangeSetName: cs.name,
			ExecutionStatus: cs.execution, Status: cs.status, StatusReason: cs.reason,
			CreationTime: cs.created, Description: cs.description,
		})
	}
	return out, nil
}
