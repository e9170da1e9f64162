package iamapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
)

const guarded = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"s3:*","Resource":"*"},
	{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"},
	{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}}
]}`

func TestSimulatePrincipalPolicy(t *testing.T) {
	_, c := newBox(t)
	role := createRole(t, c, "r", func(in *iam.CreateRoleInput) { in.Path = aws.String("/app/") })
	must[*iam.PutRolePolicyOutput](t)(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role.RoleName, PolicyName: aws.String("guarded"), PolicyDocument: aws.String(guarded)}))

	simulate := func(edit func(*iam.SimulatePrincipalPolicyInput)) []types.EvaluationResult {
		t.Helper()
		in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: role.Arn}
		edit(in)
		var all []types.EvaluationResult
		pages := iam.NewSimulatePrincipalPolicyPaginator(c, in)
		for pages.HasMorePages() {
			all = append(all, must[*iam.SimulatePrincipalPolicyOutput](t)(pages.NextPage(ctx)).EvaluationResults...)
		}
		return all
	}
	show := func(results []types.EvaluationResult) []string {
		var lines []string
		for _, r := range results {
			line := *r.EvalActionName + " " + *r.EvalResourceName + " " + string(r.EvalDecision)
			for _, s := range r.MatchedStatements {
				line += " " + *s.SourcePolicyId
			}
			lines = append(lines, line)
		}
		return lines
	}
	for _, tc := range []struct {
		name string
		edit func(*iam.SimulatePrincipalPolicyInput)
		want []string
	}{
		{"each action and resource, two to a page", func(in *iam.SimulatePrincipalPolicyInput) {
			in.ActionNames = []string{"s3:GetObject", "S3:deleteobject", "ec2:RunInstances"}
			in.ResourceArns = []string{"arn:aws:s3:::a/b", "arn:aws:s3:::c/d"}
			in.MaxItems = aws.Int32(2)
		}, []string{
			"s3:GetObject arn:aws:s3:::a/b allowed role_r_guarded",
			"s3:GetObject arn:aws:s3:::c/d allowed role_r_guarded",
			"S3:deleteobject arn:aws:s3:::a/b explicitDeny role_r_guarded",
			"S3:deleteobject arn:aws:s3:::c/d explicitDeny role_r_guarded",
			"ec2:RunInstances arn:aws:s3:::a/b implicitDeny",
			"ec2:RunInstances arn:aws:s3:::c/d implicitDeny",
		}},
		{"a condition without its key", func(in *iam.SimulatePrincipalPolicyInput) {
			in.ActionNames = []string{"sqs:SendMessage"}
		}, []string{"sqs:SendMessage * implicitDeny"}},
		{"a condition with its key", func(in *iam.SimulatePrincipalPolicyInput) {
			in.ActionNames = []string{"sqs:SendMessage"}
			in.ContextEntries = []types.ContextEntry{{ContextKeyName: aws.String("aws:sourcevpc"), ContextKeyValues: []string{"vpc-1"}, ContextKeyType: types.ContextKeyTypeEnumString}}
		}, []string{"sqs:SendMessage * allowed role_r_guarded"}},
		{"an additional policy", func(in *iam.SimulatePrincipalPolicyInput) {
			in.ActionNames = []string{"ec2:RunInstances"}
			in.PolicyInputList = []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*"}}`}
		}, []string{"ec2:RunInstances * allowed PolicyInputList.1"}},
		{"a boundary", func(in *iam.SimulatePrincipalPolicyInput) {
			in.ActionNames = []string{"s3:GetObject", "s3:PutObject"}
			in.PermissionsBoundaryPolicyInputList = []string{readBuckets}
		}, []string{
			"s3:GetObject * allowed role_r_guarded PermissionsBoundaryPolicyInputList.1",
			"s3:PutObject * implicitDeny",
		}},
	} {
		got := show(simulate(tc.edit))
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}

	result := simulate(func(in *iam.SimulatePrincipalPolicyInput) { in.ActionNames = []string{"sqs:SendMessage"} })[0]
	if diff := cmp.Diff([]string{"aws:SourceVpc"}, result.MissingContextValues); diff != "" {
		t.Errorf("missing keys (-want +got):\n%s", diff)
	}
	result = simulate(func(in *iam.SimulatePrincipalPolicyInput) { in.ActionNames = []string{"s3:DeleteObject"} })[0]
	if at := result.MatchedStatements[0].StartPosition; at.Line != 3 || at.Column != 2 {
		t.Errorf("the deciding statement begins at %d:%d, want 3:2", at.Line, at.Column)
	}
}

func TestSimulationErrors(t *testing.T) {
	box, c := newBox(t)
	role := createRole(t, c, "r").Arn
	for _, tc := range []struct {
		name string
		edit func(*iam.SimulatePrincipalPolicyInput)
		want string
	}{
		{"no such role", func(in *iam.SimulatePrincipalPolicyInput) { in.PolicySourceArn = aws.String(*role + "x") }, "Not Found NoSuchEntity"},
		{"not a role", func(in *iam.SimulatePrincipalPolicyInput) {
			in.PolicySourceArn = aws.String("arn:aws:iam::444455556666:root")
		}, "Bad Request InvalidInput"},
		{"another account's role", func(in *iam.SimulatePrincipalPolicyInput) {
			in.PolicySourceArn = aws.String("arn:aws:iam::111122223333:role/r")
		}, "Forbidden AccessDenied"},
		{"an action with a wildcard", func(in *iam.SimulatePrincipalPolicyInput) { in.ActionNames = []string{"s3:*"} }, "Bad Request InvalidInput"},
		{"a resource that is no ARN", func(in *iam.SimulatePrincipalPolicyInput) { in.ResourceArns = []string{"bucket"} }, "Bad Request InvalidInput"},
		{"a policy that is none", func(in *iam.SimulatePrincipalPolicyInput) { in.PolicyInputList = []string{"{}"} }, "Bad Request InvalidInput"},
		{"a marker from elsewhere", func(in *iam.SimulatePrincipalPolicyInput) { in.Marker = aws.String("YWZ0ZXI6eA") }, "Bad Request ValidationError"},
	} {
		in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: role, ActionNames: []string{"s3:GetObject"}}
		tc.edit(in)
		if _, err := c.SimulatePrincipalPolicy(ctx, in); code(err) != tc.want {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}

	// A role that may simulate itself, as ours may, and nothing else.
	self := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"` + *role + `"}]}`
	user := client(box.Account(customer).User("u", self))
	simulate := func(arn string) error {
		_, err := user.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &arn, ActionNames: []string{"s3:GetObject"}})
		return err
	}
	if err := simulate(*role); err != nil {
		t.Error(err)
	}
	other := createRole(t, c, "other").Arn
	if err := simulate(*other); code(err) != "Forbidden AccessDenied" || !strings.Contains(message(err), "iam:SimulatePrincipalPolicy") {
		t.Errorf("simulating another role: %v", err)
	}
}

func TestSimulateCustomPolicy(t *testing.T) {
	_, c := newBox(t)
	out := must[*iam.SimulateCustomPolicyOutput](t)(c.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{
		PolicyInputList: []string{guarded}, ActionNames: []string{"s3:GetObject", "s3:DeleteObject", "ec2:RunInstances"},
	}))
	var got []string
	for _, r := range out.EvaluationResults {
		got = append(got, string(r.EvalDecision))
	}
	if diff := cmp.Diff([]string{"allowed", "explicitDeny", "implicitDeny"}, got); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}
