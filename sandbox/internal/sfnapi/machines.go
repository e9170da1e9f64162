package sfnapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// CreateStateMachineInput is the input of CreateStateMachine.
type CreateStateMachineInput struct {
	Name       string   `json:"name"`
	Definition string   `json:"definition"`
	RoleARN    string   `json:"roleArn"`
	Type       asl.Kind `json:"type"`
	Logging    *Logging `json:"loggingConfiguration"`
	Tracing    *Tracing `json:"tracingConfiguration"`
	Tags       []Tag    `json:"tags"`

	unsupported
}

// unsupported is what AWS has and the sandbox has not.
type unsupported struct {
	Publish            bool            `json:"publish"`
	VersionDescription string          `json:"versionDescription"`
	Encryption         json.RawMessage `json:"encryptionConfiguration"`
}

func (u *unsupported) check(operation string) error {
	if u.Publish || u.VersionDescription != "" {
		return wire.NotImplemented("states", operation+" with publish and versionDescription")
	}
	var e struct {
		Type string `json:"type"`
	}
	if len(u.Encryption) > 0 && (json.Unmarshal(u.Encryption, &e) != nil || e.Type != "AWS_OWNED_KEY" && e.Type != "") {
		return wire.NotImplemented("states", operation+" with encryptionConfiguration")
	}
	return nil
}

// Created is the output of CreateStateMachine.
type Created struct {
	ARN  string          `json:"stateMachineArn"`
	Date *wire.Timestamp `json:"creationDate"`
}

// CreateStateMachine makes a state machine. The caller must be allowed to pass
// its role, which must trust Step Functions for this state machine.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
func (s *Service) CreateStateMachine(c *authz.Call, in *CreateStateMachineInput) (*Created, error) {
	if err := in.check("CreateStateMachine"); err != nil {
		return nil, err
	}
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	arn := s.machineARN(c, in.Name)
	q := authz.Query{Action: "states:CreateStateMachine", Resource: arn}
	if len(tags) > 0 {
		q.RequestTags = tags
	}
	if err := c.Authorize(q); err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		q.Action = "states:TagResource"
		if err := c.Authorize(q); err != nil {
			return nil, err
		}
	}
	m := &machine{account: c.Account(), region: c.Region, name: in.Name, arn: arn, kind: in.Type, created: c.Now, tags: tags}
	if m.kind == "" {
		m.kind = asl.Standard
	}
	if m.kind != asl.Standard && m.kind != asl.Express {
		return nil, invalid("Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]", wire.Clip(string(in.Type)))
	}
	if err := m.define(in.Definition); err != nil {
		return nil, err
	}
	if err := m.configure(in.Logging, in.Tracing); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.machines[arn]; old != nil {
		if old.kind == m.kind && old.definition == m.definition && equalJSON(old.logging, m.logging) && old.tracing == m.tracing {
			return &Created{arn, wire.At(old.created)}, nil // idempotent; role and tags are not compared
		}
		return nil, wire.BadRequest("StateMachineAlreadyExists", "State Machine Already Exists: '%s'", arn)
	}
	if err := s.pass(c, m, in.RoleARN); err != nil {
		return nil, err
	}
	s.machines[arn] = m
	return &Created{arn, wire.At(m.created)}, nil
}

func equalJSON(a, b Logging) bool {
	return a.Level == b.Level && a.IncludeExecutionData == b.IncludeExecutionData && slices.Equal(a.Destinations, b.Destinations)
}

// define reads a definition, and refuses what cannot be run.
func (m *machine) define(definition string) error {
	if definition == "" || len(definition) > asl.MaxDefinition {
		return invalid("Value at 'definition' failed to satisfy constraint: Member must have length between 1 and %d", asl.MaxDefinition)
	}
	parsed, diagnostics, err := asl.Parse(definition, m.kind)
	if err != nil {
		return wire.NotImplemented("states", "definitions with "+strings.TrimSuffix(err.Error(), " "+asl.ErrUnsupported.Error()))
	}
	if parsed == nil {
		var list []string
		for _, d := range diagnostics {
			if !d.Warning {
				list = append(list, d.String())
			}
		}
		return wire.BadRequest("InvalidDefinition", "Invalid State Machine Definition: '%s'", strings.Join(list, ", "))
	}
	var missing error
	parsed.Resources(func(state, resource string) {
		if err := checkResource(resource); err != nil && missing == nil {
			missing = wire.NotImplemented("states", fmt.Sprintf("the resource %s of the state %s: %s", wire.Clip(resource), wire.Clip(state), err))
		}
	})
	if missing != nil {
		return missing
	}
	m.definition, m.parsed = definition, parsed
	return nil
}

// configure sets logging and tracing, where given.
func (m *machine) configure(logging *Logging, tracing *Tracing) error {
	if m.logging.Level == "" {
		m.logging.Level = "OFF"
	}
	if logging != nil {
		l := *logging
		switch l.Level {
		case "":
			l.Level = "OFF"
		case "OFF", "ALL", "ERROR", "FATAL":
		default:
			return invalid("Value '%s' at 'loggingConfiguration.level' failed to satisfy constraint: Member must satisfy enum value set: [ALL, ERROR, FATAL, OFF]", wire.Clip(l.Level))
		}
		if len(l.Destinations) > 1 || l.Level != "OFF" && len(l.Destinations) == 0 {
			return wire.BadRequest("InvalidLoggingConfiguration", "Invalid Logging Configuration: Must specify exactly one Log Destination.")
		}
		for _, d := range l.Destinations {
			arn, err := iam.ParseARN(d.Group.ARN)
			if err != nil || arn.Service != "logs" || !strings.HasSuffix(arn.Resource, ":*") {
				return wire.BadRequest("InvalidLoggingConfiguration", "Invalid Logging Configuration: Log Destination must be the ARN of a log group that ends in :*")
			}
		}
		m.logging = l
	}
	if tracing != nil {
		m.tracing = *tracing
	}
	return nil
}

// pass gives a state machine its role.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
func (s *Service) pass(c *authz.Call, m *machine, roleARN string) error {
	role, err := iam.ParseRoleARN(roleARN)
	if err != nil {
		return wire.BadRequest("InvalidArn", "Invalid Role Arn: '%s'", wire.Clip(roleARN))
	}
	if role.Account != m.account {
		return &wire.Error{Status: 400, Code: "AccessDeniedException", Message: "Cross-account pass role is not allowed."}
	}
	err = c.Authorize(authz.Query{Action: "iam:PassRole", Resource: roleARN, Context: func(ctx *iam.Context) {
		ctx.Set("iam:PassedToService", servicePrincipal)
		ctx.Set("iam:AssociatedResourceArn", m.arn)
	}})
	if err != nil {
		return err
	}
	if _, err := s.assume(c, m.arn, roleARN); err != nil {
		e := wire.BadRequest("AccessDeniedException", "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the provided role.")
		e.Cause = err
		return e
	}
	m.role = roleARN
	return nil
}

// UpdateStateMachineInput is the input of UpdateStateMachine.
type UpdateStateMachineInput struct {
	ARN        string   `json:"stateMachineArn"`
	Definition *string  `json:"definition"`
	RoleARN    string   `json:"roleArn"`
	Logging    *Logging `json:"loggingConfiguration"`
	Tracing    *Tracing `json:"tracingConfiguration"`

	unsupported
}

// Updated is the output of UpdateStateMachine.
type Updated struct {
	Date     *wire.Timestamp `json:"updateDate"`
	Revision string          `json:"revisionId"`
}

// UpdateStateMachine changes a state machine. Executions that run keep the
// definition and the role they began with.
func (s *Service) UpdateStateMachine(c *authz.Call, in *UpdateStateMachineInput) (*Updated, error) {
	if err := in.check("UpdateStateMachine"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "UpdateStateMachine", nil)
	if err != nil {
		return nil, err
	}
	if in.Definition == nil && in.RoleARN == "" && in.Logging == nil && in.Tracing == nil {
		return nil, wire.BadRequest("MissingRequiredParameter", "Either the definition, the role ARN, the LoggingConfiguration, the EncryptionConfiguration or the TracingConfiguration must be specified")
	}
	edited := *m
	if in.Definition != nil {
		if err := edited.define(*in.Definition); err != nil {
			return nil, err
		}
	}
	if err := edited.configure(in.Logging, in.Tracing); err != nil {
		return nil, err
	}
	if in.RoleARN != "" && in.RoleARN != m.role {
		if err := s.pass(c, &edited, in.RoleARN); err != nil {
			return nil, err
		}
	}
	if edited.revision, err = s.newID(); err != nil {
		return nil, err
	}
	*m = edited
	return &Updated{wire.At(c.Now), m.revision}, nil
}

// MachineInput names a state machine.
type MachineInput struct {
	ARN string `json:"stateMachineArn"`
}

// DeleteStateMachine deletes a state machine. One that is not there does not
// matter.
func (s *Service) DeleteStateMachine(c *authz.Call, in *MachineInput) (*struct{}, error) {
	s.mu.Lock()
	m, err := s.find(c, in.ARN, "DeleteStateMachine", nil)
	if err != nil {
		s.mu.Unlock()
		if wire.AsError(err).Code == "StateMachineDoesNotExist" {
			err = nil
		}
		return &struct{}{}, err
	}
	delete(s.machines, m.arn)
	var orphans []*execution
	for _, e := range s.running {
		if e.machine == m {
			orphans = append(orphans, e)
		}
	}
	s.mu.Unlock()
	for _, e := range orphans {
		e.stop(c.Now, nil)
	}
	return &struct{}{}, nil
}

// Description describes a state machine.
type Description struct {
	ARN        string          `json:"stateMachineArn"`
	Name       string          `json:"name"`
	Status     string          `json:"status"`
	Definition string          `json:"definition"`
	RoleARN    string          `json:"roleArn"`
	Type       asl.Kind        `json:"type"`
	Created    *wire.Timestamp `json:"creationDate"`
	Logging    Logging         `json:"loggingConfiguration"`
	Tracing    Tracing         `json:"tracingConfiguration"`
	Revision   string          `json:"revisionId,omitempty"`
}

// DescribeStateMachine shows a state machine.
func (s *Service) DescribeStateMachine(c *authz.Call, in *MachineInput) (*Description, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "DescribeStateMachine", nil)
	if err != nil {
		return nil, err
	}
	return &Description{m.arn, m.name, "ACTIVE", m.definition, m.role, m.kind, wire.At(m.created), m.logging, m.tracing, m.revision}, nil
}

// PageInput asks for a page of a list.
type PageInput struct {
	MaxResults int    `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

// MachineEntry is a state machine in a list.
type MachineEntry struct {
	ARN     string          `json:"stateMachineArn"`
	Name    string          `json:"name"`
	Type    asl.Kind        `json:"type"`
	Created *wire.Timestamp `json:"creationDate"`
}

// MachineList is the output of ListStateMachines.
type MachineList struct {
	Machines  []MachineEntry `json:"stateMachines"`
	NextToken string         `json:"nextToken,omitempty"`
}

// ListStateMachines lists the caller's state machines in a region.
func (s *Service) ListStateMachines(c *authz.Call, in *PageInput) (*MachineList, error) {
	if err := c.Authorize(authz.Query{Action: "states:ListStateMachines", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []MachineEntry{}
	for _, m := range s.machines {
		if m.account == c.Account() && m.region == c.Region {
			list = append(list, MachineEntry{m.arn, m.name, m.kind, wire.At(m.created)})
		}
	}
	slices.SortFunc(list, func(a, b MachineEntry) int { return strings.Compare(a.Name, b.Name) })
	page, next, err := awsjson.Page(list, in.MaxResults, 100, 1000, in.NextToken, func(e MachineEntry) string { return e.Name })
	return &MachineList{page, next}, err
}

// ValidateInput is the input of ValidateStateMachineDefinition.
type ValidateInput struct {
	Definition string   `json:"definition"`
	Type       asl.Kind `json:"type"`
	Severity   string   `json:"severity"`
	MaxResults int      `json:"maxResults"`
}

// Validation is the output of ValidateStateMachineDefinition.
type Validation struct {
	Result      string       `json:"result"`
	Diagnostics []Diagnostic `json:"diagnostics"`
	Truncated   bool         `json:"truncated"`
}

// A Diagnostic is what is wrong with a definition.
type Diagnostic struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	Location string `json:"location,omitempty"`
	Severity string `json:"severity"`
}

// ValidateStateMachineDefinition checks a definition.
func (s *Service) ValidateStateMachineDefinition(c *authz.Call, in *ValidateInput) (*Validation, error) {
	if err := c.Authorize(authz.Query{Action: "states:ValidateStateMachineDefinition", Resource: "*"}); err != nil {
		return nil, err
	}
	kind := in.Type
	switch kind {
	case "":
		kind = asl.Standard
	case asl.Standard, asl.Express:
	default:
		return nil, invalid("Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]", wire.Clip(string(kind)))
	}
	if len(in.Definition) > asl.MaxDefinition {
		return nil, invalid("Value at 'definition' failed to satisfy constraint: Member must have length between 1 and %d", asl.MaxDefinition)
	}
	if in.Severity != "" && in.Severity != "ERROR" && in.Severity != "WARNING" || in.MaxResults < 0 || in.MaxResults > 100 {
		return nil, invalid("severity must be ERROR or WARNING, and maxResults between 0 and 100")
	}
	_, diagnostics, err := asl.Parse(in.Definition, kind)
	if err != nil {
		return nil, wire.NotImplemented("states", "definitions with "+strings.TrimSuffix(err.Error(), " "+asl.ErrUnsupported.Error()))
	}
	out := &Validation{Result: "OK", Diagnostics: []Diagnostic{}}
	for _, d := range diagnostics {
		severity := "ERROR"
		if d.Warning {
			if severity = "WARNING"; in.Severity != "WARNING" {
				continue
			}
		} else {
			out.Result = "FAIL"
		}
		out.Diagnostics = append(out.Diagnostics, Diagnostic{d.Code, d.Message, d.Location, severity})
	}
	if in.MaxResults > 0 && len(out.Diagnostics) > in.MaxResults {
		out.Diagnostics, out.Truncated = out.Diagnostics[:in.MaxResults], true
	}
	return out, nil
}

const maxTags = 50

func checkTags(tags []Tag) ([]directory.Tag, error) {
	var list []directory.Tag
	for _, t := range tags {
		if t.Key == "" || len([]rune(t.Key)) > 128 || len([]rune(t.Value)) > 256 || strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return nil, invalid("a tag has a key of 1 to 128 characters that does not begin with aws:, and a value of at most 256")
		}
		list = append(list, directory.Tag{Key: t.Key, Value: t.Value})
	}
	if len(list) > maxTags {
		return nil, wire.BadRequest("TooManyTags", "a state machine has at most %d tags", maxTags)
	}
	return list, nil
}

// TagInput is the input of TagResource.
type TagInput struct {
	ARN  string `json:"resourceArn"`
	Tags []Tag  `json:"tags"`
}

// TagResource adds tags to a state machine, or changes them.
func (s *Service) TagResource(c *authz.Call, in *TagInput) (*struct{}, error) {
	add, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "TagResource", func(q *authz.Query) { q.RequestTags = add })
	if err != nil {
		return nil, tagged(err)
	}
	merged := directory.SetTags(m.tags, add)
	if len(merged) > maxTags {
		return nil, wire.BadRequest("TooManyTags", "a state machine has at most %d tags", maxTags)
	}
	m.tags = merged
	return &struct{}{}, nil
}

// tagged renames the error of a resource that does not exist, as the operations
// of tags do.
func tagged(err error) error {
	var e *wire.Error
	if errors.As(err, &e) && e.Code == "StateMachineDoesNotExist" {
		return wire.BadRequest("ResourceNotFound", "Resource not found: '%s'", strings.TrimPrefix(e.Message, "State Machine Does Not Exist: "))
	}
	return err
}

// UntagInput is the input of UntagResource.
type UntagInput struct {
	ARN  string   `json:"resourceArn"`
	Keys []string `json:"tagKeys"`
}

// UntagResource removes tags. Those that are not there do not matter.
func (s *Service) UntagResource(c *authz.Call, in *UntagInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "UntagResource", func(q *authz.Query) {
		q.Context = func(ctx *iam.Context) { ctx.SetMulti("aws:TagKeys", in.Keys...) }
	})
	if err != nil {
		return nil, tagged(err)
	}
	m.tags = directory.RemoveTags(m.tags, in.Keys)
	return &struct{}{}, nil
}

// TagsInput is the input of ListTagsForResource.
type TagsInput struct {
	ARN string `json:"resourceArn"`
}

// TagsOutput is the output of ListTagsForResource.
type TagsOutput struct {
	Tags []Tag `json:"tags"`
}

// ListTagsForResource lists the tags of a state machine.
func (s *Service) ListTagsForResource(c *authz.Call, in *TagsInput) (*TagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(c, in.ARN, "ListTagsForResource", nil)
	if err != nil {
		return nil, tagged(err)
	}
	out := &TagsOutput{Tags: []Tag{}}
	for _, t := range m.tags {
		out.Tags = append(out.Tags, Tag(t))
	}
	return out, nil
}

func invalid(format string, args ...any) error {
	return wire.BadRequest("ValidationException", "1 validation error detected: "+format, args...)
}
