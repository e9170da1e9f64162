package services

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	trustsLambda = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}`
	functionARN  = "arn:aws:lambda:us-east-1:111111111111:function:handle"
)

func newFunction(t *testing.T, config aws.Config, role, handler string) {
	t.Helper()
	_, err := lambda.NewFromConfig(config).CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String("handle"), Role: &role, Runtime: types.RuntimeNodejs22x, Handler: &handler, Code: &types.FunctionCode{ZipFile: []byte("PK")},
		Environment: &types.Environment{Variables: map[string]string{"STAGE": "beta"}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func invoke(client *lambda.Client, payload string) (string, error) {
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(functionARN), Payload: []byte(payload)})
	if err != nil {
		return "", err
	}
	if out.FunctionError != nil {
		return *out.FunctionError + " " + string(out.Payload), nil
	}
	return string(out.Payload), nil
}

func TestInvokeAcrossAccounts(t *testing.T) {
	invoker := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"` + functionARN + `"}}`
	for _, test := range []struct {
		name       string
		permission *lambda.AddPermissionInput
		identity   string
		want       string
	}{
		{"both sides", &lambda.AddPermissionInput{Principal: aws.String(friend), Action: aws.String("lambda:InvokeFunction")}, invoker, ""},
		{"no permission", nil, invoker, "AccessDeniedException"},
		{"no identity policy", &lambda.AddPermissionInput{Principal: aws.String(friend), Action: aws.String("lambda:InvokeFunction")}, justS3, "AccessDeniedException"},
		{"another action", &lambda.AddPermissionInput{Principal: aws.String(friend), Action: aws.String("lambda:GetFunction")}, invoker, "AccessDeniedException"},
		{"an organisation it is not in", &lambda.AddPermissionInput{Principal: aws.String("*"), PrincipalOrgID: aws.String("o-someoneelse"), Action: aws.String("lambda:InvokeFunction")}, invoker, "AccessDeniedException"},
		{"a service only", &lambda.AddPermissionInput{Principal: aws.String("sns.amazonaws.com"), Action: aws.String("lambda:InvokeFunction")}, invoker, "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			admin := box.Account(owner).User("admin", allowAll)
			newFunction(t, admin, box.Account(owner).Role("runs", trustsLambda, nil), "sandbox.echo")
			if test.permission != nil {
				test.permission.FunctionName, test.permission.StatementId = aws.String("handle"), aws.String("friend")
				if _, err := lambda.NewFromConfig(admin).AddPermission(ctx, test.permission); err != nil {
					t.Fatal(err)
				}
			}
			got, err := invoke(lambda.NewFromConfig(box.Account(friend).User("app", test.identity)), `{"n":1}`)
			wantCode(t, err, test.want)
			if err == nil && got != `{"n":1}` {
				t.Fatalf("answered %s", got)
			}
		})
	}
}

// A function calls AWS with its execution role, and nothing else.
func TestFunctionRunsWithItsRole(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	sender := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}}`
	role := box.Account(owner).Role("runs", trustsLambda, []string{sender})
	url := newQueue(t, sqs.NewFromConfig(box.Account(friend).User("admin", allowAll)), "inbox", map[string]string{"Policy": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sqs:*","Resource":"` + inboxARN + `"}}`})
	newFunction(t, admin, role, "index.handler")
	client := lambda.NewFromConfig(admin)
	_, err := invoke(client, `{}`)
	wantCode(t, err, "NotImplemented") // no code is registered
	box.RegisterFunction("handle", func(_ context.Context, in sandbox.Invocation) ([]byte, error) {
		queue := sqs.NewFromConfig(box.Config(in.Credentials))
		switch string(in.Payload) {
		case `"send"`:
			return nil, send(queue, url)
		case `"receive"`:
			_, err := queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url})
			return nil, err
		case `"panic"`:
			panic("oh")
		}
		return json.Marshal(in.Environment)
	})
	for _, test := range []struct{ event, want string }{
		{`"send"`, "null"}, {`"receive"`, "AccessDenied"}, {`"panic"`, "Unhandled"}, {`{}`, `{"STAGE":"beta"}`},
	} {
		got, err := invoke(client, test.event)
		if err != nil || !strings.Contains(got, test.want) {
			t.Errorf("%s: %s %v", test.event, got, err)
		}
	}
	_, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("handle"), Payload: []byte("{")})
	wantCode(t, err, "InvalidRequestContentException")
}

func TestFunctionRoleMustTrustLambdaAndBePassed(t *testing.T) {
	box := sandboxtest.New(t, owner)
	account := box.Account(owner)
	trusted := account.Role("trusted", trustsLambda, nil)
	untrusted := account.Role("untrusted", strings.Replace(trustsLambda, "lambda.", "ec2.", 1), nil)
	onlyLambda := account.User("developer", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:*","Resource":"*"}}`)
	ec2 := account.User("ec2", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}]}`)
	for _, test := range []struct {
		name   string
		config aws.Config
		role   string
		want   string
	}{
		{"no PassRole", onlyLambda, trusted, "AccessDeniedException"},
		{"passed to another service", ec2, trusted, "AccessDeniedException"},
		{"no trust", account.User("admin", allowAll), untrusted, "InvalidParameterValueException"},
		{"another account's", account.User("admin2", allowAll), "arn:aws:iam::222222222222:role/x", "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := lambda.NewFromConfig(test.config).CreateFunction(ctx, &lambda.CreateFunctionInput{
				FunctionName: aws.String("handle"), Role: &test.role, Runtime: types.RuntimeNodejs22x, Handler: aws.String("index.handler"), Code: &types.FunctionCode{ZipFile: []byte("PK")},
			})
			wantCode(t, err, test.want)
			if crossed := strings.Contains(err.Error(), "Cross-account pass role is not allowed."); crossed != (test.name == "another account's") {
				t.Error(err)
			}
			_, err = lambda.NewFromConfig(account.Config()).GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("handle")})
			wantCode(t, err, "ResourceNotFoundException")
		})
	}
}

func TestFunctionPolicy(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	newFunction(t, admin, box.Account(owner).Role("runs", trustsLambda, nil), "sandbox.echo")
	client := lambda.NewFromConfig(admin)
	add := func(sid, principal string) error {
		_, err := client.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: aws.String("handle"), StatementId: &sid, Action: aws.String("lambda:InvokeFunction"), Principal: &principal, SourceArn: aws.String(topicARN)})
		return err
	}
	_, err := client.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: aws.String("handle")})
	wantCode(t, err, "ResourceNotFoundException")
	wantCode(t, add("topic", "sns.amazonaws.com"), "")
	wantCode(t, add("topic", "sns.amazonaws.com"), "ResourceConflictException")
	wantCode(t, add("ghost", "arn:aws:iam::222222222222:role/ghost"), "InvalidParameterValueException")
	wantCode(t, add("friend", friend), "")
	got, err := client.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: aws.String("handle")})
	want := `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"topic","Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"` + functionARN + `","Condition":{"ArnLike":{"AWS:SourceArn":"` + topicARN + `"}}},` +
		`{"Sid":"friend","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"lambda:InvokeFunction","Resource":"` + functionARN + `","Condition":{"ArnLike":{"AWS:SourceArn":"` + topicARN + `"}}}]}`
	if err != nil || *got.Policy != want {
		t.Fatalf("%v\n%s\n%s", err, *got.Policy, want)
	}
	_, err = client.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: aws.String("handle"), StatementId: aws.String("friend")})
	wantCode(t, err, "")
	_, err = client.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: aws.String("handle"), StatementId: aws.String("friend")})
	wantCode(t, err, "ResourceNotFoundException")
	for i := 0; ; i++ {
		err := add(strings.Repeat("x", 90)+string(rune('A'+i/26))+string(rune('a'+i%26)), friend)
		if code(t, err) == "PolicyLengthExceededException" && i > 20 {
			break
		}
		if err != nil || i > 100 {
			t.Fatalf("after %d statements: %v", i, err)
		}
	}
	_, err = client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: aws.String("handle")})
	wantCode(t, err, "NotImplemented")
}

// received collects what a function is called with.
type received struct {
	mu     sync.Mutex
	events []string
	fail   error
}

func (r *received) function(_ context.Context, in sandbox.Invocation) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return nil, r.fail
	}
	r.events = append(r.events, string(in.Payload))
	return nil, nil
}

func (r *received) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.events = nil }()
	return r.events
}

// A stream of one account is read by a function of another, with the
// permissions of its execution role and the stream's policy.
func TestEventSourceMappingAcrossAccounts(t *testing.T) {
	reads := `"kinesis:GetRecords","kinesis:GetShardIterator","kinesis:DescribeStream","kinesis:DescribeStreamSummary","kinesis:ListShards"`
	reader := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[` + reads + `],"Resource":"*"}}`
	for _, test := range []struct {
		name, policy, identity, want string
	}{
		{"both sides", reads, reader, ""},
		{"no stream policy", "", reader, "InvalidParameterValueException"},
		{"the stream's policy lacks GetRecords", `"kinesis:GetShardIterator","kinesis:DescribeStream","kinesis:ListShards"`, reader, "InvalidParameterValueException"},
		{"the role lacks everything", reads, justS3, "InvalidParameterValueException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			producer := kinesis.NewFromConfig(box.Account(owner).User("admin", allowAll))
			newStream(t, producer)
			role := box.Account(friend).Role("runs", trustsLambda, []string{test.identity})
			if test.policy != "" {
				policy := streamPolicy(role, test.policy)
				if _, err := producer.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: aws.String(streamARN), Policy: &policy}); err != nil {
					t.Fatal(err)
				}
			}
			consumer := box.Account(friend).User("admin", allowAll)
			newFunction(t, consumer, role, "index.handler")
			got := &received{}
			box.RegisterFunction("handle", got.function)
			_, err := lambda.NewFromConfig(consumer).CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{
				FunctionName: aws.String("handle"), EventSourceArn: aws.String(streamARN), StartingPosition: types.EventSourcePositionTrimHorizon,
			})
			wantCode(t, err, test.want)
			put(t, producer, "one")
			box.Advance()
			events := got.take()
			if test.want != "" {
				if len(events) != 0 {
					t.Fatalf("the function was called with %s", events)
				}
				return
			}
			if len(events) != 1 || !strings.Contains(events[0], `"data":"b25l"`) || !strings.Contains(events[0], `"eventSourceARN":"`+streamARN+`"`) {
				t.Fatalf("the function was called with %s", events)
			}
			// A batch the function fails with comes again.
			got.fail = errors.New("not now")
			put(t, producer, "two")
			box.Advance()
			got.mu.Lock()
			got.fail = nil
			got.mu.Unlock()
			box.Advance()
			box.Advance()
			if events := got.take(); len(events) != 1 || !strings.Contains(events[0], `"data":"dHdv"`) {
				t.Fatalf("the function was called with %s", events)
			}
			// Without the stream's policy nothing is read any more.
			if _, err := producer.DeleteResourcePolicy(ctx, &kinesis.DeleteResourcePolicyInput{ResourceARN: aws.String(streamARN)}); err != nil {
				t.Fatal(err)
			}
			put(t, producer, "three")
			box.Advance()
			if events := got.take(); len(events) != 0 {
				t.Fatalf("the function was called with %s", events)
			}
			listed, err := lambda.NewFromConfig(consumer).ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{})
			if err != nil || len(listed.EventSourceMappings) != 1 || !strings.HasPrefix(*listed.EventSourceMappings[0].LastProcessingResult, "PROBLEM") {
				t.Fatalf("%+v %v", listed, err)
			}
		})
	}
}

func TestQueueCallsFunction(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := box.Account(owner).User("admin", allowAll)
	role := box.Account(owner).Role("runs", trustsLambda, []string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sqs:ReceiveMessage","sqs:DeleteMessage","sqs:GetQueueAttributes"],"Resource":"*"}}`})
	url := newQueue(t, sqs.NewFromConfig(admin), "orders", nil)
	newFunction(t, admin, role, "index.handler")
	got := &received{}
	box.RegisterFunction(functionARN, got.function)
	client := lambda.NewFromConfig(admin)
	made, err := client.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{FunctionName: aws.String("handle"), EventSourceArn: aws.String("arn:aws:sqs:us-east-1:111111111111:orders")})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, send(sqs.NewFromConfig(admin), url), "")
	box.Advance()
	if events := got.take(); len(events) != 1 || !strings.Contains(events[0], `"body":"hello"`) {
		t.Fatalf("the function was called with %s", events)
	}
	shown, err := sqs.NewFromConfig(admin).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
	if err != nil || shown.Attributes["ApproximateNumberOfMessages"] != "0" || shown.Attributes["ApproximateNumberOfMessagesNotVisible"] != "0" {
		t.Fatalf("%v %v", shown, err)
	}
	if _, err := client.DeleteEventSourceMapping(ctx, &lambda.DeleteEventSourceMappingInput{UUID: made.UUID}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, send(sqs.NewFromConfig(admin), url), "")
	box.Advance()
	if events := got.take(); len(events) != 0 {
		t.Fatalf("the function was called with %s", events)
	}
}

// A topic of another account calls a function if its policy admits the topic.
func TestTopicCallsFunction(t *testing.T) {
	for _, test := range []struct {
		name, source string
		calls        int
	}{{"the topic", topicARN, 1}, {"another topic", topicARN + "x", 0}, {"no permission", "", 0}} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			admin := sns.NewFromConfig(box.Account(owner).User("admin", allowAll))
			newTopic(t, admin, map[string]string{"Policy": topicPolicy(friend, `"sns:Subscribe"`)})
			consumer := box.Account(friend).User("admin", allowAll)
			newFunction(t, consumer, box.Account(friend).Role("runs", trustsLambda, nil), "index.handler")
			arn := strings.Replace(functionARN, owner, friend, 1)
			if test.source != "" {
				if _, err := lambda.NewFromConfig(consumer).AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &arn, StatementId: aws.String("topic"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("sns.amazonaws.com"), SourceArn: &test.source}); err != nil {
					t.Fatal(err)
				}
			}
			got := &received{}
			box.RegisterFunction("handle", got.function)
			if _, err := sns.NewFromConfig(consumer).Subscribe(ctx, &sns.SubscribeInput{TopicArn: aws.String(topicARN), Protocol: aws.String("lambda"), Endpoint: &arn}); err != nil {
				t.Fatal(err)
			}
			wantCode(t, publish(admin, "hello"), "")
			box.Advance()
			events := got.take()
			if len(events) != test.calls || test.calls == 1 && !strings.Contains(events[0], `"Message":"hello"`) {
				t.Fatalf("the function was called with %s", events)
			}
		})
	}
}

func TestAsynchronousInvocation(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := box.Account(owner).User("admin", allowAll)
	newFunction(t, admin, box.Account(owner).Role("runs", trustsLambda, nil), "index.handler")
	got := &received{}
	box.RegisterFunction("handle", got.function)
	client := lambda.NewFromConfig(admin)
	for _, kind := range []types.InvocationType{types.InvocationTypeDryRun, types.InvocationTypeEvent} {
		out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("handle"), InvocationType: kind, Payload: []byte(`{"a":1}`)})
		if err != nil || out.StatusCode != map[types.InvocationType]int32{types.InvocationTypeDryRun: 204, types.InvocationTypeEvent: 202}[kind] {
			t.Fatalf("%+v %v", out, err)
		}
	}
	if events := got.take(); len(events) != 0 {
		t.Fatalf("the function was called early with %s", events)
	}
	if _, err := client.ListFunctions(ctx, &lambda.ListFunctionsInput{}); err != nil { // any request will do
		t.Fatal(err)
	}
	if events := got.take(); len(events) != 1 || events[0] != `{"a":1}` {
		t.Fatalf("the function was called with %s", events)
	}
}

func TestFunctionStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(config)
	body := `{"Resources":{
		"Role":{"Type":"AWS::IAM::Role","Properties":{"AssumeRolePolicyDocument":` + trustsLambda + `,"Policies":[{"PolicyName":"read","PolicyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sqs:ReceiveMessage","sqs:DeleteMessage","sqs:GetQueueAttributes"],"Resource":{"Fn::GetAtt":["Queue","Arn"]}}}}]}},
		"Queue":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"orders"}},
		"Function":{"Type":"AWS::Lambda::Function","Properties":{"FunctionName":"handle","Runtime":"nodejs22.x","Handler":"sandbox.echo","Role":{"Fn::GetAtt":["Role","Arn"]},"Code":{"ZipFile":"exports.handler = async e => e"},"Environment":{"Variables":{"STAGE":"beta"}}}},
		"Permission":{"Type":"AWS::Lambda::Permission","Properties":{"FunctionName":{"Ref":"Function"},"Action":"lambda:InvokeFunction","Principal":"222222222222"}},
		"Mapping":{"Type":"AWS::Lambda::EventSourceMapping","Properties":{"FunctionName":{"Fn::GetAtt":["Function","Arn"]},"EventSourceArn":{"Fn::GetAtt":["Queue","Arn"]}}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("f"), TemplateBody: &body, Capabilities: []cftypes.Capability{cftypes.CapabilityCapabilityIam}}); err != nil {
		t.Fatal(err)
	}
	app := lambda.NewFromConfig(box.Account(friend).User("app", allowAll))
	got, err := invoke(app, `{"n":1}`)
	if err != nil || got != `{"n":1}` {
		t.Fatalf("%s %v", got, err)
	}
	wantCode(t, send(sqs.NewFromConfig(config), "https://sqs.us-east-1.amazonaws.com/111111111111/orders"), "")
	box.Advance()
	listed, err := lambda.NewFromConfig(config).ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{FunctionName: aws.String("handle")})
	if err != nil || len(listed.EventSourceMappings) != 1 || *listed.EventSourceMappings[0].LastProcessingResult != "OK" {
		t.Fatalf("%+v %v", listed, err)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	_, err = invoke(app, `{"n":1}`)
	wantCode(t, err, "AccessDeniedException")
}
