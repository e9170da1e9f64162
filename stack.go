package crossaccount

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/cfn"
	"github.com/crossaccount/crossaccount/template/script"
	"github.com/crossaccount/crossaccount/template/terraform"
)

// Parameters of the customer's stack. Launch links and stack updates use these
// names.
const (
	ParameterExternalID         = "ExternalId"
	ParameterPreviousExternalID = "PreviousExternalId"
	ParameterRoleName           = "RoleName"
	ParameterSetupPhase         = "SetupPhase"
)

// Outputs of the customer's stack.
const (
	OutputRoleARN    = "RoleArn"
	OutputExternalID = "ExternalId"
	OutputNextSteps  = "NextSteps"
)

const (
	roleID              = "Role"
	setupCondition      = "SetupPhaseActive"
	previousIDCondition = "HasPreviousExternalId"

	// stackVersion counts the forms a customer's stack has had. It rises when
	// the same configuration gives another stack.
	stackVersion = "1"

	// externalIDSize is how long an external ID may be for the trust policy to
	// keep within its quota whatever else is in it. Ours are shorter.
	externalIDSize = 256

	externalIDClass = "[A-Za-z0-9_+=,.@:/-]"
	roleNameClass   = "[A-Za-z0-9_+=,.@-]"
)

// stackInput is everything the customer's stack depends on.
type stackInput struct {
	Config Config // valid, with its defaults

	// TrustedRoles narrows the trust policy to these principals of the vendor's
	// account: ARNs of roles, in which * and ? are wildcards. Empty trusts the
	// whole account.
	TrustedRoles []string

	// PermissionsBoundary is the ARN of a managed policy, or the name (with its
	// path) of one in the customer's account; "" for none.
	PermissionsBoundary string

	Tags           map[string]string
	SelfInspection bool // the role may read itself and its policies
	SessionTags    bool // the vendor may set session tags
	SourceIdentity bool // the vendor may set a source identity
	Generator      string
}

// buildStack makes the customer's stack. The error has the code template and
// names every field that AWS would refuse; warnings come with a stack or
// without.
func buildStack(in stackInput) (*template.Stack, []Warning, error) {
	b := &stackBuilder{in: in, service: printable(in.Config.ServiceName), path: "/" + slug(in.Config.ServiceName, 40) + "/"}
	stack := b.stack()
	if len(b.problems) == 0 {
		b.check(stack)
	}
	if len(b.problems) > 0 {
		return nil, b.warnings, NewError(CodeTemplate, "template: "+strings.Join(b.problems, "; "), "", nil)
	}
	return stack, b.warnings, nil
}

// A stackBuilder makes one stack.
type stackBuilder struct {
	findings
	in      stackInput
	service string // the service's name as AWS lets it be written in descriptions
	path    string // of the role and its policies
}

func (b *stackBuilder) stack() *template.Stack {
	config := b.in.Config
	b.literal("service_name", config.ServiceName)
	ongoing := b.statements("ongoing_permissions", config.OngoingPermissions)
	setup := b.statements("setup_permissions", config.SetupPermissions)
	b.warnOfForeignPartition("ongoing_permissions", config.OngoingPermissions, config.DefaultRegion)
	b.warnOfForeignPartition("setup_permissions", config.SetupPermissions, config.DefaultRegion)
	if b.in.PermissionsBoundary == "" {
		b.warnOfSelfGranting("ongoing_permissions", config.OngoingPermissions)
		b.warnOfSelfGranting("setup_permissions", config.SetupPermissions)
	}
	if len(ongoing)+len(setup) == 0 {
		b.warn("no_permissions", "ongoing_permissions", "there are no permissions, so the role can do nothing", "list what the service needs in ongoing_permissions and setup_permissions")
	}
	s := &template.Stack{
		Description: fmt.Sprintf("Access for %s: an IAM role that its AWS account %s assumes with an external ID. Deleting the stack ends the access.", b.service, config.ServiceAccountID),
		Metadata:    template.Metadata{Version: stackVersion, Generator: b.in.Generator},
		Parameters:  b.parameters(len(setup) > 0),
		Conditions: []template.Condition{
			{ID: previousIDCondition, Expr: template.Not{Expr: template.Equals{A: template.Ref(ParameterPreviousExternalID), B: ""}}},
			{ID: setupCondition, Expr: template.Equals{A: template.Ref(ParameterSetupPhase), B: "true"}},
		},
		Outputs: b.outputs(len(setup) > 0),
	}
	if len(b.problems) > 0 {
		return nil // statements may be incomplete
	}
	s.Resources = []template.Resource{{ID: roleID, Kind: b.role()}}
	s.Resources = append(s.Resources, b.policies(s, "ongoing", "", ongoing)...)
	s.Resources = append(s.Resources, b.policies(s, "setup", setupCondition, setup)...)
	if n := len(s.Resources) - 1; n > reference.MaxManagedPoliciesPerRole {
		b.problem("ongoing_permissions, setup_permissions", "need %d managed policies of %d characters each; a role may have %d: use wildcards or fewer permissions",
			n, reference.MaxManagedPolicySize, reference.MaxManagedPoliciesPerRole)
	}
	return s
}

func (b *stackBuilder) parameters(setup bool) []template.Parameter {
	setupDefault := fmt.Sprint(setup)
	return []template.Parameter{{
		ID:          ParameterExternalID,
		Label:       "External ID",
		Description: "The external ID that " + b.service + " gave you. Leave it as it is.",
		Pattern:     externalIDClass + "+",
		MinLength:   reference.MinExternalID,
		MaxLength:   reference.MaxExternalID,
		Constraint:  "2 to 1224 letters, digits and _+=,.@:/-",
		SizeHint:    externalIDSize,
	}, {
		ID:          ParameterPreviousExternalID,
		Label:       "Previous external ID",
		Description: "Only while the external ID is being changed: the one before, which is trusted as well. Empty otherwise.",
		Default:     new(""),
		Pattern:     externalIDClass + "*",
		MaxLength:   reference.MaxExternalID,
		Constraint:  "empty, or up to 1224 letters, digits and _+=,.@:/-",
		SizeHint:    externalIDSize,
	}, {
		ID:          ParameterRoleName,
		Label:       "Role name",
		Description: "Name of the role. Changing it later replaces the role.",
		Default:     new(slug(b.in.Config.ServiceName, 48) + "-access"),
		Pattern:     roleNameClass + "+",
		MinLength:   1,
		MaxLength:   reference.MaxRoleName,
		Constraint:  "1 to 64 letters, digits and _+=,.@-",
	}, {
		ID:            ParameterSetupPhase,
		Label:         "Setup phase",
		Description:   "true while " + b.service + " sets itself up, if it needs permissions for that. Set it to false afterwards to remove those permissions.",
		Default:       &setupDefault,
		AllowedValues: []string{"true", "false"},
	}}
}

func (b *stackBuilder) outputs(setup bool) []template.Output {
	end := " To end the access of " + b.service + ", delete this stack."
	during := "Setup permissions are granted. When setup is complete, update this stack with SetupPhase=false and keep all other parameters." + end
	if !setup {
		during = "There are no setup permissions, so nothing is left to do." + end
	}
	return []template.Output{{
		ID:          OutputRoleARN,
		Description: "The role. " + b.service + " needs this ARN.",
		Value:       template.Attribute(roleID, "Arn"),
	}, {
		ID:          OutputExternalID,
		Description: "The external ID without which the role cannot be assumed",
		Value:       template.Ref(ParameterExternalID),
	}, {
		ID:          OutputNextSteps,
		Description: "What to do next",
		Value:       template.If(setupCondition, during, "No setup permissions are granted."+end),
	}}
}

func (b *stackBuilder) role() *template.Role {
	role := &template.Role{
		Name:               template.Ref(ParameterRoleName),
		Path:               b.path,
		Description:        fmt.Sprintf("Assumed by %s (AWS account %s) with an external ID", b.service, b.in.Config.ServiceAccountID),
		MaxSessionDuration: roleSessionSeconds(b.in.Config.SessionDuration),
		Trust:              b.trust(),
	}
	if b.in.SelfInspection {
		role.Inline = []template.InlinePolicy{{Name: "self-inspection", Document: b.selfInspection()}}
	}
	if b.in.PermissionsBoundary != "" {
		role.PermissionsBoundary = b.boundary()
	}
	for _, key := range slices.Sorted(maps.Keys(b.in.Tags)) {
		if iam.HasSymbol(key + b.in.Tags[key]) {
			b.problem("tags", "%q contains a private character", clip(slug(key, 40)))
		}
		b.literal("tags", key)
		b.literal("tags."+clip(key), b.in.Tags[key])
		role.Tags = append(role.Tags, template.Tag{Key: key, Value: b.in.Tags[key]})
	}
	return role
}

// roleSessionSeconds is the longest session the role must allow. AWS accepts no
// less than an hour and no more than twelve.
func roleSessionSeconds(d time.Duration) int {
	seconds := (d + time.Second - 1) / time.Second
	return int(min(max(seconds, reference.MinMaxSessionDuration/time.Second), reference.MaxMaxSessionDuration/time.Second))
}

// trust makes the role's trust policy. Statements for session tags and source
// identity do not ask for the external ID, because AWS gives sts:ExternalId
// only to sts:AssumeRole; alone they allow nothing.
func (b *stackBuilder) trust() *iam.Policy {
	vendor := &iam.Principals{AWS: []string{"arn:" + template.Partition + ":iam::" + b.in.Config.ServiceAccountID + ":root"}}
	narrowed := b.principalCondition()
	assume := []iam.Condition{{
		Operator: "StringEquals",
		Key:      "sts:ExternalId",
		Values: []string{
			template.Ref(ParameterExternalID),
			template.Optional(previousIDCondition, template.Ref(ParameterPreviousExternalID)),
		},
	}}
	p := &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
		Sid: "AssumeWithExternalId", Effect: iam.Allow, Principal: vendor, Action: []string{"sts:AssumeRole"},
		Conditions: append(assume, narrowed...),
	}}}
	if b.in.SessionTags {
		p.Statements = append(p.Statements, iam.Statement{
			Sid: "SetSessionTags", Effect: iam.Allow, Principal: vendor, Action: []string{"sts:TagSession"}, Conditions: narrowed,
		})
	}
	if b.in.SourceIdentity {
		p.Statements = append(p.Statements, iam.Statement{
			Sid: "SetSourceIdentity", Effect: iam.Allow, Principal: vendor, Action: []string{"sts:SetSourceIdentity"}, Conditions: narrowed,
		})
	}
	return p
}

// principalCondition narrows a statement to the vendor's own roles. They are
// not named as principals: IAM would store their unique ids, and the trust
// would end when the vendor recreates one.
func (b *stackBuilder) principalCondition() []iam.Condition {
	var arns []string
	operator := "StringEquals"
	for i, arn := range b.in.TrustedRoles {
		at := fmt.Sprintf("trusted_roles[%d]", i)
		a, err := iam.ParseARN(arn)
		switch {
		case err != nil:
			b.problem(at, "%v", err)
			continue
		case a.Service != "iam" || a.Region != "" || !strings.HasPrefix(a.Resource, "role/") || a.Account != b.in.Config.ServiceAccountID:
			b.problem(at, "%q must be the ARN of a role in the vendor's account %s", clip(arn), b.in.Config.ServiceAccountID)
			continue
		}
		b.characters(at, arn)
		if strings.ContainsAny(arn, "*?") {
			operator = "ArnLike"
		}
		if arn = portable(arn); !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	if len(arns) == 0 {
		return nil
	}
	return []iam.Condition{{Operator: operator, Key: "aws:PrincipalArn", Values: arns}}
}

// selfInspection lets the role read itself, so that drift and the removal of
// setup permissions can be proven.
func (b *stackBuilder) selfInspection() *iam.Policy {
	iamARN := "arn:" + template.Partition + ":iam::" + template.AccountID + ":"
	name := template.Ref(ParameterRoleName)
	return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{
		Sid: "ReadOwnRole", Effect: iam.Allow,
		Action:   []string{"iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"},
		Resource: []string{iamARN + "role" + b.path + name},
	}, {
		Sid: "ReadOwnPolicies", Effect: iam.Allow,
		Action:   []string{"iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions"},
		Resource: []string{iamARN + "policy" + b.path + name + "-*"},
	}}}
}

// boundary returns the ARN of the permissions boundary. A name alone means a
// policy of the customer's account.
func (b *stackBuilder) boundary() string {
	const at = "permissions_boundary"
	boundary := b.in.PermissionsBoundary
	b.characters(at, boundary)
	name := strings.TrimPrefix(boundary, "/")
	if strings.HasPrefix(boundary, "arn:") {
		a, err := iam.ParseARN(boundary)
		rest, isPolicy := strings.CutPrefix(a.Resource, "policy/")
		if err != nil || a.Service != "iam" || a.Region != "" || !isPolicy {
			b.problem(at, "%q must be the ARN of a managed policy, or the name of one in the customer's account", clip(boundary))
			return ""
		}
		if _, err := iam.ParseAccountID(a.Account); err == nil {
			b.warn("boundary_account", at, "the policy is in account "+a.Account+", and a boundary must be in the account of its role: stacks in other accounts will fail",
				"use a policy of AWS (arn:aws:iam::aws:policy/…) or the name of a policy that every customer has")
		} else if a.Account != "aws" {
			b.problem(at, "%q must name the account \"aws\" or twelve digits", clip(boundary))
		}
		name = rest
	}
	if err := reference.CheckPolicyName(name[strings.LastIndexByte(name, '/')+1:]); err != nil {
		b.problem(at, "%v", err)
	}
	if err := reference.CheckPath("/" + name + "/"); err != nil {
		b.problem(at, "%v", err)
	}
	if strings.HasPrefix(boundary, "arn:") {
		return portable(boundary)
	}
	return "arn:" + template.Partition + ":iam::" + template.AccountID + ":policy/" + name
}

// policies spreads statements over managed policies attached to the role. The
// descriptions never change: CloudFormation cannot replace a policy that keeps
// its name.
func (b *stackBuilder) policies(s *template.Stack, phase, condition string, statements []iam.Statement) []template.Resource {
	documents, err := split(statements, s.Size)
	if err != nil {
		b.problem(phase+"_permissions", "%v", err)
		return nil
	}
	var resources []template.Resource
	for i, document := range documents {
		resources = append(resources, template.Resource{
			ID:        fmt.Sprintf("%s%sPolicy%d", strings.ToUpper(phase[:1]), phase[1:], i+1),
			Condition: condition,
			Kind: &template.ManagedPolicy{
				Name:        fmt.Sprintf("%s-%s-%d", template.Ref(ParameterRoleName), phase, i+1),
				Path:        b.path,
				Description: "Permissions of the " + phase + " phase of the role it is attached to",
				Document:    document,
				Roles:       []string{roleID},
			},
		})
	}
	return resources
}

// check applies the rules of AWS and of the linter to the finished stack: the
// statements that were judged one by one are now spread over documents.
func (b *stackBuilder) check(s *template.Stack) {
	if err := s.Check(); err != nil {
		b.problems = append(b.problems, err.Error())
	}
	for _, r := range s.Resources {
		switch k := r.Kind.(type) {
		case *template.Role:
			b.lintOwn(r.ID+".trust", k.Trust, iam.KindTrust)
			for _, p := range k.Inline {
				b.lintOwn(r.ID+"."+p.Name, p.Document, iam.KindIdentity)
			}
		case *template.ManagedPolicy:
			for _, found := range lint.Policy(k.Document, lint.Options{Kind: iam.KindIdentity}) {
				if found.Refused {
					b.problem(r.ID+"."+found.Path, "%s; %s (%s)", found.Message, found.Fix, found.ID)
				}
			}
		}
	}
}

// lintOwn holds policies that we wrote ourselves to a higher standard than the
// vendor's permissions.
func (b *stackBuilder) lintOwn(at string, p *iam.Policy, kind iam.Kind) {
	for _, found := range lint.Policy(p, lint.Options{Kind: kind, CrossAccount: kind == iam.KindTrust}) {
		if found.Severity >= lint.Error {
			b.problem(at+"."+found.Path, "%s; %s (%s)", found.Message, found.Fix, found.ID)
		}
	}
}

// printable returns the service's name if descriptions may contain it, and a
// name made from it otherwise. "${" would be literal text, but readers of
// templates take it for a forgotten reference.
func printable(name string) string {
	if reference.CheckRoleDescription(name) != nil || strings.ContainsAny(name, "\t\r\n") || strings.Contains(name, "${") || len(name) > maxServiceName {
		return slug(name, 64)
	}
	return name
}

// A TemplateFormat is a form in which the customer's stack can be written.
type TemplateFormat string

// The formats. Their names are those of the command line.
const (
	FormatCloudFormation TemplateFormat = "cloudformation" // JSON
	FormatTerraform      TemplateFormat = "terraform"      // main.tf.json
	FormatScript         TemplateFormat = "cli"            // a POSIX shell script of aws commands
)

// renderStack writes a stack in a format. What customers are sent a link to is
// read back first.
func renderStack(s *template.Stack, format TemplateFormat) ([]byte, error) {
	write, ok := map[TemplateFormat]func(*template.Stack) ([]byte, error){
		FormatCloudFormation: cfn.Write,
		FormatTerraform:      terraform.Write,
		FormatScript:         script.Write,
	}[format]
	if !ok {
		return nil, NewError(CodeInvalidRequest, fmt.Sprintf("template format %q: unknown", clip(string(format))), "use cloudformation, terraform or cli", nil)
	}
	data, err := write(s)
	if err == nil && format == FormatCloudFormation {
		err = checkIssued(data, s)
	}
	if err != nil {
		return nil, NewError(CodeTemplate, "template: "+err.Error(), "", err)
	}
	return data, nil
}
