package eventsapi

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,256}$`)

// Tag is a key and a value.
type Tag struct{ Key, Value string }

// CreateEventBusInput is the input of CreateEventBus.
type CreateEventBusInput struct {
	Name, Description                 string
	EventSourceName, KmsKeyIdentifier string
	DeadLetterConfig, LogConfig       *struct{}
	Tags                              []Tag
}

// CreateEventBusOutput names a bus.
type CreateEventBusOutput struct {
	EventBusARN string `json:"EventBusArn"`
	Description string `json:",omitempty"`
}

// CreateEventBus makes a bus.
func (s *Service) CreateEventBus(c *authz.Call, in *CreateEventBusInput) (*CreateEventBusOutput, error) {
	switch {
	case in.EventSourceName != "" || in.KmsKeyIdentifier != "" || in.DeadLetterConfig != nil || in.LogConfig != nil:
		return nil, wire.NotImplemented("events", "CreateEventBus with EventSourceName, KmsKeyIdentifier, DeadLetterConfig or LogConfig")
	case !namePattern.MatchString(in.Name):
		return nil, invalid("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [/\\.\\-_A-Za-z0-9]+", wire.Clip(in.Name))
	}
	b := &bus{account: c.Account(), region: c.Region, name: in.Name, arn: s.busARN(c.Account(), c.Region, in.Name), description: in.Description, tags: tagsOf(in.Tags)}
	for _, action := range []string{"events:CreateEventBus", "events:TagResource"} {
		if action == "events:TagResource" && len(b.tags) == 0 {
			continue
		}
		if err := c.Authorize(authz.Query{Action: action, Resource: b.arn, RequestTags: b.tags}); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buses[b.arn] != nil || in.Name == "default" {
		return nil, wire.BadRequest("ResourceAlreadyExistsException", "Event bus %s already exists.", in.Name)
	}
	s.buses[b.arn] = b
	return &CreateEventBusOutput{b.arn, b.description}, nil
}

// BusInput names a bus.
type BusInput struct{ Name string }

// DeleteEventBus deletes a bus. One that is not there does not matter.
func (s *Service) DeleteEventBus(c *authz.Call, in *BusInput) (*struct{}, error) {
	if err := awsjson.Required("Name", in.Name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(c, in.Name, "DeleteEventBus", nil)
	switch {
	case err != nil && wire.AsError(err).Code == "ResourceNotFoundException":
		return nil, nil
	case err != nil:
		return nil, err
	case b.name == "default":
		return nil, invalid("Cannot delete event bus default.")
	case len(b.rules) > 0:
		return nil, invalid("Event bus can't be deleted since it has rules.")
	}
	delete(s.buses, b.arn)
	return nil, nil
}

// A BusEntry describes a bus.
type BusEntry struct {
	Name        string
	ARN         string `json:"Arn"`
	Description string `json:",omitempty"`
	Policy      string `json:",omitempty"`
}

func (s *Service) entry(b *bus) BusEntry {
	e := BusEntry{Name: b.name, ARN: b.arn, Description: b.description}
	if b.policy != nil {
		e.Policy = s.options.Directory.Latest().Text(b.policy)
	}
	return e
}

// DescribeEventBus shows a bus with its policy.
func (s *Service) DescribeEventBus(c *authz.Call, in *BusInput) (*BusEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(c, in.Name, "DescribeEventBus", nil)
	if err != nil {
		return nil, err
	}
	e := s.entry(b)
	return &e, nil
}

// ListEventBusesInput filters.
type ListEventBusesInput struct{ NamePrefix, NextToken string }

// ListEventBusesOutput has buses.
type ListEventBusesOutput struct{ EventBuses []BusEntry }

// ListEventBuses lists the account's buses.
func (s *Service) ListEventBuses(c *authz.Call, in *ListEventBusesInput) (*ListEventBusesOutput, error) {
	if in.NextToken != "" {
		return nil, wire.NotImplemented("events", "ListEventBuses with NextToken")
	}
	if err := c.Authorize(authz.Query{Action: "events:ListEventBuses", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, _, err := s.lookup(c, "default"); err != nil {
		return nil, err
	}
	out := &ListEventBusesOutput{EventBuses: []BusEntry{}}
	for _, b := range s.buses {
		if b.account == c.Account() && b.region == c.Region && strings.HasPrefix(b.name, in.NamePrefix) {
			out.EventBuses = append(out.EventBuses, s.entry(b))
		}
	}
	slices.SortFunc(out.EventBuses, func(a, b BusEntry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// maxPolicySize is the limit of a bus's policy in characters.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
const maxPolicySize = 10240

// PutPermissionInput is the input of PutPermission: a whole policy, or what a
// statement of it is made of.
type PutPermissionInput struct {
	EventBusName, Policy string
	StatementID          string `json:"StatementId"`
	Action, Principal    string
	Condition            *Condition
}

// A Condition is one key that must have one value.
type Condition struct{ Type, Key, Value string }

var sidPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// PutPermission replaces a bus's policy, or one statement of it.
func (s *Service) PutPermission(c *authz.Call, in *PutPermissionInput) (*struct{}, error) {
	if in.Policy != "" {
		if in.StatementID+in.Action+in.Principal != "" || in.Condition != nil {
			return nil, invalid("Policy cannot be given together with StatementId, Action, Principal or Condition.")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		b, err := s.own(c, in.EventBusName, "PutPermission")
		if err != nil {
			return nil, err
		}
		return nil, s.setPolicy(b, in.Policy)
	}
	principal := any("*")
	if in.Principal != "*" {
		id, err := iam.ParseAccountID(in.Principal)
		if err != nil {
			return nil, invalid("Parameter Principal is not valid. Reason: It must be an account id or *.")
		}
		partition, _ := iam.PartitionOfRegion(c.Region)
		principal = map[string]string{"AWS": "arn:" + partition.ID + ":iam::" + string(id) + ":root"}
	}
	if in.Action != "events:PutEvents" {
		return nil, invalid("Provided value in parameter 'action' is not supported.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, arn, err := s.lookup(c, in.EventBusName)
	if err != nil {
		return nil, err
	}
	members := map[string]any{"Effect": "Allow", "Principal": principal, "Action": in.Action, "Resource": arn}
	if k := in.Condition; k != nil {
		if k.Type != "StringEquals" || k.Key != "aws:PrincipalOrgID" {
			return nil, invalid("Parameter Condition is not valid. Reason: Type must be StringEquals and Key aws:PrincipalOrgID.")
		}
		members["Condition"] = map[string]map[string]string{k.Type: {k.Key: k.Value}}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return nil, s.putStatement(c, in.EventBusName, in.StatementID, string(text))
}

// PutStatement replaces one statement of a bus's policy, as CloudFormation's
// AWS::Events::EventBusPolicy does. It needs events:PutPermission.
func (s *Service) PutStatement(c *authz.Call, busName, sid, statement string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putStatement(c, busName, sid, statement)
}

func (s *Service) putStatement(c *authz.Call, busName, sid, statement string) error {
	if !sidPattern.MatchString(sid) {
		return invalid("1 validation error detected: Value '%s' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+", wire.Clip(sid))
	}
	var added map[string]any
	if err := json.Unmarshal([]byte(statement), &added); err != nil {
		return invalid("Parameter Statement is not valid. Reason: It is not a JSON object.")
	}
	added["Sid"] = sid
	b, err := s.own(c, busName, "PutPermission")
	if err != nil {
		return err
	}
	statements, err := s.statementsWithout(b, sid)
	if err != nil {
		return err
	}
	return s.setStatements(b, append(statements, added))
}

// statementsWithout returns the statements of a bus's policy but the one named.
func (s *Service) statementsWithout(b *bus, sid string) ([]map[string]any, error) {
	if b.policy == nil {
		return nil, nil
	}
	var policy struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(b.policy.Text), &policy); err != nil {
		return nil, err
	}
	var list []map[string]any
	if err := json.Unmarshal(policy.Statement, &list); err != nil {
		var single map[string]any
		if err := json.Unmarshal(policy.Statement, &single); err != nil {
			return nil, err
		}
		list = append(list, single)
	}
	return slices.DeleteFunc(list, func(st map[string]any) bool { return st["Sid"] == sid }), nil
}

func (s *Service) setStatements(b *bus, statements []map[string]any) error {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		return err
	}
	return s.setPolicy(b, string(text))
}

func (s *Service) setPolicy(b *bus, text string) error {
	if len([]rune(text)) > maxPolicySize {
		return wire.BadRequest("PolicyLengthExceededException", "The policy has more than %d characters.", maxPolicySize)
	}
	d, err := s.options.Directory.Latest().NewResourceDocument(text, iam.KindResource, "policy of event bus "+b.name)
	var unknown *directory.InvalidPrincipalError
	switch {
	case errors.As(err, &unknown):
		e := wire.BadRequest("ValidationException", "Parameter Principal is not valid. Reason: %s", unknown)
		e.Cause = err
		return e
	case err != nil:
		return invalid("Parameter Policy is not valid. Reason: %s", wire.AsError(err).Message)
	}
	for _, st := range d.Compiled.Source().Statements {
		for _, action := range slices.Concat(st.Action, st.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "events:") {
				return invalid("Parameter Policy is not valid. Reason: the action %s is none of EventBridge.", wire.Clip(action))
			}
		}
	}
	b.policy = d
	return nil
}

// own finds a bus whose policy the caller changes, which other accounts cannot,
// whatever the policy says.
func (s *Service) own(c *authz.Call, name, action string) (*bus, error) {
	return s.find(c, name, action, func(q *authz.Query) {
		if arn, err := iam.ParseARN(q.Resource); err == nil && iam.AccountID(arn.Account) != c.Account() {
			q.ResourcePolicy = nil
		}
	})
}

// RemovePermissionInput is the input of RemovePermission.
type RemovePermissionInput struct {
	StatementID          string `json:"StatementId"`
	RemoveAllPermissions bool
	EventBusName         string
}

// RemovePermission takes a statement out of a bus's policy, or all of them.
func (s *Service) RemovePermission(c *authz.Call, in *RemovePermissionInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.own(c, in.EventBusName, "RemovePermission")
	switch {
	case err != nil:
		return nil, err
	case b.policy == nil:
		return nil, notFound("EventBus does not have a policy.")
	case in.RemoveAllPermissions:
		b.policy = nil
		return nil, nil
	}
	all, err := s.statementsWithout(b, "")
	if err != nil {
		return nil, err
	}
	rest, err := s.statementsWithout(b, in.StatementID)
	switch {
	case err != nil:
		return nil, err
	case in.StatementID == "" || len(rest) == len(all):
		return nil, notFound("Statement with the provided id does not exist.")
	case len(rest) == 0:
		b.policy = nil
		return nil, nil
	}
	return nil, s.setStatements(b, rest)
}
