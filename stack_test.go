package crossaccount

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/cfn"
)

var updateStacks = flag.Bool("update", false, "rewrite the golden files")

var formats = map[TemplateFormat]string{FormatCloudFormation: ".json", FormatTerraform: ".tf.json", FormatScript: ".sh"}

func minimalInput() stackInput {
	return stackInput{Config: Config{
		ServiceName: "Acme Analytics", ServiceAccountID: "111122223333", TemplateS3Bucket: "acme-templates", SessionDuration: time.Hour,
	}, SelfInspection: true}
}

func typicalInput() stackInput {
	in := minimalInput()
	in.Config.OngoingPermissions = []Permission{{
		Sid: "ReadReports", Effect: "Allow", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::reports-${AWS::AccountId}/*"},
	}, {
		Actions: []string{"s3:ListBucket"}, Resources: []string{"arn:aws:s3:::reports-${AWS::AccountId}"},
		Condition: map[string]interface{}{"StringLike": map[string]interface{}{"s3:prefix": []interface{}{"${aws:PrincipalTag/team}/*", "shared/*"}}},
	}}
	in.Config.SetupPermissions = []Permission{{
		Sid: "CreateReports", Effect: "Allow", Actions: []string{"s3:CreateBucket"}, Resources: []string{"arn:aws:s3:::reports-${AWS::AccountId}"},
	}}
	return in
}

func everythingInput() stackInput {
	in := typicalInput()
	in.Config.ServiceName = "Dane & Spółka 🙂"
	in.Config.SessionDuration = 12 * time.Hour
	in.TrustedRoles = []string{"arn:aws:iam::111122223333:role/broker", "arn:aws:iam::111122223333:role/probes/*"}
	in.PermissionsBoundary = "boundaries/vendors"
	in.Tags = map[string]string{"owner": "platform team", "cost-center": "42"}
	in.SessionTags, in.SourceIdentity = true, true
	in.Generator = "crossaccount v1.2.3"
	for i := range 150 {
		in.Config.OngoingPermissions = append(in.Config.OngoingPermissions, Permission{
			Actions: []string{"dynamodb:GetItem", "dynamodb:Query"}, Resources: []string{fmt.Sprintf("arn:aws:dynamodb:eu-west-1:${AWS::AccountId}:table/events-%03d", i)},
		})
	}
	return in
}

func mustBuild(t testing.TB, in stackInput) *template.Stack {
	t.Helper()
	s, _, err := buildStack(in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStackGolden(t *testing.T) {
	for name, in := range map[string]stackInput{"minimal": minimalInput(), "typical": typicalInput(), "everything": everythingInput()} {
		for format, extension := range formats {
			t.Run(name+extension, func(t *testing.T) {
				got, err := renderStack(mustBuild(t, in), format)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join("testdata", "stack", name+extension)
				if *updateStacks {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(got)); diff != "" {
					t.Errorf("run with -update if this is meant, and say so under Permissions in CHANGELOG.md (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// customerValues are what a customer's stack has: our external ID and the
// customer's account.
func customerValues(change ...string) map[string]string {
	values := map[string]string{ParameterExternalID: "acme-Abc123", "AWS::Partition": "aws", "AWS::AccountId": "444455556666", "AWS::Region": "us-east-1", "AWS::URLSuffix": "amazonaws.com"}
	for i := 0; i < len(change); i += 2 {
		values[change[i]] = change[i+1]
	}
	return values
}

func resolved(t testing.TB, s *template.Stack, change ...string) *template.Stack {
	t.Helper()
	out, err := s.Resolve(customerValues(change...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func theRole(t testing.TB, s *template.Stack) *template.Role {
	t.Helper()
	r, ok := s.Resource(roleID)
	if !ok {
		t.Fatal("the stack has no role")
	}
	return r.Kind.(*template.Role)
}

// policyDocuments returns the managed policies of a resolved stack by name.
func policyDocuments(s *template.Stack) map[string]*iam.Policy {
	documents := map[string]*iam.Policy{}
	for _, r := range s.Resources {
		if p, ok := r.Kind.(*template.ManagedPolicy); ok {
			documents[p.Name] = p.Document
		}
	}
	return documents
}

func TestSetupPermissionsExistOnlyInTheSetupPhase(t *testing.T) {
	s := mustBuild(t, typicalInput())
	const ongoing, setup = "Acme-Analytics-access-ongoing-1", "Acme-Analytics-access-setup-1"
	during, after := resolved(t, s), resolved(t, s, ParameterSetupPhase, "false")
	if d := policyDocuments(during); len(d) != 2 || d[ongoing] == nil || d[setup] == nil {
		t.Errorf("during setup there are %v", slices.Collect(mapsKeys(d)))
	}
	if d := policyDocuments(after); len(d) != 1 || d[ongoing] == nil {
		t.Errorf("after setup there are %v", slices.Collect(mapsKeys(d)))
	}
	if next := during.Outputs[2].Value; !strings.Contains(next, "update this stack with SetupPhase=false") || !strings.Contains(next, "delete this stack") {
		t.Errorf("NextSteps during setup: %q", next)
	}
	if next := after.Outputs[2].Value; strings.Contains(next, "SetupPhase=false") || !strings.Contains(next, "delete this stack") {
		t.Errorf("NextSteps after setup: %q", next)
	}
	none := resolved(t, mustBuild(t, minimalInput()))
	if next := none.Outputs[2].Value; strings.Contains(next, "SetupPhase=false") {
		t.Errorf("NextSteps without setup permissions: %q", next)
	}
	if p, _ := mustBuild(t, minimalInput()).Parameter(ParameterSetupPhase); *p.Default != "false" {
		t.Errorf("SetupPhase is %q by default although there are no setup permissions", *p.Default)
	}
}

func mapsKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Faults 4 and 5 of naive templates: see docs of the tests' names.
func TestTemplateAvoidsTheUsualFaults(t *testing.T) {
	for name, in := range map[string]stackInput{"minimal": minimalInput(), "typical": typicalInput(), "everything": everythingInput()} {
		t.Run(name, func(t *testing.T) {
			data, err := renderStack(mustBuild(t, in), FormatCloudFormation)
			if err != nil {
				t.Fatal(err)
			}
			read, err := cfn.Read(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range read.Parameters {
				if p.NoEcho {
					t.Errorf("%s is NoEcho: launch links could not fill it in", p.Name)
				}
				if p.Default != nil && strings.Contains(p.Default.Text, in.Config.ServiceAccountID) {
					t.Errorf("the vendor's account is the parameter %s: a forged link could change it", p.Name)
				}
			}
			if regexp.MustCompile(`arn:aws[^$]*:`).Match(data) {
				t.Error("an ARN has the partition aws written into it")
			}
			if strings.Contains(string(data), "MultiFactorAuthPresent") {
				t.Error("a condition on MFA locks out long-term credentials and adds nothing")
			}
			if !strings.Contains(string(data), "iam::111122223333:root") {
				t.Error("the vendor's account is not written into the trust policy")
			}
			for id, want := range map[string][2]int{ParameterExternalID: {2, 1224}, ParameterRoleName: {1, 64}} {
				p := read.Parameter(id)
				if p.MinLength.Text != fmt.Sprint(want[0]) || p.MaxLength.Text != fmt.Sprint(want[1]) || p.AllowedPattern == "" {
					t.Errorf("%s takes %s to %s characters matching %q", id, p.MinLength.Text, p.MaxLength.Text, p.AllowedPattern)
				}
			}
			var outputs []string
			for _, o := range read.Outputs {
				outputs = append(outputs, o.Name)
			}
			if diff := cmp.Diff([]string{"RoleArn", "ExternalId", "NextSteps"}, outputs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRoleProperties(t *testing.T) {
	r := theRole(t, resolved(t, mustBuild(t, everythingInput()), "AWS::Partition", "aws-cn"))
	got := map[string]any{
		"session": r.MaxSessionDuration, "boundary": r.PermissionsBoundary, "tags": r.Tags,
		"narrowed": r.Trust.Statements[1].Conditions, "inline": r.Inline[0].Name,
	}
	want := map[string]any{
		"session": 43200, "boundary": "arn:aws-cn:iam::444455556666:policy/boundaries/vendors",
		"tags":     []template.Tag{{Key: "cost-center", Value: "42"}, {Key: "owner", Value: "platform team"}},
		"narrowed": []iam.Condition{when("ArnLike", "aws:PrincipalArn", "arn:aws-cn:iam::111122223333:role/broker", "arn:aws-cn:iam::111122223333:role/probes/*")},
		"inline":   "self-inspection",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !regexp.MustCompile(`^/Dane-Sp-ka-[0-9a-f]{8}/$`).MatchString(r.Path) {
		t.Errorf("path %q", r.Path)
	}
	in := minimalInput()
	in.SelfInspection = false
	if r := theRole(t, mustBuild(t, in)); len(r.Inline) != 0 {
		t.Errorf("without self-inspection the role has %v", r.Inline)
	}
	for d, want := range map[time.Duration]int{0: 3600, 15 * time.Minute: 3600, time.Hour + time.Millisecond: 3601, 100 * time.Hour: 43200} {
		if got := roleSessionSeconds(d); got != want {
			t.Errorf("sessions of %s give a role with %d seconds, want %d", d, got, want)
		}
	}
}

func TestBuildStackRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*stackInput)
		says   string
	}{
		"broker of another account": {func(in *stackInput) { in.TrustedRoles = []string{"arn:aws:iam::999999999999:role/x"} }, "trusted_roles[0]"},
		"broker that is a user":     {func(in *stackInput) { in.TrustedRoles = []string{"arn:aws:iam::111122223333:user/x"} }, "trusted_roles[0]"},
		"boundary that is a role":   {func(in *stackInput) { in.PermissionsBoundary = "arn:aws:iam::aws:role/x" }, "permissions_boundary"},
		"boundary with a space":     {func(in *stackInput) { in.PermissionsBoundary = "my policy" }, "permissions_boundary"},
		"reserved tag":              {func(in *stackInput) { in.Tags = map[string]string{"aws:x": "y"} }, "Tags[0]"},
		"tag with a forged symbol":  {func(in *stackInput) { in.Tags = map[string]string{"x": template.Ref(ParameterExternalID)} }, "tags"},
		"trust policy too large": {func(in *stackInput) {
			for i := range 60 {
				in.TrustedRoles = append(in.TrustedRoles, fmt.Sprintf("arn:aws:iam::111122223333:role/broker-%d", i))
			}
		}, "at most 2048"},
		"permissions for eleven policies": {func(in *stackInput) {
			for i := range 900 {
				in.Config.OngoingPermissions = append(in.Config.OngoingPermissions, Permission{Actions: []string{"s3:GetObject"}, Resources: []string{fmt.Sprintf("arn:aws:s3:::bucket-number-%d/*", i)}})
			}
		}, "a role may have 10"},
		"dynamic reference in the service name": {func(in *stackInput) { in.Config.ServiceName = "{{resolve:ssm:name}}" }, "service_name: contains {{resolve:"},
		"dynamic reference in a sid":            {func(in *stackInput) { in.Config.OngoingPermissions[0].Sid = "{{resolve:ssm:sid}}" }, "ongoing_permissions[0].sid: contains {{resolve:"},
		"dynamic reference in an action": {func(in *stackInput) {
			in.Config.OngoingPermissions[0].Actions = []string{"s3:{{resolve:ssm:action}}"}
		}, "ongoing_permissions[0].actions[0]: contains {{resolve:"},
		"dynamic reference in a resource": {func(in *stackInput) {
			in.Config.SetupPermissions[0].Resources = []string{"arn:aws:s3:::{{resolve:secretsmanager:bucket}}/*"}
		}, "setup_permissions[0].resources[0]: contains {{resolve:"},
		"dynamic reference around a pseudo parameter": {func(in *stackInput) {
			in.Config.SetupPermissions[0].Resources = []string{"arn:aws:s3:::{{resolve:ssm:${AWS::Region}}}/*"}
		}, "setup_permissions[0].resources[0]: contains {{resolve:"},
		"dynamic reference in a condition": {func(in *stackInput) {
			in.Config.OngoingPermissions[0].Condition = map[string]any{"StringEquals": map[string]any{"aws:username": "{{resolve:ssm-secure:who:1}}"}}
		}, "ongoing_permissions[0].condition.StringEquals.aws:username: contains {{resolve:"},
		"dynamic reference in a tag":        {func(in *stackInput) { in.Tags = map[string]string{"owner": "{{resolve:ssm:who}}"} }, "tags.owner: contains {{resolve:"},
		"dynamic reference in the boundary": {func(in *stackInput) { in.PermissionsBoundary = "{{resolve:ssm:boundary}}" }, "permissions_boundary: contains {{resolve:"},
		"dynamic reference in the broker": {func(in *stackInput) {
			in.TrustedRoles = []string{"arn:aws:iam::111122223333:role/{{resolve:ssm:broker}}"}
		}, "trusted_roles[0]: contains {{resolve:"},
		"a condition larger than a policy": {func(in *stackInput) {
			in.Config.SetupPermissions[0].Condition = map[string]any{"StringEquals": map[string]any{"aws:username": strings.Repeat("x", 6200)}}
		}, "setup_permissions"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := typicalInput()
			test.change(&in)
			s, _, err := buildStack(in)
			var e *Error
			if !errors.As(err, &e) || e.Code != CodeTemplate || s != nil {
				t.Fatalf("stack %v, error %v", s, err)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want it to say %q", err, test.says)
			}
		})
	}
}

func TestNoPermissionsIsAWarning(t *testing.T) {
	_, warnings, err := buildStack(minimalInput())
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || warnings[0].Code != "no_permissions" || warnings[0].Remedy == "" {
		t.Errorf("warnings: %v", warnings)
	}
}

// Fault 11: permissions with which the role can make itself administrator.
func TestSelfGrantingIsAWarning(t *testing.T) {
	warned := func(boundary string, p Permission) bool {
		in := typicalInput()
		in.PermissionsBoundary = boundary
		in.Config.SetupPermissions = []Permission{p}
		_, warnings, err := buildStack(in)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(warnings, func(w Warning) bool {
			return w.Code == "self_granting" && w.Field == "setup_permissions[0].actions[0]" && w.Remedy != ""
		})
	}
	requires := map[string]any{"StringEquals": map[string]any{"iam:PermissionsBoundary": "arn:aws:iam::${AWS::AccountId}:policy/limits"}}
	for name, test := range map[string]struct {
		boundary string
		p        Permission
		want     bool
	}{
		"all roles":           {"", Permission{Actions: []string{"iam:AttachRolePolicy"}, Resources: []string{"*"}}, true},
		"by wildcard":         {"", Permission{Actions: []string{"iam:Put*"}, Resources: []string{"arn:aws:iam::${AWS::AccountId}:role/*"}}, true},
		"everything":          {"", Permission{Actions: []string{"*"}, Resources: []string{"*"}}, true},
		"roles of one path":   {"", Permission{Actions: []string{"iam:AttachRolePolicy"}, Resources: []string{"arn:aws:iam::${AWS::AccountId}:role/acme/*"}}, false},
		"with a boundary":     {"limits", Permission{Actions: []string{"iam:AttachRolePolicy"}, Resources: []string{"*"}}, false},
		"boundary required":   {"", Permission{Actions: []string{"iam:AttachRolePolicy"}, Resources: []string{"*"}, Condition: requires}, false},
		"denied":              {"", Permission{Effect: "Deny", Actions: []string{"iam:AttachRolePolicy"}, Resources: []string{"*"}}, false},
		"reading":             {"", Permission{Actions: []string{"iam:Get*"}, Resources: []string{"*"}}, false},
		"another service's *": {"", Permission{Actions: []string{"s3:*"}, Resources: []string{"*"}}, false},
	} {
		if got := warned(test.boundary, test.p); got != test.want {
			t.Errorf("%s: warned: %v, want %v", name, got, test.want)
		}
	}
}

// Whatever is in a configuration, the result is either an error with a code or
// a stack that every format can express, whose policies AWS accepts and which
// trusts nobody without the external ID.
func TestHostileConfigurations(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,20}`),
		rapid.SampledFrom([]string{"", "*", "Ref", "Fn::Sub", "${AWS::AccountId}", "${", "'; touch x; '", "arn:aws:s3:::b/*", template.AccountID, strings.Repeat("x", 10_000)}))
	action := rapid.OneOf(rapid.SampledFrom([]string{"s3:GetObject", "s3:*", "*", "iam:PassRole", "nobody:Knows"}), text)
	resource := rapid.OneOf(rapid.SampledFrom([]string{"*", "arn:aws:s3:::b/*", "arn:aws:s3:::${aws:username}", "arn:aws-cn:s3:::b", "arn:aws:s3:::a${b"}), text)
	permission := rapid.Custom(func(t *rapid.T) Permission {
		p := Permission{
			Sid:       rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[A-Za-z0-9]{1,8}`), text).Draw(t, "sid"),
			Effect:    rapid.SampledFrom([]string{"Allow", "Allow", "Deny", "", "allow"}).Draw(t, "effect"),
			Actions:   rapid.SliceOfN(action, 0, 3).Draw(t, "actions"),
			Resources: rapid.SliceOfN(resource, 0, 3).Draw(t, "resources"),
		}
		if rapid.Bool().Draw(t, "conditional") {
			p.Condition = map[string]any{
				rapid.SampledFrom([]string{"StringEquals", "ArnLike", "Bool", "Fn::If", "Null"}).Draw(t, "operator"): map[string]any{
					rapid.OneOf(rapid.SampledFrom([]string{"aws:username", "s3:prefix", "Fn::Sub", "Ref"}), text).Draw(t, "key"): rapid.OneOf(
						rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.SliceOfN(text, 0, 3), func(s []string) any { return s }), rapid.Just[any](nil), rapid.Just[any](true),
					).Draw(t, "value"),
				},
			}
		}
		return p
	})
	rapid.Check(t, func(rt *rapid.T) {
		in := minimalInput()
		in.Config.ServiceName = text.Draw(rt, "service")
		in.Config.OngoingPermissions = rapid.SliceOfN(permission, 0, 3).Draw(rt, "ongoing")
		in.Config.SetupPermissions = rapid.SliceOfN(permission, 0, 2).Draw(rt, "setup")
		in.Generator = "test"
		if rapid.Bool().Draw(rt, "tagged") {
			in.Tags = map[string]string{text.Draw(rt, "tag"): text.Draw(rt, "tag value")}
		}
		if rapid.Bool().Draw(rt, "bounded") {
			in.PermissionsBoundary = text.Draw(rt, "boundary")
		}
		stack, _, err := buildStack(in)
		if err != nil {
			if CodeOf(err) != CodeTemplate {
				rt.Fatalf("error without its code: %v", err)
			}
			return
		}
		for format := range formats {
			if _, err := renderStack(stack, format); err != nil && !strings.Contains(err.Error(), "as Terraform writes them") {
				rt.Fatalf("%s: %v", format, err)
			}
		}
		final, err := stack.Resolve(customerValues())
		if err != nil {
			rt.Fatal(err)
		}
		role := theRole(t, final)
		for _, s := range role.Trust.Statements {
			if len(s.Conditions) == 0 || s.Conditions[0].Key != "sts:ExternalId" || !slices.Equal(s.Conditions[0].Values, []string{"acme-Abc123"}) {
				rt.Fatalf("the trust policy has %v", s)
			}
		}
		documents := policyDocuments(final)
		for name, p := range documents {
			data, err := p.MarshalJSON()
			if err != nil {
				rt.Fatal(err)
			}
			for _, f := range lint.Document(data, lint.Options{Kind: iam.KindIdentity}) {
				if f.Refused {
					rt.Fatalf("%s is issued, but AWS refuses it: %v\n%s", name, f, data)
				}
			}
		}
	})
}
