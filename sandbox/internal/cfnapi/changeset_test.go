package cfnapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/google/go-cmp/cmp"
)

func (b *bench) changeSet(stack, name string, kind types.ChangeSetType, template string, pairs ...string) (*cloudformation.DescribeChangeSetOutput, error) {
	b.t.Helper()
	in := &cloudformation.CreateChangeSetInput{
		StackName: &stack, ChangeSetName: &name, ChangeSetType: kind, Parameters: parameters(pairs...), Capabilities: everyCapability,
	}
	if template == "" {
		in.UsePreviousTemplate = aws.Bool(true)
	} else {
		in.TemplateBody = &template
	}
	made, err := b.cfn.CreateChangeSet(ctx, in)
	if err != nil {
		return nil, err
	}
	return b.cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: made.Id})
}

// changes returns what a change set would do, a line per resource.
func changes(out *cloudformation.DescribeChangeSetOutput) []string {
	var lines []string
	for _, c := range out.Changes {
		r := c.ResourceChange
		line := string(r.Action) + " " + *r.LogicalResourceId
		if r.Replacement != "" {
			line += " replacement=" + string(r.Replacement)
		}
		for _, d := range r.Details {
			line += " " + string(d.Target.Attribute) + "/" + aws.ToString(d.Target.Name) + "=" + string(d.Target.RequiresRecreation)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestChangeSets(t *testing.T) {
	b := newBench(t)
	out, err := b.changeSet("example", "first", types.ChangeSetTypeCreate, onboarding, "ExternalId=right-one")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Add Ongoing", "Add Setup", "Add Role"}, changes(out)); diff != "" {
		t.Errorf("creation (-want +got):\n%s", diff)
	}
	if got := b.stack("example").StackStatus; got != types.StackStatusReviewInProgress {
		t.Errorf("before execution the stack is %s", got)
	}
	execute := func(name string) error {
		_, err := b.cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{StackName: aws.String("example"), ChangeSetName: &name})
		return err
	}
	if err := execute("first"); err != nil {
		t.Fatal(err)
	}
	waiter := cloudformation.NewStackCreateCompleteWaiter(b.cfn, fastCreate)
	if err := waiter.Wait(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("example")}, time.Second); err != nil {
		t.Fatal(err)
	}

	// Nothing to change, as the aws CLI's deploy command reads it.
	out, err = b.changeSet("example", "nothing", types.ChangeSetTypeUpdate, "", "ExternalId", "RoleName", "SetupPhase")
	if err != nil || out.Status != types.ChangeSetStatusFailed || out.ExecutionStatus != types.ExecutionStatusUnavailable ||
		!strings.HasPrefix(*out.StatusReason, "The submitted information didn't contain changes.") {
		t.Errorf("a change set without changes: %s, %s, %s (%v)", out.Status, out.ExecutionStatus, aws.ToString(out.StatusReason), err)
	}
	wantRefusal(t, execute("nothing"), "InvalidChangeSetStatus: ", "execution status of [UNAVAILABLE] and status of [FAILED]")

	out, err = b.changeSet("example", "rename", types.ChangeSetTypeUpdate, strings.ReplaceAll(onboarding, "iam:ListRoles", "iam:GetRole"), "ExternalId=other-one", "RoleName=Renamed", "SetupPhase=false")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Modify Ongoing replacement=False Properties/PolicyDocument=Never",
		"Modify Role replacement=True Properties/AssumeRolePolicyDocument=Never Properties/ManagedPolicyArns=Never Properties/RoleName=Always",
		"Remove Setup",
	}
	if diff := cmp.Diff(want, changes(out)); diff != "" {
		t.Errorf("update (-want +got):\n%s", diff)
	}
	_, err = b.changeSet("example", "rename", types.ChangeSetTypeUpdate, "", "ExternalId", "RoleName", "SetupPhase")
	wantRefusal(t, err, "AlreadyExistsException: ChangeSet rename already exists")
	list, err := b.cfn.ListChangeSets(ctx, &cloudformation.ListChangeSetsInput{StackName: aws.String("example")})
	if err != nil || len(list.Summaries) != 2 {
		t.Errorf("ListChangeSets: %+v, %v", list, err)
	}
	if err := execute("rename"); err != nil {
		t.Fatal(err)
	}
	st := b.stack("example")
	if st.StackStatus != types.StackStatusUpdateComplete || output(st, "RoleArn") != "arn:aws:iam::111122223333:role/Example/Renamed" {
		t.Errorf("after the execution: %s, %s", st.StackStatus, output(st, "RoleArn"))
	}
	wantRefusal(t, execute("rename"), "ChangeSetNotFound: ChangeSet [rename] does not exist")
	_, err = b.cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{StackName: aws.String("example"), ChangeSetName: aws.String("nothing")})
	wantRefusal(t, err, "ChangeSetNotFound")

	_, err = b.changeSet("nobody", "x", types.ChangeSetTypeUpdate, "", "ExternalId")
	wantRefusal(t, err, "ValidationError: ", "nobody")
	_, err = b.changeSet("example", "again", types.ChangeSetTypeCreate, onboarding, "ExternalId=right-one")
	wantRefusal(t, err, "ValidationError: Stack [example] already exists and cannot be created again with the changeSet [again].")
	_, err = b.changeSet("example", "import", types.ChangeSetTypeImport, onboarding, "ExternalId=right-one")
	wantRefusal(t, err, "NotImplemented")
}

// A change set is of no use once the stack has changed otherwise.
func TestObsoleteChangeSets(t *testing.T) {
	b := newBench(t)
	b.create("example", onboarding, "ExternalId=right-one")
	if _, err := b.changeSet("example", "over", types.ChangeSetTypeUpdate, "", "ExternalId", "RoleName", "SetupPhase=false"); err != nil {
		t.Fatal(err)
	}
	b.update("example", "", "ExternalId=other-one", "RoleName", "SetupPhase")
	_, err := b.cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{StackName: aws.String("example"), ChangeSetName: aws.String("over")})
	wantRefusal(t, err, "InvalidChangeSetStatus: ", "[OBSOLETE]")
}

const exporting = `
Resources:
  Policy: {Type: AWS::IAM::ManagedPolicy, Properties: {ManagedPolicyName: shared, PolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}}}
Outputs:
  Arn: {Value: !Ref Policy, Export: {Name: !Sub "${AWS::Region}-shared-policy"}}
`

const importing = `
Parameters: {Prefix: {Type: String, Default: us-east-1}}
Resources:
  Role: {Type: AWS::IAM::Role, Properties: {ManagedPolicyArns: ["Fn::ImportValue": !Sub "${Prefix}-shared-policy"], AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {AWS: "444455556666"}, Action: sts:AssumeRole}]}}}
`

func TestExports(t *testing.T) {
	b := newBench(t)
	b.create("exporter", exporting)
	b.create("importer", importing)
	exports, err := b.cfn.ListExports(ctx, &cloudformation.ListExportsInput{})
	if err != nil || len(exports.Exports) != 1 || *exports.Exports[0].Name != "us-east-1-shared-policy" || *exports.Exports[0].Value != "arn:aws:iam::111122223333:policy/shared" {
		t.Errorf("ListExports: %+v, %v", exports, err)
	}
	imports, err := b.cfn.ListImports(ctx, &cloudformation.ListImportsInput{ExportName: aws.String("us-east-1-shared-policy")})
	if err != nil || !cmp.Equal(imports.Imports, []string{"importer"}) {
		t.Errorf("ListImports: %+v, %v", imports, err)
	}

	// An export in use cannot go away: the deletion is called off, an update
	// rolled back.
	b.delete("exporter")
	st := b.stack("exporter")
	if st.StackStatus != types.StackStatusCreateComplete || aws.ToString(st.StackStatusReason) != "Export us-east-1-shared-policy cannot be deleted as it is in use by importer" {
		t.Errorf("after DeleteStack: %s, %s", st.StackStatus, aws.ToString(st.StackStatusReason))
	}
	st = b.update("exporter", exporting[:strings.Index(exporting, "Outputs:")])
	if st.StackStatus != types.StackStatusUpdateRollbackComplete {
		t.Errorf("after the update: %s", st.StackStatus)
	}

	// A name is exported once per account and region.
	if err := b.tryCreate("second", strings.Replace(exporting, "ManagedPolicyName: shared", "ManagedPolicyName: other", 1)); err != nil {
		t.Fatal(err)
	}
	if st := b.stack("second"); st.StackStatus != types.StackStatusRollbackComplete {
		t.Errorf("the second exporter is %s", st.StackStatus)
	}
	if history := strings.Join(b.events("second"), "\n"); !strings.Contains(history, "Export with name us-east-1-shared-policy is already exported by stack exporter.") {
		t.Errorf("events:\n%s", history)
	}
	other := b.as(b.Account(vendor).Config())
	other.create("exporter", exporting)

	b.delete("importer")
	b.delete("exporter")
	if names := b.policyNames(); len(names) != 0 {
		t.Errorf("policies left: %v", names)
	}
}
