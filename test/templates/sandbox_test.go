package templates

import (
	"bytes"
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// In the sandbox a stack lives as it would in AWS: it is created, its external
// ID is changed in two updates, its setup phase ends, and it is deleted.
func TestSandbox(t *testing.T) {
	for _, v := range grid() {
		t.Run(v.name, func(t *testing.T) {
			if v.config.DefaultRegion != "" {
				t.Skip("the sandbox's accounts are in the partition aws")
			}
			config := sandboxtest.New(t, vendorAccount, customerAccount).Account(customerAccount).Config()
			if name, ok := strings.CutPrefix(v.boundary, "arn:aws:iam::"+customerAccount+":policy/boundaries/"); ok {
				createBoundary(t, config, name)
			}
			client := cloudformation.NewFromConfig(config)
			stack := aws.String("stack")
			capabilities := []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam}
			_, err := client.CreateStack(t.Context(), &cloudformation.CreateStackInput{
				StackName: stack, Capabilities: capabilities,
				TemplateURL: upload(t, config, v.write(t, crossaccount.FormatCloudFormation)),
				Parameters:  []cfntypes.Parameter{{ParameterKey: aws.String("ExternalId"), ParameterValue: aws.String(externalID)}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := cloudformation.NewStackCreateCompleteWaiter(client).Wait(t.Context(), &cloudformation.DescribeStacksInput{StackName: stack}, waiting); err != nil {
				t.Fatal(err)
			}
			update := func(changed string, value string) {
				t.Helper()
				in := &cloudformation.UpdateStackInput{StackName: stack, Capabilities: capabilities, UsePreviousTemplate: aws.Bool(true)}
				for _, name := range []string{"ExternalId", "PreviousExternalId", "RoleName", "SetupPhase"} {
					p := cfntypes.Parameter{ParameterKey: aws.String(name), UsePreviousValue: aws.Bool(true)}
					if name == changed {
						p = cfntypes.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)}
					}
					in.Parameters = append(in.Parameters, p)
				}
				if _, err := client.UpdateStack(t.Context(), in); err != nil {
					t.Fatal(err)
				}
				if err := cloudformation.NewStackUpdateCompleteWaiter(client).Wait(t.Context(), &cloudformation.DescribeStacksInput{StackName: stack}, waiting); err != nil {
					t.Fatal(err)
				}
			}
			setup := len(v.config.SetupPermissions) > 0
			v.check(t, stackNow(t, config), "", setup)
			update("PreviousExternalId", "acme-previous")
			v.check(t, stackNow(t, config), "acme-previous", setup)
			if setup {
				update("SetupPhase", "false")
				v.check(t, stackNow(t, config), "acme-previous", false)
			}
			update("PreviousExternalId", "")
			v.check(t, stackNow(t, config), "", false)

			if _, err := client.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: stack}); err != nil {
				t.Fatal(err)
			}
			if err := cloudformation.NewStackDeleteCompleteWaiter(client).Wait(t.Context(), &cloudformation.DescribeStacksInput{StackName: stack}, waiting); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, config)
		})
	}
}

// upload puts a template where CloudFormation can read it, and returns its URL.
func upload(t *testing.T, config aws.Config, body []byte) *string {
	t.Helper()
	client := s3.NewFromConfig(config)
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("acme-templates")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("acme-templates"), Key: aws.String("stack.json"), Body: bytes.NewReader(body),
	}); err != nil {
		t.Fatal(err)
	}
	return aws.String("https://acme-templates.s3.us-east-1.amazonaws.com/stack.json")
}

func createBoundary(t *testing.T, config aws.Config, name string) {
	t.Helper()
	_, err := awsiam.NewFromConfig(config).CreatePolicy(t.Context(), &awsiam.CreatePolicyInput{
		PolicyName: &name, Path: aws.String("/boundaries/"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stackNow reads the account as accountNow does, with the stack's outputs.
func stackNow(t *testing.T, config aws.Config) account {
	t.Helper()
	out, err := cloudformation.NewFromConfig(config).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("stack")})
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		outputs[*o.OutputKey] = *o.OutputValue
	}
	found := accountNow(t, config, outputs["RoleArn"])
	found.Outputs = outputs
	return found
}

// accountNow reads a role and its policies.
func accountNow(t *testing.T, config aws.Config, roleARN string) account {
	t.Helper()
	ctx, client := context.Background(), awsiam.NewFromConfig(config)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(document *string) string {
		t.Helper()
		decoded, err := url.QueryUnescape(strings.ReplaceAll(aws.ToString(document), "+", "%2B"))
		must(err)
		return decoded
	}
	name := aws.String(roleARN[strings.LastIndexByte(roleARN, '/')+1:])
	var found account
	role, err := client.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name})
	must(err)
	found.Role.ARN, found.Role.Name, found.Role.Path = *role.Role.Arn, *role.Role.RoleName, *role.Role.Path
	found.Role.MaxSessionDuration = int(aws.ToInt32(role.Role.MaxSessionDuration))
	found.Role.Trust = text(role.Role.AssumeRolePolicyDocument)
	if b := role.Role.PermissionsBoundary; b != nil {
		found.Role.Boundary = *b.PermissionsBoundaryArn
	}
	found.Role.Tags, found.Role.Inline, found.Attached = map[string]string{}, map[string]string{}, map[string]string{}
	for _, tag := range role.Role.Tags {
		if !strings.HasPrefix(*tag.Key, "aws:") { // CloudFormation's own
			found.Role.Tags[*tag.Key] = *tag.Value
		}
	}
	inline, err := client.ListRolePolicies(ctx, &awsiam.ListRolePoliciesInput{RoleName: name})
	must(err)
	for _, p := range inline.PolicyNames {
		policy, err := client.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: name, PolicyName: &p})
		must(err)
		found.Role.Inline[p] = text(policy.PolicyDocument)
	}
	attached, err := client.ListAttachedRolePolicies(ctx, &awsiam.ListAttachedRolePoliciesInput{RoleName: name})
	must(err)
	for _, p := range attached.AttachedPolicies {
		policy, err := client.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: p.PolicyArn})
		must(err)
		version, err := client.GetPolicyVersion(ctx, &awsiam.GetPolicyVersionInput{PolicyArn: p.PolicyArn, VersionId: policy.Policy.DefaultVersionId})
		must(err)
		found.Attached[*p.PolicyArn] = text(version.PolicyVersion.Document)
	}
	return found
}

// nothingLeft fails if the account still has a role, or a policy other than a
// boundary.
func nothingLeft(t *testing.T, config aws.Config) {
	t.Helper()
	client := awsiam.NewFromConfig(config)
	roles, err := client.ListRoles(t.Context(), &awsiam.ListRolesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles.Roles {
		t.Errorf("the role %s is left", *r.Arn)
	}
	policies, err := client.ListPolicies(t.Context(), &awsiam.ListPoliciesInput{Scope: "Local"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies.Policies {
		if *p.Path != "/boundaries/" {
			t.Errorf("the policy %s is left", *p.Arn)
		}
	}
}
