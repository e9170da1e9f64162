// Package templates holds the customer's stack against programs that other
// people wrote: cfn-lint and moto read the CloudFormation template, the aws CLI
// carries out the script, and Terraform applies its configuration.
package templates

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
)

const (
	vendorAccount   = "111122223333"
	customerAccount = "444455556666"
	externalID      = "acme-0123456789abcdefABCDEF"
)

// A variant is one configuration of the grid and what must come of it.
type variant struct {
	name    string
	config  crossaccount.Config
	options []crossaccount.Option

	path        string // of the role and its policies; "" if only its shape matters
	seconds     int    // MaxSessionDuration
	boundary    string // in the customer's account
	tags        map[string]string
	inspects    bool
	narrowed    *iam.Condition // of the trust policy
	policyCount int            // managed policies during setup; 0 for what the permissions need
}

func permission(sid string, actions, resources string, condition map[string]interface{}) crossaccount.Permission {
	return crossaccount.Permission{Sid: sid, Effect: "Allow", Actions: strings.Fields(actions), Resources: strings.Fields(resources), Condition: condition}
}

type block = map[string]interface{}

// grid returns the variants. Each differs from the first in what its name says.
func grid() []variant {
	base := func(name string, change func(*variant)) variant {
		v := variant{
			name: name, path: "/Acme/", seconds: 3600, inspects: true,
			config: crossaccount.Config{
				ServiceName: "Acme", ServiceAccountID: vendorAccount, TemplateS3Bucket: "acme-templates",
				OngoingPermissions: []crossaccount.Permission{permission("Read", "s3:GetObject", "arn:aws:s3:::reports/*", nil)},
				SetupPermissions:   []crossaccount.Permission{permission("Create", "s3:CreateBucket s3:PutBucketPolicy", "arn:aws:s3:::reports", nil)},
			},
		}
		change(&v)
		return v
	}
	role := func(name string) string { return "arn:aws:iam::" + vendorAccount + ":role/" + name }
	return []variant{
		base("typical", func(v *variant) { v.policyCount = 2 }),
		base("only name, account and bucket", func(v *variant) {
			v.config = crossaccount.Config{ServiceName: "Acme", ServiceAccountID: vendorAccount, TemplateS3Bucket: "acme-templates"}
		}),
		base("only ongoing permissions", func(v *variant) { v.config.SetupPermissions = nil; v.policyCount = 1 }),
		base("only setup permissions", func(v *variant) { v.config.OngoingPermissions = nil; v.policyCount = 1 }),
		base("unicode service name", func(v *variant) { v.config.ServiceName, v.path = "データ & Spółka 🙂", "" }),
		base("long service name", func(v *variant) { v.config.ServiceName, v.path = strings.Repeat("Acme ", 40), "" }),
		base("hostile service name", func(v *variant) {
			v.config.ServiceName, v.path = `"}'${AWS::AccountId}; touch pwned; $(touch pwned)`, "/AWS-AccountId-touch-pwned-touch-pwned/"
		}),
		base("many permissions", func(v *variant) {
			for i := range 400 {
				v.config.OngoingPermissions = append(v.config.OngoingPermissions,
					permission("", "dynamodb:GetItem", fmt.Sprintf("arn:aws:dynamodb:eu-west-1:${AWS::AccountId}:table/table-%d", i), nil))
			}
			v.policyCount = 10
		}),
		base("one huge permission", func(v *variant) {
			var resources []string
			for i := range 500 {
				resources = append(resources, fmt.Sprintf("arn:aws:s3:::a-bucket-with-number-%d/*", i))
			}
			v.config.OngoingPermissions = []crossaccount.Permission{permission("Huge", "s3:GetObject s3:PutObject", strings.Join(resources, " "), nil)}
		}),
		base("conditions of all shapes", func(v *variant) {
			v.config.OngoingPermissions = []crossaccount.Permission{
				permission("A", "s3:ListBucket", "arn:aws:s3:::reports", block{
					"StringLike":      block{"s3:prefix": []interface{}{"${aws:PrincipalTag/team}/*", "shared/*"}},
					"Bool":            block{"aws:SecureTransport": true},
					"NumericLessThan": block{"s3:max-keys": 100},
				}),
				permission("B", "s3:GetObject", "arn:aws:s3:::reports/${aws:username}/${AWS::AccountId}/*", block{
					"ForAnyValue:StringEquals": map[string][]string{"aws:TagKeys": {"a", "b"}},
					"ArnLikeIfExists":          map[string]string{"aws:SourceArn": "arn:aws:s3:::*"},
					"Null":                     block{"aws:TokenIssueTime": false},
				}),
				{Sid: "C", Effect: "Deny", Actions: []string{"s3:*"}, Resources: []string{"*"}, Condition: block{"NotIpAddress": block{"aws:SourceIp": []string{"203.0.113.0/24", "2001:db8::/32"}}}},
			}
		}),
		base("text that means something to templates", func(v *variant) {
			v.config.OngoingPermissions = []crossaccount.Permission{
				permission("A", "s3:GetObject", "arn:aws:s3:::a'b\"c%{d}$e&<f>\\g*", nil),
				permission("B", "s3:GetObject", "arn:aws:s3:::reports/${s3:prefix}", block{"StringEquals": block{"aws:PrincipalTag/x": "$(touch pwned) `touch pwned` #{x} é"}}),
			}
		}),
		base("boundary of AWS", func(v *variant) {
			v.options = append(v.options, crossaccount.WithPermissionsBoundary("arn:aws:iam::aws:policy/PowerUserAccess"))
			v.boundary = "arn:aws:iam::aws:policy/PowerUserAccess"
		}),
		base("boundary of the customer", func(v *variant) {
			v.options = append(v.options, crossaccount.WithPermissionsBoundary("boundaries/vendors"))
			v.boundary = "arn:aws:iam::" + customerAccount + ":policy/boundaries/vendors"
		}),
		base("tags", func(v *variant) {
			v.tags = map[string]string{"owner": "platform team", "cost:center": "42", "équipe": "données"}
			v.options = append(v.options, crossaccount.WithTags(v.tags))
		}),
		base("without self-inspection", func(v *variant) {
			v.inspects = false
			v.options = append(v.options, crossaccount.WithSelfInspection(false))
		}),
		base("broker role", func(v *variant) {
			v.options = append(v.options, crossaccount.WithBrokerRole(role("broker")))
			v.narrowed = &iam.Condition{Operator: "StringEquals", Key: "aws:PrincipalArn", Values: []string{role("broker")}}
		}),
		base("broker and probe role", func(v *variant) {
			v.options = append(v.options, crossaccount.WithBrokerRole(role("roles/broker")), crossaccount.WithProbeRole(role("probe")))
			v.narrowed = &iam.Condition{Operator: "StringEquals", Key: "aws:PrincipalArn", Values: []string{role("roles/broker"), role("probe")}}
		}),
		base("short sessions", func(v *variant) { v.config.SessionDuration = 15 * time.Minute }),
		base("long sessions", func(v *variant) { v.config.SessionDuration, v.seconds = 12*time.Hour, 43200 }),
		base("GovCloud", func(v *variant) { v.config.DefaultRegion = "us-gov-west-1" }),
		base("China", func(v *variant) { v.config.DefaultRegion = "cn-north-1" }),
	}
}

// write writes the variant's stack in a format.
func (v variant) write(t *testing.T, format crossaccount.TemplateFormat) []byte {
	t.Helper()
	options := append([]crossaccount.Option{crossaccount.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))}, v.options...)
	client, err := crossaccount.New(&v.config, options...)
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	data, err := client.Template(format)
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	return data
}

// An account is what was found in the customer's account.
type account struct {
	Role struct {
		ARN, Name, Path    string
		MaxSessionDuration int
		Boundary           string
		Tags               map[string]string
		Trust              string            // the policy's text
		Inline             map[string]string // :: name → the policy's text
	}
	Attached map[string]string // :: ARN → the policy's text
	Outputs  map[string]string
}

// check compares what was found with the configuration.
func (v variant) check(t *testing.T, found account, previousID string, setup bool) {
	t.Helper()
	role := found.Role
	if want := "arn:aws:iam::" + customerAccount + ":role" + role.Path + role.Name; role.ARN != want || v.path != "" && role.Path != v.path {
		t.Errorf("role %s with path %s, want path %s", role.ARN, role.Path, v.path)
	}
	if role.MaxSessionDuration != v.seconds || role.Boundary != v.boundary {
		t.Errorf("MaxSessionDuration %d and boundary %q, want %d and %q", role.MaxSessionDuration, role.Boundary, v.seconds, v.boundary)
	}
	if len(role.Tags) != len(v.tags) {
		t.Errorf("tags %v, want %v", role.Tags, v.tags)
	}
	for key, value := range v.tags {
		if role.Tags[key] != value {
			t.Errorf("tag %q is %q, want %q", key, role.Tags[key], value)
		}
	}
	equal(t, "trust policy", role.Trust, v.trust(previousID))
	if _, ok := role.Inline["self-inspection"]; ok != v.inspects || len(role.Inline) > 1 || !v.inspects && len(role.Inline) > 0 {
		t.Errorf("inline policies %v, want self-inspection: %v", role.Inline, v.inspects)
	}
	if v.inspects {
		equal(t, "self-inspection", role.Inline["self-inspection"], selfInspection(role.Path, role.Name))
	}

	permissions := v.config.OngoingPermissions
	if setup {
		permissions = append(slices.Clone(permissions), v.config.SetupPermissions...)
	}
	var granted []string
	for arn, text := range found.Attached {
		if want := "arn:aws:iam::" + customerAccount + ":policy" + role.Path + role.Name + "-"; !strings.HasPrefix(arn, want) {
			t.Errorf("policy %s, want it to begin with %s", arn, want)
		}
		p := parse(t, arn, text)
		if p.Size() > 6144 {
			t.Errorf("policy %s has %d characters", arn, p.Size())
		}
		granted = append(granted, grants(p.Statements)...)
	}
	var statements []iam.Statement
	for _, p := range permissions {
		statements = append(statements, expected(p))
	}
	slices.Sort(granted)
	if want := grants(statements); !slices.Equal(slices.Compact(granted), want) {
		t.Errorf("granted:\n%s\nwant:\n%s", strings.Join(granted, "\n"), strings.Join(want, "\n"))
	}
	if n := len(found.Attached); n > 10 || setup && v.policyCount > 0 && n != v.policyCount {
		t.Errorf("%d managed policies, want %d", n, v.policyCount)
	}
	if found.Outputs["RoleArn"] != role.ARN || found.Outputs["ExternalId"] != externalID {
		t.Errorf("outputs %v, want the role's ARN %s and the external ID", found.Outputs, role.ARN)
	}
	if mentions := strings.Contains(found.Outputs["NextSteps"], "SetupPhase=false"); mentions != (setup && len(v.config.SetupPermissions) > 0) {
		t.Errorf("NextSteps: %q", found.Outputs["NextSteps"])
	}
}

// trust is the trust policy the role must have, written down once more.
func (v variant) trust(previousID string) *iam.Policy {
	ids := []string{externalID}
	if previousID != "" {
		ids = append(ids, previousID)
	}
	vendor := &iam.Principals{AWS: []string{"arn:aws:iam::" + vendorAccount + ":root"}}
	var narrowed []iam.Condition
	if v.narrowed != nil {
		narrowed = append(narrowed, *v.narrowed)
	}
	return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{
		{Effect: iam.Allow, Principal: vendor, Action: []string{"sts:AssumeRole"}, Conditions: append([]iam.Condition{{Operator: "StringEquals", Key: "sts:ExternalId", Values: ids}}, narrowed...)},
		{Effect: iam.Allow, Principal: vendor, Action: []string{"sts:TagSession"}, Conditions: narrowed},
		{Effect: iam.Allow, Principal: vendor, Action: []string{"sts:SetSourceIdentity"}, Conditions: narrowed},
	}}
}

func selfInspection(path, name string) *iam.Policy {
	prefix := "arn:aws:iam::" + customerAccount + ":"
	return &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{
		{Effect: iam.Allow, Action: []string{"iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"}, Resource: []string{prefix + "role" + path + name}},
		{Effect: iam.Allow, Action: []string{"iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions"}, Resource: []string{prefix + "policy" + path + name + "-*"}},
	}}
}

// expected is the statement a permission must become in the customer's account.
func expected(p crossaccount.Permission) iam.Statement {
	fill := func(s string) string { return strings.ReplaceAll(s, "${AWS::AccountId}", customerAccount) }
	s := iam.Statement{Effect: iam.Effect(p.Effect), Action: p.Actions}
	for _, r := range p.Resources {
		s.Resource = append(s.Resource, fill(r))
	}
	for operator, keys := range p.Condition {
		add := func(key string, value interface{}) {
			c := iam.Condition{Operator: operator, Key: key}
			switch value := value.(type) {
			case []interface{}:
				for _, v := range value {
					c.Values = append(c.Values, fill(fmt.Sprint(v)))
				}
			case []string:
				c.Values = value
			default:
				c.Values = []string{fill(fmt.Sprint(value))}
			}
			s.Conditions = append(s.Conditions, c)
		}
		switch keys := keys.(type) {
		case block:
			for key, value := range keys {
				add(key, value)
			}
		case map[string]string:
			for key, value := range keys {
				add(key, value)
			}
		case map[string][]string:
			for key, value := range keys {
				add(key, value)
			}
		}
	}
	return s
}

// grants lists what statements grant: one line for each pair of an action and a
// resource.
func grants(statements []iam.Statement) []string {
	var lines []string
	for _, s := range statements {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				one := s
				one.Action, one.Resource = []string{action}, []string{resource}
				lines = append(lines, string((&iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{one}}).Canonical()))
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func parse(t *testing.T, what, text string) *iam.Policy {
	t.Helper()
	p, err := iam.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, text)
	}
	return p
}

func equal(t *testing.T, what, text string, want *iam.Policy) {
	t.Helper()
	if got := parse(t, what, text).Canonical(); string(got) != string(want.Canonical()) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want.Canonical())
	}
}

// waiting is how long a test waits for a stack.
const waiting = time.Minute
