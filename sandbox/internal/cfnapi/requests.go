package cfnapi

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

var stackNamePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,127}$`)

func checkStackName(name string) error {
	if !stackNamePattern.MatchString(name) {
		return invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]* and have length less than or equal to 128", clip(name))
	}
	return nil
}

var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,127}$`)

// checkSettings refuses what a request must not say and what the sandbox does
// not do.
func checkSettings(in *StackSettings) error {
	switch {
	case in.StackPolicyBody != "" || in.StackPolicyURL != "" || in.StackPolicyDuringUpdateBody != "" || in.StackPolicyDuringUpdateURL != "":
		return wire.Errorf(501, "NotImplemented", "the sandbox does not implement stack policies")
	case in.RollbackConfiguration != nil && len(in.RollbackConfiguration.RollbackTriggers) > 0:
		return wire.Errorf(501, "NotImplemented", "the sandbox does not implement rollback triggers")
	case in.RetainExceptOnCreate:
		return wire.Errorf(501, "NotImplemented", "the sandbox does not implement RetainExceptOnCreate for whole operations; write it as a resource's DeletionPolicy")
	case in.ClientRequestToken != "" && !tokenPattern.MatchString(in.ClientRequestToken):
		return invalid("1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*")
	case len(in.NotificationARNs) > 5:
		return invalid("1 validation error detected: Value at 'notificationARNs' failed to satisfy constraint: Member must have length less than or equal to 5")
	case len(in.NotificationARNs) > 0:
		return wire.Errorf(501, "NotImplemented", "the sandbox has no SNS to send stack notifications to (NotificationARNs)")
	}
	return checkTags(in.Tags)
}

// checkTags applies the rules for stack tags.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Tag.html
func checkTags(tags []Tag) error {
	if len(tags) > 50 {
		return invalid("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
	}
	seen := make(map[string]bool)
	for _, t := range tags {
		switch {
		case t.Key == "" || len([]rune(t.Key)) > 128 || len([]rune(t.Value)) > 256:
			return invalid("1 validation error detected: a tag's key must have 1 to 128 characters and its value at most 256")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return invalid("Tag keys that begin with aws: are reserved (%s)", clip(t.Key))
		case seen[t.Key]:
			return invalid("Duplicate tag keys found. Please provide unique keys: %s", clip(t.Key))
		}
		seen[t.Key] = true
	}
	return nil
}

// requestKeys adds CloudFormation's own condition keys to a query.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
func requestKeys(src TemplateSource, in *StackSettings) func(*authz.Query) {
	return func(q *authz.Query) {
		if len(in.Tags) > 0 {
			q.RequestTags = in.Tags
		}
		q.Context = func(k *iam.Context) {
			if src.TemplateURL != "" {
				k.Set("cloudformation:TemplateUrl", src.TemplateURL)
			}
			if in.RoleARN != "" {
				k.Set("cloudformation:RoleArn", in.RoleARN)
			}
			if len(in.ResourceTypes) > 0 {
				k.SetMulti("cloudformation:ResourceTypes", in.ResourceTypes...)
			}
		}
	}
}

// revise makes the revision that a request asks for. Old is the stack's
// present one, nil when a stack is created.
func (s *Service) revise(body string, t *cfn.Template, in *StackSettings, old *revision) (*revision, error) {
	if err := s.checkCapabilities(t, in.Capabilities); err != nil {
		return nil, err
	}
	if err := checkResourceTypes(t, in.ResourceTypes); err != nil {
		return nil, err
	}
	r := &revision{body: body, template: t, tags: in.Tags, capabilities: in.Capabilities, notificationARNs: in.NotificationARNs}
	var previous []parameterValue
	if old != nil {
		previous = old.parameters
		if in.Tags == nil {
			r.tags = old.tags // tags that are not mentioned stay; an empty list removes them
		}
	}
	var err error
	r.parameters, err = bindParameters(t, in.Parameters, previous)
	return r, err
}

// CreateStack begins to make a stack.
func (s *Service) CreateStack(c *authz.Call, in *CreateStackInput) (*StackIDOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	if err := checkStackName(in.StackName); err != nil {
		return nil, err
	}
	if err := checkSettings(&in.StackSettings); err != nil {
		return nil, err
	}
	if err := s.authorize(c, "CreateStack", p.stackARN(in.StackName, "*"), nil, requestKeys(in.TemplateSource, &in.StackSettings)); err != nil {
		return nil, err
	}
	onFailure, err := onFailureOf(in.OnFailure, in.DisableRollback)
	if err != nil {
		return nil, err
	}
	if in.TimeoutInMinutes < 0 {
		return nil, invalid("1 validation error detected: Value at 'timeoutInMinutes' failed to satisfy constraint: Member must have value greater than or equal to 1")
	}
	body, t, err := s.loadTemplate(c, in.TemplateSource)
	if err != nil {
		return nil, err
	}
	r, err := s.revise(body, t, &in.StackSettings, nil)
	if err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if old, err := s.find(p, in.StackName); err == nil {
		if in.ClientRequestToken != "" && old.lastToken == in.ClientRequestToken {
			return &StackIDOutput{StackId: old.id}, nil
		}
		return nil, wire.BadRequest("AlreadyExistsException", "Stack [%s] already exists", in.StackName)
	}
	call, err := s.stackCall(c, p, in.RoleARN, "")
	if err != nil {
		return nil, err
	}
	st := s.newStack(p, in.StackName, c.Now)
	st.revision, st.roleARN, st.lastToken = r, in.RoleARN, in.ClientRequestToken
	st.disableRollback = onFailure == "DO_NOTHING"
	st.timeoutInMinutes, st.terminationProtection = in.TimeoutInMinutes, in.EnableTerminationProtection
	if _, err := s.makePlan(st, r); err != nil {
		return nil, err
	}
	s.stacks = append(s.stacks, st)
	s.beginCreation(st, call, r, onFailure, c.Now)
	return &StackIDOutput{StackId: st.id}, nil
}

func onFailureOf(onFailure string, disableRollback bool) (string, error) {
	switch {
	case onFailure != "" && disableRollback:
		return "", invalid("You can specify either DisableRollback or OnFailure, but not both.")
	case disableRollback:
		return "DO_NOTHING", nil
	case onFailure == "":
		return "ROLLBACK", nil
	case onFailure == "ROLLBACK" || onFailure == "DELETE" || onFailure == "DO_NOTHING":
		return onFailure, nil
	}
	return "", invalid("1 validation error detected: Value '%s' at 'onFailure' failed to satisfy constraint: Member must satisfy enum value set: [ROLLBACK, DELETE, DO_NOTHING]", clip(onFailure))
}

func (s *Service) newStack(p place, name string, now time.Time) *stack {
	return &stack{place: p, name: name, id: p.stackARN(name, s.uuid()), created: now}
}

func (s *Service) beginCreation(st *stack, call *authz.Call, r *revision, onFailure string, now time.Time) {
	s.setStatus(st, createInProgress, "User Initiated", now)
	op := &operation{stack: st, call: call, target: r, onFailure: onFailure}
	s.createSteps(op)
	s.start(op, now)
}

// UpdateStack begins to change a stack.
func (s *Service) UpdateStack(c *authz.Call, in *UpdateStackInput) (*StackIDOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	if err := checkSettings(&in.StackSettings); err != nil {
		return nil, err
	}
	if err := s.authorizeByName(c, p, "UpdateStack", in.StackName, requestKeys(in.TemplateSource, &in.StackSettings)); err != nil {
		return nil, err
	}
	body, t, err := s.updatedTemplate(c, p, in.StackName, in.TemplateSource, in.UsePreviousTemplate)
	if err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(p, in.StackName)
	if err != nil {
		return nil, err
	}
	if in.ClientRequestToken != "" && st.lastToken == in.ClientRequestToken {
		return &StackIDOutput{StackId: st.id}, nil
	}
	if err := updatable(st); err != nil {
		return nil, err
	}
	r, err := s.revise(body, t, &in.StackSettings, st.revision)
	if err != nil {
		return nil, err
	}
	plan, err := s.makePlan(st, r)
	if err != nil {
		return nil, err
	}
	if plan.empty() {
		return nil, invalid("No updates are to be performed.")
	}
	call, err := s.stackCall(c, p, in.RoleARN, st.roleARN)
	if err != nil {
		return nil, err
	}
	if in.RoleARN != "" {
		st.roleARN = in.RoleARN
	}
	st.lastToken = in.ClientRequestToken
	s.beginUpdate(st, call, r, in.DisableRollback, c.Now)
	return &StackIDOutput{StackId: st.id}, nil
}

// updatedTemplate reads the template of an update, which may be the present
// one.
func (s *Service) updatedTemplate(c *authz.Call, p place, name string, src TemplateSource, previous bool) (string, *cfn.Template, error) {
	if !previous {
		return s.loadTemplate(c, src)
	}
	if src.TemplateBody != "" || src.TemplateURL != "" {
		return "", nil, invalid("Specify either a template or UsePreviousTemplate, not both.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(p, name)
	if err != nil {
		return "", nil, err
	}
	if st.revision == nil {
		return "", nil, invalid("Stack %s has no previous template", st.name)
	}
	return st.revision.body, st.revision.template, nil
}

func updatable(st *stack) error {
	switch st.status {
	case createComplete, updateComplete, updateRollbackComplete, updateFailed:
		return nil
	}
	return invalid("Stack:%s is in %s state and can not be updated.", st.id, st.status)
}

func (s *Service) beginUpdate(st *stack, call *authz.Call, r *revision, keepOnFailure bool, now time.Time) {
	st.updated = &now
	for _, cs := range st.changeSets {
		cs.execution = "OBSOLETE" // it was worked out for what the stack was
	}
	s.setStatus(st, updateInProgress, "User Initiated", now)
	op := &operation{stack: st, call: call, target: r, keepOnFailure: keepOnFailure}
	s.updateSteps(op)
	s.start(op, now)
}

// DeleteStack begins to delete a stack. Deleting what does not exist succeeds.
func (s *Service) DeleteStack(c *authz.Call, in *DeleteStackInput) (*Empty, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	if in.StackName == "" {
		return nil, checkStackName("")
	}
	if in.DeletionMode != "" && in.DeletionMode != "STANDARD" {
		return nil, wire.Errorf(501, "NotImplemented", "the sandbox does not implement DeletionMode %s", clip(in.DeletionMode))
	}
	if err := s.authorizeByName(c, p, "DeleteStack", in.StackName, requestKeys(TemplateSource{}, &StackSettings{RoleARN: in.RoleARN})); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(p, in.StackName)
	if err != nil || !st.exists() {
		return &Empty{}, nil
	}
	if st.terminationProtection {
		return nil, invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", st.name)
	}
	if inProgress(st.status) && st.status != createInProgress && st.status != reviewInProgress {
		if st.status == deleteInProgress {
			return &Empty{}, nil
		}
		return nil, invalid("Stack [%s] cannot be deleted while in status %s", st.name, st.status)
	}
	if len(in.RetainResources) > 0 {
		if st.status != deleteFailed {
			return nil, invalid("Invalid operation on stack [%s]. RetainResources can only be specified for stacks in the DELETE_FAILED state.", st.id)
		}
		for _, name := range in.RetainResources {
			if st.resource(name) == nil {
				return nil, invalid("Resource %s does not exist for stack [%s]", clip(name), st.name)
			}
		}
	}
	call, err := s.stackCall(c, p, in.RoleARN, st.roleARN)
	if err != nil {
		return nil, err
	}
	if st.operation != nil {
		s.end(st.operation) // a creation in progress is given up
	}
	st.retainOnDelete, st.lastToken = in.RetainResources, in.ClientRequestToken
	op := &operation{stack: st, call: call, statusBefore: st.status}
	s.setStatus(st, deleteInProgress, "User Initiated", c.Now)
	s.deleteSteps(op)
	s.start(op, c.Now)
	return &Empty{}, nil
}

// UpdateTerminationProtection switches a stack's protection against deletion.
func (s *Service) UpdateTerminationProtection(c *authz.Call, in *UpdateTerminationProtectionInput) (*StackIDOutput, error) {
	p, err := placeOf(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.authorizedStack(c, p, "UpdateTerminationProtection", in.StackName)
	if err != nil {
		return nil, err
	}
	if st.status == deleteInProgress || !st.exists() {
		return nil, invalid("Stack [%s] is in %s state; its termination protection cannot be changed", st.name, st.status)
	}
	st.terminationProtection = in.EnableTerminationProtection
	return &StackIDOutput{StackId: st.id}, nil
}

// authorizeByName authorises an action on a stack that may not exist.
func (s *Service) authorizeByName(c *authz.Call, p place, action, name string, more func(*authz.Query)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, _ := s.find(p, name)
	return s.authorize(c, action, s.resourceARN(p, name, st), st, more)
}

// authorizedStack finds a stack and authorises an action on it. Whether the
// stack exists is told only to who may act on it. It needs the mutex.
func (s *Service) authorizedStack(c *authz.Call, p place, action, name string) (*stack, error) {
	st, missing := s.find(p, name)
	if err := s.authorize(c, action, s.resourceARN(p, name, st), st, nil); err != nil {
		return nil, err
	}
	return st, missing
}

// visibleStacks returns the stacks of a place, newest first.
func (s *Service) visibleStacks(p place, keep func(*stack) bool) []*stack {
	var stacks []*stack
	for _, st := range slices.Backward(s.stacks) {
		if st.place == p && keep(st) {
			stacks = append(stacks, st)
		}
	}
	return stacks
}
