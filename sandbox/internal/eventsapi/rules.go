package eventsapi

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

type rule struct {
	name, arn   string
	description string
	text        string              // of the pattern
	pattern     map[string][]string // values by field
	disabled    bool
	targets     []Target
}

// A Target is where a rule's events go.
type Target struct {
	ID      string `json:"Id"`
	ARN     string `json:"Arn"`
	RoleARN string `json:"RoleArn,omitempty"`

	Input, InputPath                                                              string          `json:",omitempty"`
	InputTransformer, DeadLetterConfig, RetryPolicy, SqsParameters, EcsParameters json.RawMessage `json:",omitempty"`
}

func (t *Target) check() error {
	arn, err := iam.ParseARN(t.ARN)
	switch {
	case t.ID == "" || err != nil:
		return invalid("Parameter Targets is not valid. Reason: a target has an Id and an Arn.")
	case t.Input != "" || t.InputPath != "" || t.InputTransformer != nil || t.DeadLetterConfig != nil || t.RetryPolicy != nil || t.SqsParameters != nil || t.EcsParameters != nil:
		return wire.NotImplemented("events", "targets with anything but Id, Arn and RoleArn")
	case arn.Service == "events" && strings.HasPrefix(arn.Resource, "event-bus/") && t.RoleARN == "":
		return wire.NotImplemented("events", "event buses as targets without a RoleArn")
	case arn.Service == "sqs", arn.Service == "lambda", arn.Service == "events" && strings.HasPrefix(arn.Resource, "event-bus/"):
		return nil
	}
	return wire.NotImplemented("events", "targets of "+arn.Service)
}

// RuleInput names a rule.
type RuleInput struct{ Name, EventBusName string }

// PutRuleInput is the input of PutRule.
type PutRuleInput struct {
	Name, EventBusName, EventPattern, State, Description string
	ScheduleExpression                                   string
	RoleARN                                              string `json:"RoleArn"`
	Tags                                                 []Tag
}

// RuleOutput names a rule.
type RuleOutput struct {
	RuleARN string `json:"RuleArn"`
}

var rulePattern = regexp.MustCompile(`^[\.\-_A-Za-z0-9]{1,64}$`)

// parsePattern reads an event pattern of exact values.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
func parsePattern(text string) (map[string][]string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &fields); err != nil || len(fields) == 0 {
		return nil, wire.BadRequest("InvalidEventPatternException", "Event pattern is not valid. Reason: it must be a JSON object with at least one field.")
	}
	pattern := make(map[string][]string)
	for name, raw := range fields {
		switch name {
		case "source", "detail-type", "account", "region":
		default:
			return nil, wire.NotImplemented("events", "event patterns with "+wire.Clip(name))
		}
		var values []string
		if err := json.Unmarshal(raw, &values); err != nil {
			return nil, wire.NotImplemented("events", "event patterns with anything but exact values")
		}
		if len(values) == 0 {
			return nil, wire.BadRequest("InvalidEventPatternException", "Event pattern is not valid. Reason: Empty arrays are not allowed")
		}
		pattern[name] = values
	}
	return pattern, nil
}

// bus finds the bus of a rule and the rule, nil if there is none, after
// authorising the action on the rule. The caller holds the lock.
func (s *Service) rule(c *authz.Call, in RuleInput, action string, keys func(*iam.Context)) (*bus, *rule, error) {
	if !rulePattern.MatchString(in.Name) {
		return nil, nil, invalid("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+", wire.Clip(in.Name))
	}
	b, arn, err := s.lookup(c, in.EventBusName)
	if err != nil {
		return nil, nil, err
	}
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	resource := strings.Replace(arn, ":event-bus/", ":rule/", 1) + "/" + in.Name
	if name == "default" {
		resource = strings.TrimSuffix(resource, "default/"+in.Name) + in.Name
	}
	err = c.Authorize(authz.Query{Action: "events:" + action, Resource: resource, Context: func(ctx *iam.Context) {
		ctx.Set("events:creatorAccount", string(c.Account()))
		if keys != nil {
			keys(ctx)
		}
	}})
	switch {
	case err != nil:
		return nil, nil, err
	case b == nil:
		return nil, nil, notFound("Event bus %s does not exist.", name)
	case b.account != c.Account():
		return nil, nil, wire.NotImplemented("events", "rules on buses of other accounts")
	}
	for _, r := range b.rules {
		if r.name == in.Name {
			return b, r, nil
		}
	}
	return b, &rule{name: in.Name, arn: resource}, nil
}

// existing is rule for operations on rules that must exist.
func (s *Service) existing(c *authz.Call, in RuleInput, action string) (*bus, *rule, error) {
	b, r, err := s.rule(c, in, action, nil)
	if err == nil && !slices.Contains(b.rules, r) {
		err = notFound("Rule %s does not exist on EventBus %s.", in.Name, b.name)
	}
	return b, r, err
}

// PutRule makes a rule, or changes it.
func (s *Service) PutRule(c *authz.Call, in *PutRuleInput) (*RuleOutput, error) {
	switch {
	case in.ScheduleExpression != "" || in.RoleARN != "" || len(in.Tags) > 0:
		return nil, wire.NotImplemented("events", "PutRule with ScheduleExpression, RoleArn or Tags")
	case in.EventPattern == "":
		return nil, invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	case in.State != "" && in.State != "ENABLED" && in.State != "DISABLED":
		return nil, wire.NotImplemented("events", "PutRule with State "+wire.Clip(in.State))
	}
	pattern, err := parsePattern(in.EventPattern)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.rule(c, RuleInput{in.Name, in.EventBusName}, "PutRule", func(ctx *iam.Context) {
		for field, key := range map[string]string{"source": "events:source", "detail-type": "events:detail-type"} {
			if values := pattern[field]; values != nil {
				ctx.SetMulti(key, values...)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	r.pattern, r.text, r.description, r.disabled = pattern, in.EventPattern, in.Description, in.State == "DISABLED"
	if !slices.Contains(b.rules, r) {
		b.rules = append(b.rules, r)
	}
	return &RuleOutput{r.arn}, nil
}

// DeleteRule deletes a rule without targets. One that is not there does not
// matter.
func (s *Service) DeleteRule(c *authz.Call, in *RuleInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.rule(c, *in, "DeleteRule", nil)
	if err != nil {
		return nil, err
	}
	if len(r.targets) > 0 {
		return nil, invalid("Rule can't be deleted since it has targets.")
	}
	b.rules = slices.DeleteFunc(b.rules, func(o *rule) bool { return o == r })
	return nil, nil
}

// EnableRule enables a rule.
func (s *Service) EnableRule(c *authz.Call, in *RuleInput) (*struct{}, error) {
	return s.turn(c, in, "EnableRule", false)
}

// DisableRule disables a rule.
func (s *Service) DisableRule(c *authz.Call, in *RuleInput) (*struct{}, error) {
	return s.turn(c, in, "DisableRule", true)
}

func (s *Service) turn(c *authz.Call, in *RuleInput, action string, off bool) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, r, err := s.existing(c, *in, action)
	if err != nil {
		return nil, err
	}
	r.disabled = off
	return nil, nil
}

// A RuleEntry describes a rule.
type RuleEntry struct {
	Name, EventPattern, State, EventBusName string
	ARN                                     string `json:"Arn"`
	Description                             string `json:",omitempty"`
}

func (r *rule) entry(b *bus) RuleEntry {
	e := RuleEntry{r.name, r.text, "ENABLED", b.name, r.arn, r.description}
	if r.disabled {
		e.State = "DISABLED"
	}
	return e
}

// DescribeRule shows a rule.
func (s *Service) DescribeRule(c *authz.Call, in *RuleInput) (*RuleEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.existing(c, *in, "DescribeRule")
	if err != nil {
		return nil, err
	}
	e := r.entry(b)
	return &e, nil
}

// ListRulesInput filters.
type ListRulesInput struct{ NamePrefix, EventBusName, NextToken string }

// ListRulesOutput has rules.
type ListRulesOutput struct{ Rules []RuleEntry }

// ListRules lists the rules of a bus.
func (s *Service) ListRules(c *authz.Call, in *ListRulesInput) (*ListRulesOutput, error) {
	if in.NextToken != "" {
		return nil, wire.NotImplemented("events", "ListRules with NextToken")
	}
	if err := c.Authorize(authz.Query{Action: "events:ListRules", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _, err := s.lookup(c, in.EventBusName)
	if err != nil {
		return nil, err
	}
	if b == nil || b.account != c.Account() {
		return nil, notFound("Event bus %s does not exist.", wire.Clip(in.EventBusName))
	}
	out := &ListRulesOutput{Rules: []RuleEntry{}}
	for _, r := range b.rules {
		if strings.HasPrefix(r.name, in.NamePrefix) {
			out.Rules = append(out.Rules, r.entry(b))
		}
	}
	return out, nil
}

// PutTargetsInput is the input of PutTargets.
type PutTargetsInput struct {
	Rule, EventBusName string
	Targets            []Target
}

// TargetsOutput says what failed: nothing, as targets fail or succeed together.
type TargetsOutput struct {
	FailedEntryCount int
	FailedEntries    []struct{}
}

// maxTargets is how many targets a rule may have.
const maxTargets = 5

// PutTargets adds targets to a rule, or changes them. The caller passes the
// roles that targets name.
func (s *Service) PutTargets(c *authz.Call, in *PutTargetsInput) (*TargetsOutput, error) {
	var arns []string
	for i := range in.Targets {
		if err := in.Targets[i].check(); err != nil {
			return nil, err
		}
		arns = append(arns, in.Targets[i].ARN)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.rule(c, RuleInput{in.Rule, in.EventBusName}, "PutTargets", func(ctx *iam.Context) { ctx.SetMulti("events:TargetArn", arns...) })
	if err != nil {
		return nil, err
	}
	if !slices.Contains(b.rules, r) {
		return nil, notFound("Rule %s does not exist on EventBus %s.", in.Rule, b.name)
	}
	targets := slices.Clone(r.targets)
	for _, t := range in.Targets {
		if t.RoleARN != "" {
			if err := pass(c, t.RoleARN); err != nil {
				return nil, err
			}
		}
		targets = append(slices.DeleteFunc(targets, func(o Target) bool { return o.ID == t.ID }), t)
	}
	if len(targets) > maxTargets {
		return nil, wire.BadRequest("LimitExceededException", "The requested resource exceeds the maximum number allowed: a rule has at most %d targets.", maxTargets)
	}
	r.targets = targets
	return &TargetsOutput{0, []struct{}{}}, nil
}

func pass(c *authz.Call, roleARN string) error {
	role, err := iam.ParseRoleARN(roleARN)
	if err != nil {
		return invalid("Parameter RoleArn is not valid. Reason: it must be the ARN of a role.")
	}
	if role.Account != c.Account() {
		return wire.Errorf(403, "AccessDenied", "Cross-account pass role is not allowed.")
	}
	err = c.Authorize(authz.Query{Action: "iam:PassRole", Resource: roleARN, Context: func(ctx *iam.Context) { ctx.Set("iam:PassedToService", servicePrincipal) }})
	if err != nil {
		return err
	}
	if _, err := c.AsServiceRole(roleARN, servicePrincipal, "events"); err != nil {
		e := wire.BadRequest("ValidationException", "Provided role '%s' cannot be assumed by principal '%s'.", wire.Clip(roleARN), servicePrincipal)
		e.Cause = err
		return e
	}
	return nil
}

// RemoveTargetsInput is the input of RemoveTargets.
type RemoveTargetsInput struct {
	Rule, EventBusName string
	IDs                []string `json:"Ids"`
	Force              bool
}

// RemoveTargets removes targets. Those that are not there do not matter.
func (s *Service) RemoveTargets(c *authz.Call, in *RemoveTargetsInput) (*TargetsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, r, err := s.existing(c, RuleInput{in.Rule, in.EventBusName}, "RemoveTargets")
	if err != nil {
		return nil, err
	}
	r.targets = slices.DeleteFunc(slices.Clone(r.targets), func(t Target) bool { return slices.Contains(in.IDs, t.ID) })
	return &TargetsOutput{0, []struct{}{}}, nil
}

// ListTargetsByRuleInput names a rule.
type ListTargetsByRuleInput struct{ Rule, EventBusName string }

// ListTargetsByRuleOutput has a rule's targets.
type ListTargetsByRuleOutput struct{ Targets []Target }

// ListTargetsByRule lists a rule's targets.
func (s *Service) ListTargetsByRule(c *authz.Call, in *ListTargetsByRuleInput) (*ListTargetsByRuleOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, r, err := s.existing(c, RuleInput{in.Rule, in.EventBusName}, "ListTargetsByRule")
	if err != nil {
		return nil, err
	}
	return &ListTargetsByRuleOutput{slices.Clone(r.targets)}, nil
}
