package services

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/crossaccount/crossaccount/sandbox"
)

// prepare makes what the tasks of the tests use: a table, a queue, a topic, a
// secret and a function.
func (f *flow) prepare() (queueURL string) {
	f.t.Helper()
	if _, err := dynamodb.NewFromConfig(f.admin).CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String("cache"), BillingMode: dynamotypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamotypes.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: dynamotypes.ScalarAttributeTypeS}},
		KeySchema:            []dynamotypes.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: dynamotypes.KeyTypeHash}},
	}); err != nil {
		f.t.Fatal(err)
	}
	queue, err := sqs.NewFromConfig(f.admin).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("jobs")})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := sns.NewFromConfig(f.admin).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("news")}); err != nil {
		f.t.Fatal(err)
	}
	if _, err := secretsmanager.NewFromConfig(f.admin).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("db"), SecretString: aws.String("hidden")}); err != nil {
		f.t.Fatal(err)
	}
	newFunction(f.t, f.admin, f.box.Account(owner).Role("runs", trustsLambda, nil), "sandbox.echo")
	return *queue.QueueUrl
}

// taskOf is a definition of one task whose output is a path of its result.
func taskOf(resource, parameters, output string) string {
	return fmt.Sprintf(`{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::%s","Parameters":%s,"OutputPath":"%s","End":true}}}`, resource, parameters, output)
}

// redefine changes the definition and runs it: the output, or error and cause.
func (f *flow) redefine(definition, input string) string {
	f.t.Helper()
	if _, err := f.client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &f.arn, Definition: &definition}); err != nil {
		f.t.Fatal(err)
	}
	out := f.start(input)
	if out.Status != types.ExecutionStatusSucceeded {
		return aws.ToString(out.Error) + ": " + aws.ToString(out.Cause)
	}
	return *out.Output
}

const nothing = `{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}`

// Each case is: the resource, its parameters, what is looked at, and how the
// output, or the error with its cause, begins. First with all permissions.
func TestIntegrations(t *testing.T) {
	f := newFlow(t, types.StateMachineTypeStandard, allowAll, nothing)
	url := f.prepare()
	f.box.RegisterFunction("fails", func(context.Context, sandbox.Invocation) ([]byte, error) { return nil, fmt.Errorf("told to") })
	for _, c := range [][4]string{
		{"aws-sdk:sts:getCallerIdentity", `{}`, "$.Account", `"111111111111"`},
		{"dynamodb:putItem", `{"TableName":"cache","Item":{"id":{"S":"a"},"n":{"N.$":"States.Format('{}', $.n)"}}}`, "$.SdkHttpMetadata.HttpStatusCode", `200`},
		{"aws-sdk:dynamodb:getItem", `{"TableName":"cache","Key":{"id":{"S":"a"}}}`, "$", `{"Item":{"id":{"S":"a"},"n":{"N":"7"}}}`},
		{"dynamodb:updateItem", `{"TableName":"cache","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"8"}},"ReturnValues":"ALL_NEW"}`, "$.Attributes.n", `{"N":"8"}`},
		{"dynamodb:putItem", `{"TableName":"cache","Item":{"id":{"S":"a"}},"ConditionExpression":"attribute_not_exists(id)"}`, "$", `DynamoDB.ConditionalCheckFailedException: `},
		{"dynamodb:getItem", `{"TableName":"none","Key":{"id":{"S":"a"}}}`, "$", `DynamoDB.ResourceNotFoundException: `},
		{"aws-sdk:dynamodb:getItem", `{"TableName":"none","Key":{"id":{"S":"a"}}}`, "$", `DynamoDb.ResourceNotFoundException: `},
		{"aws-sdk:dynamodb:describeTable", `{"TableName":"cache"}`, "$.Table.CreationDateTime", `"20`},
		{"aws-sdk:secretsmanager:getSecretValue", `{"SecretId":"db"}`, "$.SecretString", `"hidden"`},
		{"aws-sdk:secretsmanager:getSecretValue", `{"SecretId":"none"}`, "$", `SecretsManager.ResourceNotFoundException: `},
		{"aws-sdk:ssm:getParameter", `{"Name":"none"}`, "$", `Ssm.ParameterNotFoundException: `},
		{"aws-sdk:ssm:getParameter", `{"name":"none"}`, "$", `States.Runtime: The field 'name' is not supported by Step Functions`},
		{"sqs:sendMessage", `{"QueueUrl":"` + url + `","MessageBody.$":"States.JsonToString($)"}`, "$.MD5OfMessageBody", `"`},
		{"aws-sdk:sqs:receiveMessage", `{"QueueUrl":"` + url + `"}`, "$.Messages[0].Body", `"{\"n\":7}"`},
		{"sns:publish", `{"TopicArn":"arn:aws:sns:us-east-1:111111111111:news","Message":{"n":1}}`, "$.MessageId", `"`},
		{"aws-sdk:sns:publish", `{"TopicArn":"arn:aws:sns:us-east-1:111111111111:none","Message":"x"}`, "$", `Sns.NotFoundException: `},
		{"events:putEvents", `{"Entries":[{"Source":"app","DetailType":"x","Detail":"{}"}]}`, "$.FailedEntryCount", `0`},
		{"lambda:invoke", `{"FunctionName":"handle","Payload.$":"$"}`, "$.Payload", `{"n":7}`},
		{"aws-sdk:lambda:invoke", `{"FunctionName":"handle","Payload.$":"States.JsonToString($)"}`, "$.Payload", `"{\"n\":7}"`},
		{"lambda:invoke", `{"FunctionName":"none","Payload":{}}`, "$", `Lambda.ResourceNotFoundException: `},
		{"aws-sdk:sfn:describeStateMachine", `{"StateMachineArn":"` + f.arn + `"}`, "$.Name", `"flow"`},
		{"aws-sdk:sfn:describeStateMachine", `{"StateMachineArn":"` + f.arn + `s"}`, "$", `Sfn.StateMachineDoesNotExistException: `},
		{"aws-sdk:kms:encrypt", `{"KeyId":"x","Plaintext":"y"}`, "$", `States.Runtime: the sandbox does not implement`},
		{"aws-sdk:ssm:getParameters", `"not an object"`, "$", `States.Runtime: `},
	} {
		if got := f.redefine(taskOf(c[0], c[1], c[2]), `{"n":7}`); !strings.HasPrefix(got, c[3]) {
			t.Errorf("%s %s: %s, want %s", c[0], c[1], got, c[3])
		}
	}
	direct := `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + functionARN + `","End":true}}}`
	if got := f.redefine(direct, `{"n":7}`); got != `{"n":7}` {
		t.Errorf("a function by its ARN: %s", got)
	}
	f.box.RegisterFunction("handle", func(context.Context, sandbox.Invocation) ([]byte, error) { return nil, fmt.Errorf("told to") })
	if got := f.redefine(direct, `{}`); !strings.HasPrefix(got, "*fmt.wrapError: ") && !strings.Contains(got, "told to") {
		t.Errorf("a function that fails: %s", got)
	}
}

// A task may do nothing that the role may not, and says so as AWS does.
func TestIntegrationsAreAuthorised(t *testing.T) {
	f := newFlow(t, types.StateMachineTypeStandard, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"}}`, nothing)
	url := f.prepare()
	for _, c := range [][3]string{
		{"dynamodb:putItem", `{"TableName":"cache","Item":{"id":{"S":"a"}}}`, `DynamoDB.AmazonDynamoDBException: User: arn:aws:sts::111111111111:assumed-role/flow/`},
		{"aws-sdk:dynamodb:putItem", `{"TableName":"cache","Item":{"id":{"S":"a"}}}`, `DynamoDb.DynamoDbException: User: arn:aws:sts::111111111111:assumed-role/flow/`},
		{"aws-sdk:secretsmanager:getSecretValue", `{"SecretId":"db"}`, `SecretsManager.SecretsManagerException: User: `},
		{"sqs:sendMessage", `{"QueueUrl":"` + url + `","MessageBody":"x"}`, `SQS.AmazonSQSException: `},
		{"sns:publish", `{"TopicArn":"arn:aws:sns:us-east-1:111111111111:news","Message":"x"}`, `SNS.AmazonSNSException: User: `},
		{"lambda:invoke", `{"FunctionName":"handle","Payload":{}}`, `Lambda.AWSLambdaException: User: `},
		{"states:startExecution", `{"StateMachineArn":"` + f.arn + `"}`, `StepFunctions.AWSStepFunctionsException: User: `},
		{"aws-sdk:sfn:startSyncExecution", `{"StateMachineArn":"` + f.arn + `"}`, `Sfn.SfnException: User: `},
		{"dynamodb:getItem", `{"TableName":"cache","Key":{"id":{"S":"a"}}}`, `{`},
	} {
		if got := f.redefine(taskOf(c[0], c[1], "$"), `{}`); !strings.HasPrefix(got, c[2]) {
			t.Errorf("%s: %s, want %s", c[0], got, c[2])
		}
	}
}

// A task with Credentials uses another account's resources by their own names,
// if the role there trusts the execution role with the external ID of this
// state machine, and the execution role may assume it.
func TestCredentialsOfAnotherAccount(t *testing.T) {
	const mayAssume = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::222222222222:role/reader"}}`
	trust := func(externalID string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/flow"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}}`
	}
	const reader = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}}`
	const machine = "arn:aws:states:us-east-1:111111111111:stateMachine:flow"
	const refused = "States.TaskFailed: The role arn:aws:iam::111111111111:role/flow is not authorized to assume the task state's role, arn:aws:iam::222222222222:role/reader."
	for _, c := range []struct{ name, identity, trust, permissions, want string }{
		{"as documented", mayAssume, trust(machine), reader, `"theirs"`},
		{"the external ID of another state machine", mayAssume, trust(machine + "s"), reader, refused},
		{"an execution role that may assume nothing", justS3, trust(machine), reader, refused},
		{"a role that does not trust", mayAssume, strings.Replace(trust(machine), "role/flow", "role/runs", 1), reader, refused},
		{"a role that may do nothing", mayAssume, trust(machine), justS3, "SecretsManager.SecretsManagerException: User: arn:aws:sts::222222222222:assumed-role/reader/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFlow(t, types.StateMachineTypeStandard, c.identity, nothing)
			f.box.Account(owner).Role("runs", trustsLambda, nil)
			if _, err := secretsmanager.NewFromConfig(f.box.Account(friend).Config()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("db"), SecretString: aws.String("theirs")}); err != nil {
				t.Fatal(err)
			}
			role := f.box.Account(friend).Role("reader", c.trust, []string{c.permissions})
			definition := strings.Replace(taskOf("aws-sdk:secretsmanager:getSecretValue", `{"SecretId":"db"}`, "$.SecretString"), `"End"`, `"Credentials":{"RoleArn.$":"$.role"},"End"`, 1)
			if got := f.redefine(definition, `{"role":"`+role+`"}`); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// Executions that start executions: Express ones inside, Standard ones followed,
// with their permissions, and those that would go on for ever.
func TestNestedExecutions(t *testing.T) {
	f := newFlow(t, types.StateMachineTypeStandard, allowAll, nothing)
	inner := func(name string, kind types.StateMachineType, definition string) string {
		out, err := f.client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: &name, Definition: &definition, RoleArn: aws.String(f.box.Account(owner).Role(name, strings.Replace(trustsStates, "stateMachine:flow", "stateMachine:"+name, 1), []string{allowAll})), Type: kind})
		if err != nil {
			t.Fatal(err)
		}
		return *out.StateMachineArn
	}
	const echo = `{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"got.$":"$"},"End":true}}}`
	express, standard := inner("express", types.StateMachineTypeExpress, echo), inner("standard", types.StateMachineTypeStandard, echo)
	bad := inner("bad", types.StateMachineTypeExpress, `{"StartAt":"A","States":{"A":{"Type":"Fail","Error":"Bad","Cause":"because"}}}`)
	for _, c := range [][4]string{
		{"aws-sdk:sfn:startSyncExecution", `{"StateMachineArn":"` + express + `","Input.$":"States.JsonToString($)"}`, "$.Output", `"{\"got\":{\"n\":7}}"`},
		{"aws-sdk:sfn:startSyncExecution", `{"StateMachineArn":"` + bad + `"}`, "$['Status','Error','Cause']", `["FAILED","Bad","because"]`},
		{"aws-sdk:sfn:startSyncExecution", `{"StateMachineArn":"` + standard + `"}`, "$", "Sfn.StateMachineTypeNotSupportedException: "},
		{"aws-sdk:sfn:startSyncExecution", `{"StateMachineArn":"` + express + `","Input":{}}`, "$", "States.Runtime: "},
		{"states:startExecution", `{"StateMachineArn":"` + standard + `","Input":{"a":1}}`, "$.ExecutionArn", `"arn:aws:states:us-east-1:111111111111:execution:standard:`},
	} {
		if got := f.redefine(taskOf(c[0], c[1], c[2]), `{"n":7}`); !strings.HasPrefix(got, c[3]) {
			t.Errorf("%s %s: %s, want %s", c[0], c[1], got, c[3])
		}
	}
	for _, c := range [][2]string{{"states:startExecution.sync", `"{\"got\":{\"a\":1}}"`}, {"states:startExecution.sync:2", `{"got":{"a":1}}`}} {
		definition := taskOf(c[0], `{"StateMachineArn":"`+standard+`","Input":{"a":1}}`, "$.Output")
		if _, err := f.client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &f.arn, Definition: &definition}); err != nil {
			t.Fatal(err)
		}
		out := f.start(`{}`)
		for range 5 { // every request moves both on a little
			out = f.describe(out.ExecutionArn)
		}
		if aws.ToString(out.Output) != c[1] {
			t.Errorf("%s: %s %s %s", c[0], out.Status, aws.ToString(out.Output), aws.ToString(out.Cause))
		}
	}

	self := inner("self", types.StateMachineTypeExpress, `{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.l","ItemSelector":{"l.$":"$.l"},"End":true,"ItemProcessor":{"StartAt":"T","States":{
		"T":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:sfn:startSyncExecution","Parameters":{"StateMachineArn":"arn:aws:states:us-east-1:111111111111:stateMachine:self","Input.$":"States.JsonToString($)"},"End":true}}}}}}`)
	out, err := f.client.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: &self, Input: aws.String(`{"l":[1,2,3]}`)})
	if err != nil || out.Status == "" {
		t.Errorf("a state machine that starts itself: %v %v", out, err)
	}
}

// Waiting for an Express execution takes its time, five minutes at most; nobody
// else waits.
func TestSyncExecutionWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(t, types.StateMachineTypeExpress, "", `{"StartAt":"A","States":{"A":{"Type":"Wait","SecondsPath":"$.n","End":true}}}`)
		for input, want := range map[string]struct {
			status types.SyncExecutionStatus
			after  time.Duration
		}{`{"n":10}`: {types.SyncExecutionStatusSucceeded, 10 * time.Second}, `{"n":1000}`: {types.SyncExecutionStatusTimedOut, 5 * time.Minute}} {
			began := time.Now()
			out, err := f.client.StartSyncExecution(ctx, &sfn.StartSyncExecutionInput{StateMachineArn: &f.arn, Input: &input})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); out.Status != want.status || took < want.after || took > want.after+time.Second {
				t.Errorf("%s: %s after %s", input, out.Status, took)
			}
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if _, err := f.client.StartSyncExecution(short, &sfn.StartSyncExecutionInput{StateMachineArn: &f.arn, Input: aws.String(`{"n":100}`)}); err == nil {
			t.Error("a caller that went away got an answer")
		}
	})
}

// A function may look at the execution that calls it, and stop it.
func TestExecutionIsStoppedByItsFunction(t *testing.T) {
	f := newFlow(t, types.StateMachineTypeStandard, allowAll, `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"`+functionARN+`","Parameters":{"arn.$":"$$.Execution.Id"},"Next":"Never"},"Never":{"Type":"Pass","End":true}}}`)
	newFunction(t, f.admin, f.box.Account(owner).Role("runs", trustsLambda, nil), "index.handler")
	f.box.RegisterFunction("handle", func(_ context.Context, in sandbox.Invocation) ([]byte, error) {
		arn := strings.TrimSuffix(strings.TrimPrefix(string(in.Payload), `{"arn":"`), `"}`)
		if out, err := f.client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn}); err != nil || len(out.Events) != 4 {
			return nil, fmt.Errorf("history: %v %w", out, err)
		}
		if out, err := f.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn}); err != nil || out.Status != types.ExecutionStatusRunning {
			return nil, fmt.Errorf("execution: %v %w", out, err)
		}
		_, err := f.client.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &arn, Error: aws.String("Enough")})
		return []byte(`1`), err
	})
	out := f.start(`{}`)
	if out.Status != types.ExecutionStatusAborted || aws.ToString(out.Error) != "Enough" {
		t.Errorf("%s %s %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
}
