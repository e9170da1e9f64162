package cfnapi_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// FuzzCreateStack makes stacks of anything: whatever the template, the request
// is refused for a reason or the stack comes to an end, and can be deleted. Run
// it with -fuzzminimizetime=1x: the SDK covers code by chance, so inputs do not
// become smaller.
func FuzzCreateStack(f *testing.F) {
	for _, seed := range []string{
		onboarding, exporting, importing,
		"Resources:\n  A: " + role + "\n  B: " + policy("b", "s3:GetObject"),
		`{"Resources": {"K": {"Type": "AWS::IAM::AccessKey", "Properties": {"UserName": {"Ref": "U"}, "Status": "Inactive"}}, "U": {"Type": "AWS::IAM::User", "Properties": {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"], "Policies": [{"PolicyName": "p", "PolicyDocument": "{}"}]}}}}`,
		"Resources: {B: {Type: AWS::S3::Bucket, Properties: {VersioningConfiguration: {Status: Enabled}}}, P: {Type: AWS::S3::BucketPolicy, Properties: {Bucket: !Ref B, PolicyDocument: {}}}}",
		"Parameters: {P: {Type: List<Number>, Default: '1,2', MinValue: 1}}\nResources: {R: {Type: AWS::IAM::Role, Properties: {RoleName: !Select [0, !Ref P], Tags: [{Key: a}]}}}\nOutputs: {O: {Value: !Join [a, !Ref P]}}",
		"Resources: {R: {Type: AWS::IAM::Policy, DeletionPolicy: Retain, Properties: {PolicyName: !Sub '${AWS::StackName}', PolicyDocument: {}, Roles: [!Select [1, !Split [/, !GetAtt Q.Arn]]]}}, Q: " + role + "}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, template string) {
		box := sandboxtest.New(t, customer)
		b := (&bench{Sandbox: box, t: t}).as(box.Account(customer).Config())
		name := "fuzzed"
		out, err := b.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
			StackName: &name, TemplateBody: &template, Capabilities: everyCapability,
		})
		if err != nil {
			var api smithy.APIError
			if errors.As(err, &api) && api.ErrorFault() == smithy.FaultServer {
				t.Fatal(err)
			}
			return
		}
		if status := string(b.stack(*out.StackId).StackStatus); strings.HasSuffix(status, "IN_PROGRESS") {
			t.Fatalf("the stack is %s for ever", status)
		}
		for _, e := range b.events(*out.StackId) {
			if strings.Contains(e, "unknown error, exception or failure") {
				t.Fatalf("a fault of the sandbox: %s", e)
			}
		}
		b.delete(*out.StackId)
		if status := string(b.stack(*out.StackId).StackStatus); strings.HasSuffix(status, "IN_PROGRESS") {
			t.Fatalf("the deleted stack is %s for ever", status)
		}
	})
}
