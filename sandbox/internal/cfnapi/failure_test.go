package cfnapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"
)

// policy is a managed policy whose custom name is given.
func policy(name, action string) string {
	return `{Type: AWS::IAM::ManagedPolicy, Properties: {ManagedPolicyName: ` + name + `, PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: "` + action + `", Resource: "*"}]}}}`
}

// A resource that cannot be made says why, and what was made before it is
// deleted again.
func TestFailedCreation(t *testing.T) {
	tests := []struct{ name, resource, reason string }{
		{"unknown property", `{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}, Colour: red}}`, "Encountered unsupported property Colour"},
		{"unknown nested property", `{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}, Tags: [{Key: a, Value: b, Colour: red}]}}`, "Encountered unsupported property Tags.0.Colour"},
		{"property AWS has and the sandbox has not", `{Type: AWS::IAM::User, Properties: {LoginProfile: {Password: x}}}`, "the sandbox does not support the property LoginProfile"},
		{"required property", `{Type: AWS::IAM::Role, Properties: {Path: /x/}}`, "Property AssumeRolePolicyDocument cannot be empty."},
		{"list wanted", `{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}, ManagedPolicyArns: arn}}`, "Value of property ManagedPolicyArns must be of type List of String"},
		{"object wanted", `{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: [x]}}`, "Value of property AssumeRolePolicyDocument must be an object"},
		{"number wanted", `{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}, MaxSessionDuration: long}}`, "Value of property MaxSessionDuration must be of type Number"},
		{"no targets", `{Type: AWS::IAM::Policy, Properties: {PolicyName: p, PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: "*", Resource: "*"}]}}}`, "At least one of [Groups,Roles,Users] must be non-empty."},
		{"malformed policy", `{Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Permit, Action: "*", Resource: "*"}]}}}`, "HandlerErrorCode: InvalidRequest"},
		{"principal that does not exist", `{Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: sts:AssumeRole, Principal: {AWS: "arn:aws:iam::444455556666:role/nobody"}}]}}}`, "Invalid principal in policy"},
		{"name taken", policy("taken", "s3:GetObject"), "HandlerErrorCode: AlreadyExists"},
		{"no such export", `{Type: AWS::IAM::ManagedPolicy, Properties: {Description: !ImportValue nothing, PolicyDocument: {}}}`, "No export named nothing found"},
		{"role made, its policy malformed", strings.Replace(role, "Properties: {", `Properties: {RoleName: half, Policies: [{PolicyName: p, PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Permit}]}}], `, 1), "HandlerErrorCode: InvalidRequest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("taken"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)}); err != nil {
				t.Fatal(err)
			}
			err := b.tryCreate("failing", "Resources:\n  First: "+policy("first", "s3:GetObject")+"\n  Second: "+test.resource)
			if err != nil {
				t.Fatal(err)
			}
			events := b.events("failing")
			at := -1
			for i, e := range events {
				if strings.HasPrefix(e, "Second CREATE_FAILED") {
					at = i
				}
			}
			if at < 0 || !strings.Contains(events[at], test.reason) {
				t.Fatalf("events:\n%s\nwant the reason %q", strings.Join(events, "\n"), test.reason)
			}
			var rest []string
			for _, e := range events[at+1:] {
				if !strings.HasPrefix(e, "Second DELETE_") {
					rest = append(rest, e)
				}
			}
			want := []string{
				"failing ROLLBACK_IN_PROGRESS (The following resource(s) failed to create: [Second]. Rollback requested by user.)",
				"First DELETE_IN_PROGRESS",
				"First DELETE_COMPLETE",
				"failing ROLLBACK_COMPLETE",
			}
			if diff := cmp.Diff(want, rest); diff != "" {
				t.Errorf("rollback (-want +got):\n%s", diff)
			}
			if got := b.policyNames(); !cmp.Equal(got, []string{"taken"}) {
				t.Errorf("policies left: %v", got)
			}
			if out, err := b.iam.ListRoles(ctx, &iam.ListRolesInput{}); err != nil || len(out.Roles) != 0 {
				t.Errorf("roles left: %+v (%v)", out.Roles, err)
			}
			wantRefusal(t, b.tryUpdate("failing", "Resources: {A: "+role+"}"), "is in ROLLBACK_COMPLETE state and can not be updated.")
		})
	}
}

func TestOnFailure(t *testing.T) {
	template := "Resources:\n  First: " + policy("first", "s3:GetObject") + "\n  Second: {Type: AWS::IAM::Role, Properties: {Path: /x/}}"
	tests := []struct {
		onFailure types.OnFailure
		status    types.StackStatus
		remains   bool
	}{
		{types.OnFailureRollback, types.StackStatusRollbackComplete, false},
		{types.OnFailureDelete, types.StackStatusDeleteComplete, false},
		{types.OnFailureDoNothing, types.StackStatusCreateFailed, true},
	}
	for _, test := range tests {
		t.Run(string(test.onFailure), func(t *testing.T) {
			b := newBench(t)
			out, err := b.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
				StackName: aws.String("failing"), TemplateBody: &template, OnFailure: test.onFailure, Capabilities: everyCapability,
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.stack(*out.StackId).StackStatus; got != test.status {
				t.Errorf("status %s, want %s", got, test.status)
			}
			if remains := len(b.policyNames()) == 1; remains != test.remains {
				t.Errorf("the first resource remains: %t, want %t", remains, test.remains)
			}
			b.delete(*out.StackId)
			if got := b.stack(*out.StackId).StackStatus; got != types.StackStatusDeleteComplete {
				t.Errorf("after deletion %s", got)
			}
		})
	}
}

// A failed update leaves everything as it was.
func TestFailedUpdate(t *testing.T) {
	b := newBench(t)
	before := "Resources:\n  Kept: " + policy("kept", "s3:GetObject") + "\n  Replaced: " + policy("one", "s3:GetObject") + "\n  Fails: " + role
	b.create("example", before)
	n := len(b.events("example"))
	after := "Resources:\n  Kept: " + policy("kept", "s3:PutObject") + "\n  Replaced: " + policy("two", "s3:GetObject") + "\n  Added: " + policy("added", "s3:GetObject") +
		"\n  Fails: " + strings.Replace(role, "444455556666", "arn:aws:iam::444455556666:role/nobody", 1)
	st := b.update("example", after)
	if st.StackStatus != types.StackStatusUpdateRollbackComplete {
		t.Errorf("status %s", st.StackStatus)
	}
	events := b.eventsSince("example", n)
	for i, e := range events {
		if strings.HasPrefix(e, "Fails UPDATE_FAILED") {
			events[i] = "Fails UPDATE_FAILED"
		}
	}
	want := []string{
		"example UPDATE_IN_PROGRESS (User Initiated)",
		"Kept UPDATE_IN_PROGRESS",
		"Kept UPDATE_COMPLETE",
		"Replaced UPDATE_IN_PROGRESS (Requested update requires the creation of a new physical resource; hence creating one.)",
		"Replaced UPDATE_COMPLETE",
		"Added CREATE_IN_PROGRESS",
		"Added CREATE_IN_PROGRESS (Resource creation Initiated)",
		"Added CREATE_COMPLETE",
		"Fails UPDATE_IN_PROGRESS",
		"Fails UPDATE_FAILED",
		"example UPDATE_ROLLBACK_IN_PROGRESS (The following resource(s) failed to update: [Fails]. )",
		"Fails UPDATE_IN_PROGRESS",
		"Fails UPDATE_COMPLETE",
		"Replaced UPDATE_COMPLETE",
		"Kept UPDATE_IN_PROGRESS",
		"Kept UPDATE_COMPLETE",
		"example UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
		"Added DELETE_IN_PROGRESS",
		"Added DELETE_COMPLETE",
		"Replaced DELETE_IN_PROGRESS",
		"Replaced DELETE_COMPLETE",
		"example UPDATE_ROLLBACK_COMPLETE",
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := b.policyNames(); !cmp.Equal(got, []string{"kept", "one"}) {
		t.Errorf("policies after the rollback: %v", got)
	}
	version, err := b.iam.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: aws.String("arn:aws:iam::111122223333:policy/kept"), VersionId: aws.String("v3")})
	if err != nil || !version.PolicyVersion.IsDefaultVersion || !strings.Contains(*version.PolicyVersion.Document, "s3%3AGetObject") {
		t.Errorf("the policy in force after the rollback: %+v, %v", version, err)
	}
	// What the stack now thinks it has is what it had: the old template changes nothing.
	wantRefusal(t, b.tryUpdate("example", before), "No updates are to be performed.")
}

func (b *bench) policyNames() []string {
	b.t.Helper()
	out, err := b.iam.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: "Local"})
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, p := range out.Policies {
		names = append(names, *p.PolicyName)
	}
	return names
}

func TestReplacement(t *testing.T) {
	b := newBench(t)
	template := `
Parameters: {Name: {Type: String}, Path: {Type: String, Default: /}}
Resources:
  Policy: {Type: AWS::IAM::ManagedPolicy, Properties: {ManagedPolicyName: !Ref Name, Path: !Ref Path, PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}}}
  Role: {Type: AWS::IAM::Role, Properties: {RoleName: demo, ManagedPolicyArns: [!Ref Policy], AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {AWS: "444455556666"}, Action: sts:AssumeRole}]}}}
`
	b.create("example", template, "Name=one")
	b.update("example", "", "Name=two")
	if got := b.policyNames(); !cmp.Equal(got, []string{"two"}) {
		t.Errorf("policies: %v", got)
	}
	attached, err := b.iam.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: aws.String("demo")})
	if err != nil || len(attached.AttachedPolicies) != 1 || *attached.AttachedPolicies[0].PolicyName != "two" {
		t.Errorf("attached: %+v, %v", attached, err)
	}
	st := b.update("example", "", "Name", "Path=/other/")
	if st.StackStatus != types.StackStatusUpdateRollbackComplete {
		t.Errorf("status %s", st.StackStatus)
	}
	if history := strings.Join(b.events("example"), "\n"); !strings.Contains(history, "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename two and update the stack again.") {
		t.Errorf("events:\n%s", history)
	}
	wantRefusal(t, b.tryUpdate("example", "Resources: {Policy: "+role+"}"), "Update of resource type is not permitted.")
}

func TestRetainedResources(t *testing.T) {
	b := newBench(t)
	retained := func(name, policies string) string {
		return strings.Replace(policy(name, "s3:GetObject"), "{Type: AWS::IAM::ManagedPolicy,", "{Type: AWS::IAM::ManagedPolicy, "+policies+",", 1)
	}
	b.create("example", "Resources:\n  A: "+retained("a", "DeletionPolicy: Retain")+"\n  B: "+retained("b", "UpdateReplacePolicy: Retain")+"\n  C: "+retained("c", "DeletionPolicy: RetainExceptOnCreate")+"\n  D: "+role)
	b.update("example", "Resources:\n  B: "+retained("b2", "UpdateReplacePolicy: Retain")+"\n  C: "+retained("c", "DeletionPolicy: RetainExceptOnCreate")+"\n  D: "+role)
	if got := b.policyNames(); !cmp.Equal(got, []string{"a", "b", "b2", "c"}) {
		t.Errorf("after the update: %v", got)
	}
	b.delete("example")
	if got := b.policyNames(); !cmp.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("after the deletion: %v", got)
	}
}

// What others attached to a role keeps it from being deleted, and the stack
// says so.
func TestFailedDeletion(t *testing.T) {
	b := newBench(t)
	st := b.create("example", "Resources:\n  Role: "+strings.Replace(role, "Properties: {", "Properties: {RoleName: demo, ", 1)+"\n  Policy: "+policy("mine", "s3:GetObject"))
	arn := "arn:aws:iam::aws:policy/ReadOnlyAccess"
	if _, err := b.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("demo"), PolicyArn: &arn}); err != nil {
		t.Fatal(err)
	}
	b.delete("example")
	got := b.stack("example")
	if got.StackStatus != types.StackStatusDeleteFailed || aws.ToString(got.StackStatusReason) != "The following resource(s) failed to delete: [Role]. " {
		t.Errorf("status %s, %s", got.StackStatus, aws.ToString(got.StackStatusReason))
	}
	if names := b.policyNames(); len(names) != 0 {
		t.Errorf("policies: %v", names)
	}
	if _, err := b.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("example"), RetainResources: []string{"Role"}}); err != nil {
		t.Fatal(err)
	}
	if got := b.stack(*st.StackId).StackStatus; got != types.StackStatusDeleteComplete {
		t.Errorf("status %s", got)
	}
	if _, err := b.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("demo")}); err != nil {
		t.Errorf("the retained role: %v", err)
	}
}

func TestTerminationProtection(t *testing.T) {
	b := newBench(t)
	b.create("example", "Resources: {A: "+role+"}")
	protect := func(on bool) {
		t.Helper()
		if _, err := b.cfn.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{StackName: aws.String("example"), EnableTerminationProtection: &on}); err != nil {
			t.Fatal(err)
		}
	}
	protect(true)
	_, err := b.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("example")})
	wantRefusal(t, err, "ValidationError: Stack [example] cannot be deleted while TerminationProtection is enabled")
	protect(false)
	b.delete("example")
}

// An update that is not rolled back stays where it failed, and the next one
// goes on from there.
func TestUpdateWithoutRollback(t *testing.T) {
	b := newBench(t)
	b.create("example", "Resources:\n  A: "+policy("a", "s3:GetObject"))
	half := strings.Replace(role, "Properties: {", `Properties: {RoleName: half, Policies: [{PolicyName: p, PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Permit}]}}], `, 1)
	_, err := b.cfn.UpdateStack(ctx, &cloudformation.UpdateStackInput{
		StackName: aws.String("example"), Capabilities: everyCapability, DisableRollback: aws.Bool(true),
		TemplateBody: aws.String("Resources:\n  A: " + policy("a", "s3:PutObject") + "\n  B: " + half + "\n  C: " + policy("c", "s3:GetObject")),
	})
	if err != nil {
		t.Fatal(err)
	}
	if st := b.stack("example"); st.StackStatus != types.StackStatusUpdateFailed {
		t.Errorf("status %s", st.StackStatus)
	}
	whole := strings.Replace(role, "Properties: {", "Properties: {RoleName: half, ", 1)
	st := b.update("example", "Resources:\n  A: "+policy("a", "s3:PutObject")+"\n  B: "+whole+"\n  C: "+policy("c", "s3:GetObject"))
	if st.StackStatus != types.StackStatusUpdateComplete {
		t.Errorf("status %s:\n%s", st.StackStatus, strings.Join(b.events("example"), "\n"))
	}
	if got := b.policyNames(); !cmp.Equal(got, []string{"a", "c"}) {
		t.Errorf("policies %v", got)
	}
	if _, err := b.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("half")}); err != nil {
		t.Error(err)
	}
	id := *st.StackId
	b.delete("example")
	if got := b.stack(id).StackStatus; got != types.StackStatusDeleteComplete {
		t.Errorf("status %s", got)
	}
}
