package cfnapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"
)

const document1 = `{Version: 2012-10-17, Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}`

// The types that hang on roles and users, made, changed and deleted.
func TestPoliciesAndKeys(t *testing.T) {
	b := newBench(t)
	template := `
Parameters: {Status: {Type: String, Default: Active}, Action: {Type: String, Default: "s3:GetObject"}, Target: {Type: String, Default: Role}}
Conditions: {OnRole: !Equals [!Ref Target, Role]}
Resources:
  Role: ` + strings.Replace(role, "Properties: {", "Properties: {RoleName: demo, ", 1) + `
  User: {Type: AWS::IAM::User, Properties: {UserName: demo, Path: /people/, Policies: [{PolicyName: own, PolicyDocument: ` + document1 + `}]}}
  Managed: {Type: AWS::IAM::ManagedPolicy, Properties: {ManagedPolicyName: managed, PolicyDocument: ` + document1 + `, Roles: !If [OnRole, [!Ref Role], !Ref AWS::NoValue], Users: !If [OnRole, !Ref AWS::NoValue, [!Ref User]]}}
  Shared: {Type: AWS::IAM::Policy, Properties: {PolicyName: !Sub "shared-${Target}", PolicyDocument: ` + document1 + `, Roles: [!Ref Role], Users: [!Ref User]}}
  OfRole: {Type: AWS::IAM::RolePolicy, Properties: {PolicyName: of-role, RoleName: !Ref Role, PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: !Ref Action, Resource: "*"}]}}}
  OfUser: {Type: AWS::IAM::UserPolicy, Properties: {PolicyName: of-user, UserName: !Ref User, PolicyDocument: ` + document1 + `}}
  Key: {Type: AWS::IAM::AccessKey, Properties: {UserName: !Ref User, Status: !Ref Status}}
Outputs:
  Key: {Value: !Ref Key}
  UserArn: {Value: !GetAtt User.Arn}
  RoleId: {Value: !GetAtt Role.RoleId}
  Version: {Value: !GetAtt Managed.DefaultVersionId}
`
	inline := func() []string {
		t.Helper()
		r, err := b.iam.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: aws.String("demo")})
		if err != nil {
			t.Fatal(err)
		}
		u, err := b.iam.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: aws.String("demo")})
		if err != nil {
			t.Fatal(err)
		}
		return append(append(r.PolicyNames, "|"), u.PolicyNames...)
	}
	attached := func() string {
		t.Helper()
		out, err := b.iam.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String("arn:aws:iam::111122223333:policy/managed")})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d roles, %d users", len(out.PolicyRoles), len(out.PolicyUsers))
	}
	keyStatus := func() string {
		t.Helper()
		out, err := b.iam.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("demo")})
		if err != nil || len(out.AccessKeyMetadata) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		return *out.AccessKeyMetadata[0].AccessKeyId + " " + string(out.AccessKeyMetadata[0].Status)
	}

	st := b.create("example", template)
	if got, want := inline(), []string{"of-role", "shared-Role", "|", "of-user", "own", "shared-Role"}; !cmp.Equal(got, want) {
		t.Errorf("inline policies %v, want %v", got, want)
	}
	if got := attached(); got != "1 roles, 0 users" {
		t.Errorf("the managed policy is attached to %s", got)
	}
	if got, want := keyStatus(), output(st, "Key")+" Active"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	if output(st, "UserArn") != "arn:aws:iam::111122223333:user/people/demo" || !strings.HasPrefix(output(st, "RoleId"), "AROA") || output(st, "Version") != "v1" {
		t.Errorf("outputs %s, %s, %s", output(st, "UserArn"), output(st, "RoleId"), output(st, "Version"))
	}

	st = b.update("example", "", "Status=Inactive", "Action=s3:PutObject", "Target=User")
	if st.StackStatus != types.StackStatusUpdateComplete {
		t.Fatalf("%s:\n%s", st.StackStatus, strings.Join(b.events("example"), "\n"))
	}
	if got, want := inline(), []string{"of-role", "shared-User", "|", "of-user", "own", "shared-User"}; !cmp.Equal(got, want) {
		t.Errorf("after the update: inline policies %v, want %v", got, want)
	}
	if got := attached(); got != "0 roles, 1 users" {
		t.Errorf("after the update the managed policy is attached to %s", got)
	}
	if got, want := keyStatus(), output(st, "Key")+" Inactive"; got != want {
		t.Errorf("after the update: key %s, want %s", got, want)
	}
	policy, err := b.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: aws.String("demo"), PolicyName: aws.String("of-role")})
	if err != nil || !strings.Contains(*policy.PolicyDocument, "s3%3APutObject") {
		t.Errorf("after the update: %+v, %v", policy, err)
	}

	id := *st.StackId
	b.delete("example")
	if st := b.stack(id); st.StackStatus != types.StackStatusDeleteComplete {
		t.Errorf("%s:\n%s", st.StackStatus, strings.Join(b.events(id), "\n"))
	}
	users, err := b.iam.ListUsers(ctx, &iam.ListUsersInput{})
	if err != nil || len(users.Users) != 0 {
		t.Errorf("users left: %+v, %v", users, err)
	}
}

// A policy has at most five versions; the stack makes room. And a long history
// comes in pages.
func TestManyUpdates(t *testing.T) {
	b := newBench(t)
	const updates = 30
	b.create("example", "Resources: {Policy: "+policy("p", "s3:Action0")+"}")
	for i := range updates {
		if st := b.update("example", "Resources: {Policy: "+policy("p", fmt.Sprintf("s3:Action%d", i+1))+"}"); st.StackStatus != types.StackStatusUpdateComplete {
			t.Fatalf("update %d: %s:\n%s", i, st.StackStatus, strings.Join(b.events("example"), "\n"))
		}
	}
	versions, err := b.iam.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: aws.String("arn:aws:iam::111122223333:policy/p")})
	if err != nil || len(versions.Versions) != 5 || *versions.Versions[0].VersionId != "v31" || !versions.Versions[0].IsDefaultVersion {
		t.Errorf("versions %+v, %v", versions, err)
	}
	if got, want := len(b.events("example")), 5+5*updates; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	_, err = b.cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: aws.String("example"), NextToken: aws.String("forged")})
	wantRefusal(t, err, "ValidationError: NextToken")
}

func TestDescriptions(t *testing.T) {
	b := newBench(t)
	template := "Description: of a test\nMetadata: {Purpose: test}\nParameters: {P: {Type: String, Default: 012, Description: digits, AllowedValues: [012]}}\nResources: {Policy: " +
		strings.Replace(policy("p", "s3:GetObject"), "Properties:", "Metadata: {Author: me}, Properties:", 1) + "}"
	b.create("example", template)
	one, err := b.cfn.DescribeStackResource(ctx, &cloudformation.DescribeStackResourceInput{StackName: aws.String("example"), LogicalResourceId: aws.String("Policy")})
	if err != nil || *one.StackResourceDetail.Metadata != `{"Author":"me"}` || *one.StackResourceDetail.PhysicalResourceId != "arn:aws:iam::111122223333:policy/p" {
		t.Errorf("DescribeStackResource: %+v, %v", one, err)
	}
	by, err := b.cfn.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{PhysicalResourceId: aws.String("arn:aws:iam::111122223333:policy/p")})
	if err != nil || len(by.StackResources) != 1 || *by.StackResources[0].StackName != "example" {
		t.Errorf("DescribeStackResources by physical ID: %+v, %v", by, err)
	}
	list, err := b.cfn.ListStackResources(ctx, &cloudformation.ListStackResourcesInput{StackName: aws.String("example")})
	if err != nil || len(list.StackResourceSummaries) != 1 || list.StackResourceSummaries[0].ResourceStatus != types.ResourceStatusCreateComplete {
		t.Errorf("ListStackResources: %+v, %v", list, err)
	}
	got, err := b.cfn.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: aws.String("example")})
	if err != nil || *got.TemplateBody != template {
		t.Errorf("GetTemplate: %v, %v", got, err)
	}
	summary, err := b.cfn.GetTemplateSummary(ctx, &cloudformation.GetTemplateSummaryInput{TemplateBody: &template})
	if err != nil || *summary.Description != "of a test" || *summary.Metadata != `{"Purpose":"test"}` || !cmp.Equal(summary.ResourceTypes, []string{"AWS::IAM::ManagedPolicy"}) ||
		*summary.Parameters[0].DefaultValue != "012" || *summary.Parameters[0].Description != "digits" {
		t.Errorf("GetTemplateSummary: %+v, %v", summary, err)
	}
	_, err = b.cfn.DescribeStackResource(ctx, &cloudformation.DescribeStackResourceInput{StackName: aws.String("example"), LogicalResourceId: aws.String("Nobody")})
	wantRefusal(t, err, "ValidationError: Resource Nobody does not exist for stack example")

	// Stacks of other accounts and regions do not exist.
	other := b.as(b.Account(vendor).Config())
	_, err = other.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("example")})
	wantRefusal(t, err, "ValidationError: Stack with id example does not exist")
	id := *b.stack("example").StackId
	_, err = other.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &id})
	wantRefusal(t, err, "AccessDenied")
	config := b.Account(customer).Config()
	config.Region = "eu-west-1"
	_, err = b.as(config).cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &id})
	wantRefusal(t, err, "ValidationError: ")
}
