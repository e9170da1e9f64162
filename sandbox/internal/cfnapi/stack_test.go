package cfnapi_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

// onboarding is a small onboarding template: a role that the vendor assumes
// with an external ID, permissions, and more permissions during setup.
const onboarding = `
AWSTemplateFormatVersion: "2010-09-09"
Description: Access for Example
Parameters:
  ExternalId: {Type: String, MinLength: 2, MaxLength: 1224, AllowedPattern: '[\w+=,.@:/-]+'}
  RoleName: {Type: String, Default: ExampleRole}
  SetupPhase: {Type: String, Default: "true", AllowedValues: ["true", "false"]}
Conditions:
  InSetup: !Equals [!Ref SetupPhase, "true"]
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: !Ref RoleName
      Path: /Example/
      MaxSessionDuration: 7200
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement:
          - Effect: Allow
            Principal: {AWS: !Sub "arn:${AWS::Partition}:iam::444455556666:root"}
            Action: sts:AssumeRole
            Condition: {StringEquals: {sts:ExternalId: !Ref ExternalId}}
      ManagedPolicyArns:
        - !Ref Ongoing
        - !If [InSetup, !Ref Setup, !Ref AWS::NoValue]
      Tags: [{Key: Owner, Value: Example}]
  Ongoing:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Action: "iam:ListRoles", Resource: "*"}]
  Setup:
    Type: AWS::IAM::ManagedPolicy
    Condition: InSetup
    Properties:
      PolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Action: "iam:ListUsers", Resource: "*"}]
Outputs:
  RoleArn: {Value: !GetAtt Role.Arn}
  NextSteps: {Condition: InSetup, Value: !Sub "Update ${AWS::StackName} with SetupPhase=false"}
`

func TestOnboardingStack(t *testing.T) {
	b := newBench(t)
	st := b.create("example", onboarding, "ExternalId=right-one")
	roleARN := "arn:aws:iam::111122223333:role/Example/ExampleRole"
	if got := output(st, "RoleArn"); got != roleARN {
		t.Errorf("RoleArn is %s, want %s", got, roleARN)
	}
	if got, want := output(st, "NextSteps"), "Update example with SetupPhase=false"; got != want {
		t.Errorf("NextSteps is %q, want %q", got, want)
	}

	// The vendor gets in with the external ID and only with it.
	vendorUser := b.Account(vendor).User("broker", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
	_, err := sts.NewFromConfig(vendorUser).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &roleARN, RoleSessionName: aws.String("probe")})
	wantRefusal(t, err, "AccessDenied")
	session := b.as(b.Assume(vendorUser, roleARN, func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("right-one") }))
	if _, err := session.iam.ListUsers(ctx, &iam.ListUsersInput{}); err != nil {
		t.Errorf("during setup: %v", err)
	}

	// The setup is over: the same template, one parameter, the others kept.
	before := len(b.events("example"))
	st = b.update("example", "", "ExternalId", "RoleName", "SetupPhase=false")
	if st.StackStatus != types.StackStatusUpdateComplete || output(st, "NextSteps") != "" {
		t.Errorf("after the update: %s, NextSteps %q", st.StackStatus, output(st, "NextSteps"))
	}
	want := []string{
		"example UPDATE_IN_PROGRESS (User Initiated)",
		"Role UPDATE_IN_PROGRESS",
		"Role UPDATE_COMPLETE",
		"example UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
		"Setup DELETE_IN_PROGRESS",
		"Setup DELETE_COMPLETE",
		"example UPDATE_COMPLETE",
	}
	if diff := cmp.Diff(want, b.eventsSince("example", before)); diff != "" {
		t.Errorf("events of the update (-want +got):\n%s", diff)
	}
	_, err = session.iam.ListUsers(ctx, &iam.ListUsersInput{})
	wantRefusal(t, err, "AccessDenied")
	if _, err := session.iam.ListRoles(ctx, &iam.ListRolesInput{}); err != nil {
		t.Errorf("after setup: %v", err)
	}

	// Without UsePreviousValue the external ID, which has no default, is
	// missing, and the setup phase is back at its default.
	wantRefusal(t, b.tryUpdate("example", ""), "ValidationError: Parameters: [ExternalId] must have values")
	wantRefusal(t, b.tryUpdate("example", "", "ExternalId", "RoleName", "SetupPhase"), "ValidationError: No updates are to be performed.")

	// Offboarding.
	id := *st.StackId
	b.delete("example")
	if got := b.stack(id).StackStatus; got != types.StackStatusDeleteComplete {
		t.Errorf("after deletion the stack is %s", got)
	}
	_, err = b.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("example")})
	wantRefusal(t, err, "ValidationError: Stack with id example does not exist")
	_, err = b.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("ExampleRole")})
	wantRefusal(t, err, "NoSuchEntity")
}

func TestEventsOfCreation(t *testing.T) {
	b := newBench(t)
	b.create("example", onboarding, "ExternalId=right-one")
	want := []string{
		"example CREATE_IN_PROGRESS (User Initiated)",
		"Ongoing CREATE_IN_PROGRESS",
		"Ongoing CREATE_IN_PROGRESS (Resource creation Initiated)",
		"Ongoing CREATE_COMPLETE",
		"Setup CREATE_IN_PROGRESS",
		"Setup CREATE_IN_PROGRESS (Resource creation Initiated)",
		"Setup CREATE_COMPLETE",
		"Role CREATE_IN_PROGRESS",
		"Role CREATE_IN_PROGRESS (Resource creation Initiated)",
		"Role CREATE_COMPLETE",
		"example CREATE_COMPLETE",
	}
	if diff := cmp.Diff(want, b.events("example")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestTagsReachResources(t *testing.T) {
	b := newBench(t)
	name := "example"
	_, err := b.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: aws.String(onboarding), Parameters: parameters("ExternalId=right-one"), Capabilities: everyCapability,
		Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("platform")}, {Key: aws.String("Owner"), Value: aws.String("overridden")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tags := func() map[string]string {
		role, err := b.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("ExampleRole")})
		if err != nil {
			t.Fatal(err)
		}
		m := make(map[string]string)
		for _, tag := range role.Role.Tags {
			m[*tag.Key] = *tag.Value
		}
		return m
	}
	want := map[string]string{"Owner": "Example", "Team": "platform"}
	if diff := cmp.Diff(want, tags()); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}

	_, err = b.cfn.UpdateStack(ctx, &cloudformation.UpdateStackInput{
		StackName: &name, UsePreviousTemplate: aws.Bool(true), Parameters: parameters("ExternalId"), Capabilities: everyCapability,
		Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("security")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want["Team"] = "security"
	if diff := cmp.Diff(want, tags()); diff != "" {
		t.Errorf("tags after the update (-want +got):\n%s", diff)
	}
}
