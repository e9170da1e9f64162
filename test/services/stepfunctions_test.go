package services

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const trustsStates = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"111111111111"},"ArnLike":{"aws:SourceArn":"arn:aws:states:us-east-1:111111111111:stateMachine:flow"}}}}`

// A flow is a state machine named flow of the owner, with a role that may do
// what a policy says.
type flow struct {
	t      *testing.T
	box    *sandboxtest.Sandbox
	admin  aws.Config
	client *sfn.Client
	role   string
	arn    string
}

func newFlow(t *testing.T, kind types.StateMachineType, policy, definition string) *flow {
	t.Helper()
	f := &flow{t: t, box: sandboxtest.New(t, owner, friend)}
	f.admin = f.box.Account(owner).User("admin", allowAll)
	f.client = sfn.NewFromConfig(f.admin)
	var policies []string
	if policy != "" {
		policies = append(policies, policy)
	}
	f.role = f.box.Account(owner).Role("flow", trustsStates, policies)
	out, err := f.client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("flow"), Definition: &definition, RoleArn: &f.role, Type: kind})
	if err != nil {
		t.Fatal(err)
	}
	f.arn = *out.StateMachineArn
	return f
}

// start runs the state machine to its end.
func (f *flow) start(input string) *sfn.DescribeExecutionOutput {
	f.t.Helper()
	started, err := f.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &f.arn, Input: &input})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.describe(started.ExecutionArn)
}

func (f *flow) describe(arn *string) *sfn.DescribeExecutionOutput {
	f.t.Helper()
	out, err := f.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: arn})
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// events returns the history: types of events, and their details as JSON.
func (f *flow) events(arn *string, data bool) (names []string, text string) {
	f.t.Helper()
	pages := sfn.NewGetExecutionHistoryPaginator(f.client, &sfn.GetExecutionHistoryInput{ExecutionArn: arn, IncludeExecutionData: &data, MaxResults: 3})
	var b strings.Builder
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range out.Events {
			names = append(names, string(e.Type))
		}
		detail, err := json.Marshal(out.Events)
		if err != nil {
			f.t.Fatal(err)
		}
		b.Write(detail)
	}
	return names, b.String()
}

const readsParameter = `{"StartAt":"Read","States":{"Read":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:ssm:getParameter",
	"Parameters":{"Name":"/config"},"ResultSelector":{"text.$":"$.Parameter.Value","version.$":"$.Parameter.Version"},"End":true}}}`

// A task has the permissions of the execution role, and an execution's history
// tells what happened as AWS does.
func TestTaskHasTheRolesPermissions(t *testing.T) {
	const mayRead = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"arn:aws:ssm:us-east-1:111111111111:parameter/config"}}`
	f := newFlow(t, types.StateMachineTypeStandard, mayRead, readsParameter)
	if _, err := ssm.NewFromConfig(f.admin).PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String("/config"), Value: aws.String("hello"), Type: ssmtypes.ParameterTypeString}); err != nil {
		t.Fatal(err)
	}
	out := f.start(`{}`)
	if out.Status != types.ExecutionStatusSucceeded || aws.ToString(out.Output) != `{"text":"hello","version":1}` {
		t.Fatalf("%s %s %s %s", out.Status, aws.ToString(out.Output), aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	names, text := f.events(out.ExecutionArn, true)
	want := []string{"ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
	if !strings.Contains(text, "hello") || !strings.Contains(text, "aws-sdk:ssm") {
		t.Errorf("the history lacks data: %s", text)
	}
	if _, text := f.events(out.ExecutionArn, false); strings.Contains(text, "hello") {
		t.Errorf("the history shows data that nobody asked for: %s", text)
	}

	g := newFlow(t, types.StateMachineTypeStandard, "", readsParameter)
	out = g.start(`{}`)
	if aws.ToString(out.Error) != "Ssm.SsmException" || !strings.Contains(aws.ToString(out.Cause), "is not authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:us-east-1:111111111111:parameter/config") {
		t.Errorf("without permission: %s %s", aws.ToString(out.Error), aws.ToString(out.Cause))
	}
}

// Waiting takes time, and nothing but time: in the bubble it is over at once.
func TestWaitAndRetryTakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(t, types.StateMachineTypeStandard, "", `{"StartAt":"Wait","States":{
			"Wait":{"Type":"Wait","Seconds":90,"Next":"Read"},
			"Read":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:ssm:getParameter","Parameters":{"Name":"/config"},
				"Retry":[{"ErrorEquals":["Ssm.SsmException"],"IntervalSeconds":10,"BackoffRate":3,"MaxAttempts":2}],
				"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.error","Next":"Caught"}],"End":true},
			"Caught":{"Type":"Pass","Parameters":{"error.$":"$.error.Error","name.$":"$$.Execution.Name"},"End":true}}}`)
		started, err := f.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &f.arn, Name: aws.String("one"), Input: aws.String(`{"a":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		arn := started.ExecutionArn
		for _, step := range []struct {
			after time.Duration
			want  types.ExecutionStatus
		}{{89 * time.Second, types.ExecutionStatusRunning}, {40 * time.Second, types.ExecutionStatusRunning}, {2 * time.Second, types.ExecutionStatusSucceeded}} {
			time.Sleep(step.after)
			if out := f.describe(arn); out.Status != step.want {
				t.Fatalf("after %s more: %s %s", step.after, out.Status, aws.ToString(out.Cause))
			}
		}
		out := f.describe(arn)
		if *out.Output != `{"error":"Ssm.SsmException","name":"one"}` || out.StopDate.Sub(*out.StartDate) != 130*time.Second {
			t.Errorf("%s after %s", *out.Output, out.StopDate.Sub(*out.StartDate))
		}
		// The same name again, with the same input and with another.
		_, err = f.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &f.arn, Name: aws.String("one"), Input: aws.String(`{"a":2}`)})
		wantCode(t, err, "ExecutionAlreadyExists")
	})
}

// An execution uses a session of its role for half an hour and then needs another,
// for which the role must still trust Step Functions.
func TestExecutionAssumesItsRoleAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := func(next string) string {
			return `{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:sts:getCallerIdentity","Parameters":{},` + next + `}`
		}
		wait := func(next string) string { return `{"Type":"Wait","Seconds":1200,"Next":"` + next + `"}` }
		f := newFlow(t, types.StateMachineTypeStandard, allowAll, `{"StartAt":"First","States":{
			"First":`+task(`"Next":"Wait"`)+`,"Wait":`+wait("Second")+`,"Second":`+task(`"Next":"WaitAgain"`)+`,"WaitAgain":`+wait("Third")+`,"Third":`+task(`"End":true`)+`}}`)
		started, err := f.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &f.arn})
		if err != nil {
			t.Fatal(err)
		}
		untrusting := strings.Replace(trustsStates, "states.amazonaws.com", "ec2.amazonaws.com", 1)
		if _, err := iam.NewFromConfig(f.admin).UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("flow"), PolicyDocument: &untrusting}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []types.ExecutionStatus{types.ExecutionStatusRunning, types.ExecutionStatusFailed} {
			time.Sleep(21 * time.Minute)
			if out := f.describe(started.ExecutionArn); out.Status != want {
				t.Fatalf("%s %s, want %s", out.Status, aws.ToString(out.Cause), want)
			}
		}
		out := f.describe(started.ExecutionArn)
		if *out.Error != "States.TaskFailed" || !strings.Contains(*out.Cause, "is authorized to assume the provided role") {
			t.Errorf("%s: %s", *out.Error, *out.Cause)
		}
	})
}
