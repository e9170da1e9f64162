package services

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// What a state machine's maker needs: permission to create it and to pass the
// role, which must trust Step Functions for this state machine.
func TestCreateStateMachineIsAuthorised(t *testing.T) {
	allow := func(statements string) string { return `{"Version":"2012-10-17","Statement":[` + statements + `]}` }
	const create = `{"Effect":"Allow","Action":"states:CreateStateMachine","Resource":"arn:aws:states:us-east-1:111111111111:stateMachine:flow"}`
	const pass = `{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"states.amazonaws.com"}}}`
	for _, c := range []struct{ name, policy, trust, definition, want string }{
		{"all there is to it", allow(create + "," + pass), trustsStates, nothing, ""},
		{"not the action", allow(pass), trustsStates, nothing, "AccessDeniedException"},
		{"a role for this state machine", allow(create + "," + strings.Replace(pass, `"iam:PassedToService":"states.amazonaws.com"`, `"iam:AssociatedResourceArn":"arn:aws:states:us-east-1:111111111111:stateMachine:flow"`, 1)), trustsStates, nothing, ""},
		{"not the role", allow(create), trustsStates, nothing, "AccessDeniedException"},
		{"a role for another service", allow(create + "," + pass), trustsLambda, nothing, "AccessDeniedException"},
		{"a role for another state machine", allow(create + "," + pass), strings.Replace(trustsStates, "stateMachine:flow", "stateMachine:other", 1), nothing, "AccessDeniedException"},
		{"a role for another account's", allow(create + "," + pass), strings.Replace(trustsStates, `"aws:SourceAccount":"111111111111"`, `"aws:SourceAccount":"222222222222"`, 1), nothing, "AccessDeniedException"},
		{"a wrong definition", allow(create + "," + pass), trustsStates, `{"StartAt":"A","States":{"A":{"Type":"Pass"}}}`, "InvalidDefinition"},
		{"no JSON", allow(create + "," + pass), trustsStates, `{`, "InvalidDefinition"},
		{"JSONata", allow(create + "," + pass), trustsStates, `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}`, "NotImplemented"},
		{"an unknown service", allow(create + "," + pass), trustsStates, taskOf("aws-sdk:neptune:listThings", `{}`, "$"), "NotImplemented"},
		{"a task token", allow(create + "," + pass), trustsStates, taskOf("sqs:sendMessage.waitForTaskToken", `{}`, "$"), "NotImplemented"},
	} {
		t.Run(c.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			role := box.Account(owner).Role("flow", c.trust, nil)
			client := sfn.NewFromConfig(box.Account(owner).User("maker", c.policy), func(o *sfn.Options) { o.Retryer = aws.NopRetryer{} })
			_, err := client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("flow"), Definition: &c.definition, RoleArn: &role})
			wantCode(t, err, c.want)
		})
	}
}

// A role of another account cannot be given to a state machine, whatever both
// accounts allow.
func TestStateMachineHasRoleOfItsAccount(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	role := box.Account(friend).Role("flow", trustsStates, []string{allowAll})
	client := sfn.NewFromConfig(box.Account(owner).User("maker", allowAll), func(o *sfn.Options) { o.Retryer = aws.NopRetryer{} })
	definition := nothing
	_, err := client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("flow"), Definition: &definition, RoleArn: &role})
	wantCode(t, err, "AccessDeniedException")
	if err == nil || !strings.Contains(err.Error(), "Cross-account pass role is not allowed.") {
		t.Errorf("a role of another account: %v", err)
	}
	own := box.Account(owner).Role("flow", trustsStates, nil)
	if _, err := client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("flow"), Definition: &definition, RoleArn: &own}); err != nil {
		t.Fatal(err)
	}
	_, err = client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: aws.String("arn:aws:states:us-east-1:" + owner + ":stateMachine:flow"), RoleArn: &role})
	wantCode(t, err, "AccessDeniedException")
}

// Every operation asks for its own action on the state machine or execution, and
// accounts do not see each other's.
func TestStepFunctionsOperations(t *testing.T) {
	f := newFlow(t, types.StateMachineTypeStandard, "", `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":3600,"End":true}}}`)
	started, err := f.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &f.arn})
	if err != nil {
		t.Fatal(err)
	}
	execution := started.ExecutionArn
	noRetry := func(o *sfn.Options) { o.Retryer = aws.NopRetryer{} }
	for action, call := range map[string]func(*sfn.Client) error{
		"DescribeStateMachine": func(c *sfn.Client) error {
			_, err := c.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &f.arn})
			return err
		},
		"UpdateStateMachine": func(c *sfn.Client) error {
			_, err := c.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &f.arn, TracingConfiguration: &types.TracingConfiguration{Enabled: true}})
			return err
		},
		"TagResource": func(c *sfn.Client) error {
			_, err := c.TagResource(ctx, &sfn.TagResourceInput{ResourceArn: &f.arn, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}})
			return err
		},
		"UntagResource": func(c *sfn.Client) error {
			_, err := c.UntagResource(ctx, &sfn.UntagResourceInput{ResourceArn: &f.arn, TagKeys: []string{"none"}})
			return err
		},
		"ListTagsForResource": func(c *sfn.Client) error {
			_, err := c.ListTagsForResource(ctx, &sfn.ListTagsForResourceInput{ResourceArn: &f.arn})
			return err
		},
		"StartExecution": func(c *sfn.Client) error {
			_, err := c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &f.arn})
			return err
		},
		"ListExecutions": func(c *sfn.Client) error {
			_, err := c.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &f.arn})
			return err
		},
		"DescribeExecution": func(c *sfn.Client) error {
			_, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: execution})
			return err
		},
		"GetExecutionHistory": func(c *sfn.Client) error {
			_, err := c.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: execution})
			return err
		},
		"StopExecution": func(c *sfn.Client) error {
			_, err := c.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: execution})
			return err
		},
	} {
		resource := strings.Replace(f.arn, "stateMachine", "*", 1) + "*"
		may := f.box.Account(owner).User("may-"+action, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"states:%s","Resource":"%s"}}`, action, resource))
		not := f.box.Account(owner).User("not-"+action, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"states:%s","Resource":"*"}}`, action))
		stranger := f.box.Account(friend).User("stranger-"+action, allowAll)
		if err := call(sfn.NewFromConfig(may, noRetry)); err != nil {
			t.Errorf("%s: %v", action, err)
		}
		if got := code(t, call(sfn.NewFromConfig(not, noRetry))); got != "AccessDeniedException" {
			t.Errorf("%s without permission: %s", action, got)
		}
		if got := code(t, call(sfn.NewFromConfig(stranger, noRetry))); got == "" {
			t.Errorf("%s from another account works", action)
		}
	}
	if out := f.describe(execution); out.Status != types.ExecutionStatusAborted {
		t.Errorf("stopped: %s", out.Status)
	}
	list, err := f.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &f.arn, StatusFilter: types.ExecutionStatusRunning, MaxResults: 1})
	if err != nil || len(list.Executions) != 1 {
		t.Errorf("running: %v %v", list, err)
	}
	_, err = sfn.NewFromConfig(f.admin, noRetry).CreateActivity(ctx, &sfn.CreateActivityInput{Name: aws.String("a")})
	wantCode(t, err, "NotImplemented")
	check, err := f.client.ValidateStateMachineDefinition(ctx, &sfn.ValidateStateMachineDefinitionInput{Definition: aws.String(`{"States":{}}`)})
	if err != nil || check.Result != types.ValidateStateMachineDefinitionResultCodeFail || aws.ToString(check.Diagnostics[0].Message) != "These fields are required: [StartAt]" {
		t.Errorf("%+v %v", check, err)
	}
	for name, in := range map[string]*sfn.StartExecutionInput{
		"InvalidExecutionInput":    {StateMachineArn: &f.arn, Input: aws.String("{")},
		"InvalidName":              {StateMachineArn: &f.arn, Name: aws.String("a b")},
		"InvalidArn":               {StateMachineArn: aws.String("arn:aws:s3:::bucket")},
		"StateMachineDoesNotExist": {StateMachineArn: aws.String(f.arn + "s")},
		"ValidationException":      {StateMachineArn: &f.arn, Input: aws.String(`"` + strings.Repeat("x", 256<<10) + `"`)},
	} {
		_, err := f.client.StartExecution(ctx, in)
		wantCode(t, err, name)
	}
	_, err = f.client.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: &f.arn})
	wantCode(t, err, "StateMachineTypeNotSupported")

	// Executions end with their state machine.
	if _, err := f.client.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: &f.arn}); err != nil {
		t.Fatal(err)
	}
	if out := f.describe(list.Executions[0].ExecutionArn); out.Status != types.ExecutionStatusAborted {
		t.Errorf("after deletion: %s", out.Status)
	}
}

// A stack makes a state machine from text with substitutions or from an object,
// changes it, and deletes it.
func TestStateMachineStack(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := box.Account(owner).User("admin", allowAll)
	stacks, client := cloudformation.NewFromConfig(admin), sfn.NewFromConfig(admin)
	template := func(properties string) *string {
		return aws.String(`{"Resources":{
			"Role":{"Type":"AWS::IAM::Role","Properties":{"RoleName":"flow","AssumeRolePolicyDocument":` + trustsStates + `}},
			"Flow":{"Type":"AWS::StepFunctions::StateMachine","Properties":{"StateMachineName":"flow","StateMachineType":"EXPRESS","RoleArn":{"Fn::GetAtt":["Role","Arn"]},"Tags":[{"Key":"team","Value":"a"}],` + properties + `}}},
			"Outputs":{"Ref":{"Value":{"Ref":"Flow"}},"Arn":{"Value":{"Fn::GetAtt":["Flow","Arn"]}},"Name":{"Value":{"Fn::GetAtt":["Flow","Name"]}},"Revision":{"Value":{"Fn::GetAtt":["Flow","StateMachineRevisionId"]}}}}`)
	}
	outputs := func() map[string]string {
		t.Helper()
		out, err := stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("s")})
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for _, o := range out.Stacks[0].Outputs {
			values[*o.OutputKey] = *o.OutputValue
		}
		if status := out.Stacks[0].StackStatus; status != cftypes.StackStatusCreateComplete && status != cftypes.StackStatusUpdateComplete {
			t.Fatalf("%s %s", status, aws.ToString(out.Stacks[0].StackStatusReason))
		}
		return values
	}
	run := func() string {
		t.Helper()
		out, err := client.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: aws.String("arn:aws:states:us-east-1:111111111111:stateMachine:flow")})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(out.Output)
	}
	named := []cftypes.Capability{cftypes.CapabilityCapabilityNamedIam}
	first := template(`"DefinitionString":"{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",\"Result\":\"${what}\",\"End\":true}}}","DefinitionSubstitutions":{"what":"text"},"LoggingConfiguration":{"Level":"OFF","IncludeExecutionData":false}`)
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: first, Capabilities: named}); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:states:us-east-1:111111111111:stateMachine:flow"
	if diff := cmp.Diff(map[string]string{"Ref": arn, "Arn": arn, "Name": "flow", "Revision": "INITIAL"}, outputs()); diff != "" {
		t.Error(diff)
	}
	if got := run(); got != `"text"` {
		t.Errorf("ran: %s", got)
	}
	second := template(`"Definition":{"StartAt":"A","States":{"A":{"Type":"Pass","Result":{"n":1,"b":true},"End":true}}},"TracingConfiguration":{"Enabled":true}`)
	if _, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("s"), TemplateBody: second, Capabilities: named}); err != nil {
		t.Fatal(err)
	}
	if revision := outputs()["Revision"]; revision == "INITIAL" || revision == "" {
		t.Errorf("revision %s", revision)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(run()), &got); err != nil || got["n"] != 1.0 || got["b"] != true {
		t.Errorf("ran: %v %v", got, err)
	}
	shown, err := client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(arn)})
	if err != nil || !shown.TracingConfiguration.Enabled {
		t.Errorf("%+v %v", shown, err)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	_, err = client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(arn)})
	wantCode(t, err, "StateMachineDoesNotExist")
}
