package crossaccount

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// roleConfig returns a configuration with the credentials of a probe. It is
// used within one verification and then dropped.
func (c *Client) roleConfig(ctx context.Context, issued *types.Credentials) (aws.Config, error) {
	config, err := c.awsConfig(ctx)
	if err != nil {
		return aws.Config{}, err
	}
	config.Credentials = credentials.NewStaticCredentialsProvider(
		aws.ToString(issued.AccessKeyId), aws.ToString(issued.SecretAccessKey), aws.ToString(issued.SessionToken))
	return config, nil
}

// inspect compares the role's permissions with the configuration. The role may
// read itself if its template allowed that; otherwise it may perhaps simulate
// itself; otherwise permissions are not checked, which is no fault.
func (v *verification) inspect(ctx context.Context, issued *types.Credentials) {
	c := v.client
	config, err := c.roleConfig(ctx, issued)
	if err != nil {
		return
	}
	client := c.iamClient(config)
	const expectation = "the role may read its own policies, so that permissions can be checked"
	found, problem := v.ownPolicies(ctx, client)
	check := func(s iam.Statement) (PermissionState, string) { return found.check(s) }
	if problem == "" {
		v.add(Step{Name: StepSelfInspected, Expectation: expectation, Result: Passed})
	} else {
		v.add(Step{Name: StepSelfInspected, Expectation: expectation, Result: Skipped, Detail: problem + "; this is no fault"})
		check = func(s iam.Statement) (PermissionState, string) { return v.simulate(ctx, client, s, problem) }
	}
	v.trust(found.trust, problem)
	v.report.Permissions = v.checkAll(c.config.OngoingPermissions, check)
	v.report.SetupPermissions = v.checkAll(c.config.SetupPermissions, check)
	for i := range v.report.SetupPermissions {
		p := &v.report.SetupPermissions[i]
		if p.State == PermissionMissing && p.Reason == reasonNone {
			p.State, p.Reason = PermissionRemoved, ""
		} else if p.State == PermissionMissing {
			p.State = PermissionPresent // a part of it is still there
		}
	}
}

// reasonNone is the reason for a permission of which nothing is there.
const reasonNone = "the role has none of it"

func (v *verification) checkAll(permissions []Permission, check func(iam.Statement) (PermissionState, string)) []PermissionCheck {
	var converted findings
	var checks []PermissionCheck
	for i, s := range converted.statements("permissions", permissions) {
		s = v.resolved(s)
		state, reason := check(s)
		checks = append(checks, PermissionCheck{Sid: s.Sid, Actions: permissions[i].Actions, State: state, Reason: reason})
	}
	return checks
}

// resolved fills in the account, partition and region of the role's stack.
func (v *verification) resolved(s iam.Statement) iam.Statement {
	suffix := v.client.partition.DNSSuffix
	values := map[string]string{
		"AWS::Partition": v.role.Partition, "AWS::AccountId": string(v.role.Account),
		"AWS::Region": v.region, "AWS::URLSuffix": suffix,
	}
	fill := func(list []string) []string {
		filled := make([]string, len(list))
		for i, text := range list {
			filled[i] = iam.ReplaceSymbols(text, func(id string) string { return values[id] })
		}
		return filled
	}
	s.Resource = fill(s.Resource)
	conditions := make([]iam.Condition, len(s.Conditions))
	for i, condition := range s.Conditions {
		conditions[i] = condition
		conditions[i].Values = fill(condition.Values)
	}
	s.Conditions = conditions
	return s
}

// rolePolicies are the statements of a role's own policies.
type rolePolicies struct {
	statements []iam.Statement
	trust      string // as IAM returns it: escaped
	boundary   bool   // the role has a permissions boundary
	foreign    bool   // a statement has NotAction or NotResource
}

// ownPolicies reads the role's policies with the role's own credentials. The
// problem says, in words for the customer, why that was not possible.
func (v *verification) ownPolicies(ctx context.Context, client *awsiam.Client) (found rolePolicies, problem string) {
	name := aws.String(v.role.Name)
	read := func(do func(context.Context) error) bool {
		if problem != "" {
			return false
		}
		switch result, err := v.client.call(ctx, do); result {
		case accepted:
		case refused:
			problem = "the role may not read its own policies"
		case unavailable:
			problem = "the role's policies could not be read"
			v.client.log.Warn("crossaccount: self-inspection failed", "role", v.report.RoleARN, "cause", errorText(err))
		}
		return problem == ""
	}
	parse := func(document *string) {
		text, err := url.PathUnescape(aws.ToString(document))
		if err == nil {
			var policy *iam.Policy
			if policy, err = iam.ParsePolicy([]byte(text)); err == nil {
				found.statements = append(found.statements, policy.Statements...)
				return
			}
		}
		problem = "a policy of the role cannot be understood"
	}

	if !read(func(ctx context.Context) error {
		output, err := client.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name})
		if err == nil && output.Role != nil {
			found.boundary = output.Role.PermissionsBoundary != nil
			found.trust = aws.ToString(output.Role.AssumeRolePolicyDocument)
		}
		return err
	}) {
		return found, problem
	}
	var attached []iamtypes.AttachedPolicy
	for pages := awsiam.NewListAttachedRolePoliciesPaginator(client, &awsiam.ListAttachedRolePoliciesInput{RoleName: name}); problem == "" && pages.HasMorePages(); {
		read(func(ctx context.Context) error {
			page, err := pages.NextPage(ctx)
			if err == nil {
				attached = append(attached, page.AttachedPolicies...)
			}
			return err
		})
	}
	for _, policy := range attached {
		var version *string
		read(func(ctx context.Context) error {
			output, err := client.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: policy.PolicyArn})
			if err == nil && output.Policy != nil {
				version = output.Policy.DefaultVersionId
			}
			return err
		})
		var document *string
		if read(func(ctx context.Context) error {
			output, err := client.GetPolicyVersion(ctx, &awsiam.GetPolicyVersionInput{PolicyArn: policy.PolicyArn, VersionId: version})
			if err == nil && output.PolicyVersion != nil {
				document = output.PolicyVersion.Document
			}
			return err
		}) {
			parse(document)
		}
	}
	var inline []string
	for pages := awsiam.NewListRolePoliciesPaginator(client, &awsiam.ListRolePoliciesInput{RoleName: name}); problem == "" && pages.HasMorePages(); {
		read(func(ctx context.Context) error {
			page, err := pages.NextPage(ctx)
			if err == nil {
				inline = append(inline, page.PolicyNames...)
			}
			return err
		})
	}
	for _, policy := range inline {
		var document *string
		if read(func(ctx context.Context) error {
			output, err := client.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String(policy)})
			if err == nil {
				document = output.PolicyDocument
			}
			return err
		}) {
			parse(document)
		}
	}
	for _, s := range found.statements {
		found.foreign = found.foreign || len(s.NotAction) > 0 || len(s.NotResource) > 0
	}
	return found, problem
}

// check looks for every pair of an action and a resource of a declared
// statement, because templates may spread a statement over several policies. It
// compares what is written: a pair is there if a statement of the role is
// written at least as widely, under the same conditions or none.
func (p *rolePolicies) check(declared iam.Statement) (PermissionState, string) {
	var missing []string
	pairs, absent, limited := 0, 0, false
	for _, action := range declared.Action {
		lost := false
		for _, resource := range declared.Resource {
			pairs++
			if !p.covers(declared.Effect, action, resource, declared.Conditions) ||
				declared.Effect == iam.Allow && p.covers(iam.Deny, action, resource, declared.Conditions) {
				absent++
				lost = true
			} else if declared.Effect == iam.Allow {
				limited = limited || p.touches(iam.Deny, action, resource)
			}
		}
		if lost {
			missing = append(missing, action)
		}
	}
	switch {
	case absent == pairs:
		return PermissionMissing, reasonNone
	case absent > 0:
		return PermissionMissing, "the role lacks " + listed(missing)
	case limited:
		return PermissionPresent, "the role also has a Deny for a part of it or under conditions, which may refuse some requests"
	case p.boundary:
		return PermissionPresent, "a permissions boundary of the role may still limit it"
	case p.foreign:
		return PermissionPresent, "the role has statements with NotAction or NotResource, which were not compared"
	}
	return PermissionPresent, ""
}

// covers reports whether one statement is written at least as widely as the
// pair. A wildcard in the pair counts as covered by a wildcard only.
func (p *rolePolicies) covers(effect iam.Effect, action, resource string, conditions []iam.Condition) bool {
	for _, s := range p.statements {
		if s.Effect == effect &&
			(len(s.Conditions) == 0 || sameConditions(s.Conditions, conditions)) &&
			matchesAny(s.Action, action, strings.ToLower) &&
			matchesAny(s.Resource, resource, func(r string) string { return r }) {
			return true
		}
	}
	return false
}

// touches reports whether a statement could apply to a part of the pair, under
// whatever conditions.
func (p *rolePolicies) touches(effect iam.Effect, action, resource string) bool {
	for _, s := range p.statements {
		if s.Effect == effect &&
			slices.ContainsFunc(s.Action, func(a string) bool { return reference.Overlap(strings.ToLower(a), strings.ToLower(action)) }) &&
			slices.ContainsFunc(s.Resource, func(r string) bool { return reference.Overlap(r, resource) }) {
			return true
		}
	}
	return false
}

func matchesAny(patterns []string, text string, normal func(string) string) bool {
	for _, pattern := range patterns {
		if iam.MatchWildcard(normal(pattern), normal(text)) {
			return true
		}
	}
	return false
}

// sameConditions compares conditions in the canonical form of a statement.
func sameConditions(a, b []iam.Condition) bool {
	form := func(conditions []iam.Condition) string {
		return string((&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
			Effect: iam.Allow, Action: []string{"*"}, Resource: []string{"*"}, Conditions: conditions,
		}}}).Canonical())
	}
	return form(a) == form(b)
}

// simulate asks IAM whether the role has a permission. That needs concrete
// actions and no conditions, because we do not know the circumstances.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (v *verification) simulate(ctx context.Context, client *awsiam.Client, s iam.Statement, problem string) (PermissionState, string) {
	if v.simulationRefused || s.Effect != iam.Allow || len(s.Conditions) > 0 || strings.Contains(strings.Join(s.Action, ""), "*") {
		return PermissionNotChecked, problem
	}
	allowed, total := map[string]int{}, 0 // :: action → on how many of the resources
	for _, resource := range s.Resource {
		granted, err := v.simulateOn(ctx, client, s.Action, resource)
		if err != nil {
			v.simulationRefused = true // do not ask for every permission
			return PermissionNotChecked, problem
		}
		for action := range granted {
			allowed[action]++
			total++
		}
	}
	var missing []string
	for _, action := range s.Action {
		if allowed[strings.ToLower(action)] < len(s.Resource) {
			missing = append(missing, action)
		}
	}
	switch {
	case total == 0:
		return PermissionMissing, reasonNone
	case len(missing) > 0:
		return PermissionMissing, "by simulation, the role lacks " + listed(missing)
	}
	return PermissionPresent, "by simulation"
}

// simulateOn returns the actions, in lower case, that the simulation allows on
// one resource. Asked about several at once, IAM's answers say only partly which
// of them they are about.
func (v *verification) simulateOn(ctx context.Context, client *awsiam.Client, actions []string, resource string) (map[string]bool, error) {
	granted := map[string]bool{}
	pages := awsiam.NewSimulatePrincipalPolicyPaginator(client, &awsiam.SimulatePrincipalPolicyInput{
		PolicySourceArn: aws.String(v.role.String()), ActionNames: actions, ResourceArns: []string{resource},
	})
	for pages.HasMorePages() {
		if _, err := v.client.call(ctx, func(ctx context.Context) error {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, result := range page.EvaluationResults {
				if result.EvalDecision == iamtypes.PolicyEvaluationDecisionTypeAllowed {
					granted[strings.ToLower(aws.ToString(result.EvalActionName))] = true
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return granted, nil
}

// listed shortens a list for a message.
func listed(names []string) string {
	const limit = 5
	if len(names) > limit {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
	}
	return strings.Join(names, ", ")
}
