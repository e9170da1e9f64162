package services

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const busARN = "arn:aws:events:us-east-1:111111111111:event-bus/orders"

func newBus(t *testing.T, client *eventbridge.Client, policy string) {
	t.Helper()
	if _, err := client.CreateEventBus(ctx, &eventbridge.CreateEventBusInput{Name: aws.String("orders")}); err != nil {
		t.Fatal(err)
	}
	if policy == "" {
		return
	}
	if _, err := client.PutPermission(ctx, &eventbridge.PutPermissionInput{EventBusName: aws.String("orders"), Policy: &policy}); err != nil {
		t.Fatal(err)
	}
}

func putEvent(client *eventbridge.Client, bus, source string) (*eventbridge.PutEventsOutput, error) {
	return client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{EventBusName: &bus, Source: &source, DetailType: aws.String("placed"), Detail: aws.String(`{"n":1}`)}}})
}

func busPolicy(condition string) string {
	return `{"Version":"2012-10-17","Statement":{"Sid":"friend","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"events:PutEvents","Resource":"` + busARN + `"` + condition + `}}`
}

func TestPutEventsAcrossAccounts(t *testing.T) {
	sender := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"events:PutEvents","Resource":"` + busARN + `"}}`
	for _, test := range []struct{ name, policy, identity, want string }{
		{"both sides", busPolicy(""), sender, ""},
		{"no bus policy", "", sender, "AccessDeniedException"},
		{"no identity policy", busPolicy(""), justS3, "AccessDeniedException"},
		{"this source", busPolicy(`,"Condition":{"StringEquals":{"events:source":"shop"}}`), sender, ""},
		{"another source", busPolicy(`,"Condition":{"StringEquals":{"events:source":"warehouse"}}`), sender, "AccessDeniedException"},
		{"another detail type", busPolicy(`,"Condition":{"StringEquals":{"events:detail-type":"cancelled"}}`), sender, "AccessDeniedException"},
		{"another action", strings.Replace(busPolicy(""), "PutEvents", "DescribeRule", 1), sender, "AccessDeniedException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			newBus(t, eventbridge.NewFromConfig(box.Account(owner).User("admin", allowAll)), test.policy)
			out, err := putEvent(eventbridge.NewFromConfig(box.Account(friend).User("app", test.identity)), busARN, "shop")
			wantCode(t, err, test.want)
			if err == nil && out.FailedEntryCount != 0 {
				t.Fatalf("%+v", out.Entries)
			}
		})
	}
}

func TestEntriesFailOnTheirOwn(t *testing.T) {
	box := sandboxtest.New(t, owner)
	client := eventbridge.NewFromConfig(box.Account(owner).User("admin", allowAll))
	out, err := client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		{Source: aws.String("shop"), DetailType: aws.String("placed"), Detail: aws.String(`{}`)},
		{Source: aws.String("shop"), DetailType: aws.String("placed"), Detail: aws.String(`nonsense`)},
		{Source: aws.String("aws.s3"), DetailType: aws.String("placed"), Detail: aws.String(`{}`)},
		{Source: aws.String("shop"), DetailType: aws.String("placed"), Detail: aws.String(`{}`), EventBusName: aws.String("none")},
	}})
	if err != nil || out.FailedEntryCount != 3 || out.Entries[0].EventId == nil {
		t.Fatalf("%+v %v", out, err)
	}
	for i, want := range []string{"", "MalformedDetail", "NotAuthorizedForSource", "ResourceNotFoundException"} {
		if i > 0 && *out.Entries[i].ErrorCode != want {
			t.Errorf("entry %d: %s", i, *out.Entries[i].ErrorCode)
		}
	}
}

// A rule of one account hands events to a bus of another with a role that the
// other bus admits, and that bus's rule to a queue that admits the rule.
func TestRulesAcrossAccounts(t *testing.T) {
	queuePolicy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-east-1:111111111111:orders","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-east-1:111111111111:rule/orders/placed"}}}}`
	for _, test := range []struct {
		name, bus, queue, role, source string
		arrives                        bool
	}{
		{"all agree", busPolicy(""), queuePolicy, allowAll, "shop", true},
		{"the bus does not admit", "", queuePolicy, allowAll, "shop", false},
		{"the role does not allow", busPolicy(""), queuePolicy, justS3, "shop", false},
		{"the queue admits another rule", busPolicy(""), strings.Replace(queuePolicy, "rule/orders/placed", "rule/placed", 1), allowAll, "shop", false},
		{"no rule matches", busPolicy(""), queuePolicy, allowAll, "warehouse", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			config := box.Account(owner).User("admin", allowAll)
			admin := eventbridge.NewFromConfig(config)
			newBus(t, admin, test.bus)
			url := newQueue(t, sqs.NewFromConfig(config), "orders", map[string]string{"Policy": test.queue})
			rule := func(client *eventbridge.Client, bus string, target types.Target) {
				t.Helper()
				if _, err := client.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("placed"), EventBusName: &bus, EventPattern: aws.String(`{"source":["shop"],"account":["222222222222"]}`)}); err != nil {
					t.Fatal(err)
				}
				if _, err := client.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("placed"), EventBusName: &bus, Targets: []types.Target{target}}); err != nil {
					t.Fatal(err)
				}
			}
			rule(admin, "orders", types.Target{Id: aws.String("q"), Arn: aws.String("arn:aws:sqs:us-east-1:111111111111:orders")})
			sender := eventbridge.NewFromConfig(box.Account(friend).User("admin", allowAll))
			role := box.Account(friend).Role("forwards", strings.Replace(trustsLambda, "lambda.", "events.", 1), []string{test.role})
			rule(sender, "default", types.Target{Id: aws.String("b"), Arn: aws.String(busARN), RoleArn: &role})
			if out, err := putEvent(sender, "default", test.source); err != nil || out.FailedEntryCount != 0 {
				t.Fatalf("%+v %v", out, err)
			}
			got := receiveAll(t, sqs.NewFromConfig(config), url)
			if len(got) != map[bool]int{true: 1, false: 0}[test.arrives] {
				t.Fatalf("received %+v", got)
			}
			if test.arrives && !strings.Contains(*got[0].Body, `"account":"222222222222"`) {
				t.Fatalf("received %s", *got[0].Body)
			}
		})
	}
}

func TestRuleCallsFunction(t *testing.T) {
	box := sandboxtest.New(t, owner)
	config := box.Account(owner).User("admin", allowAll)
	client := eventbridge.NewFromConfig(config)
	newFunction(t, config, box.Account(owner).Role("runs", trustsLambda, nil), "index.handler")
	got := &received{}
	box.RegisterFunction("handle", got.function)
	if _, err := client.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("placed"), EventPattern: aws.String(`{"detail-type":["placed"]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("placed"), Targets: []types.Target{{Id: aws.String("f"), Arn: aws.String(functionARN)}}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, 1} { // without and with the permission
		if _, err := putEvent(client, "default", "shop"); err != nil {
			t.Fatal(err)
		}
		box.Advance()
		if events := got.take(); len(events) != want {
			t.Fatalf("the function was called with %s", events)
		}
		if _, err := lambda.NewFromConfig(config).AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: aws.String("handle"), StatementId: aws.String("rule" + string(rune('a'+want))), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("events.amazonaws.com"), SourceArn: aws.String("arn:aws:events:us-east-1:111111111111:rule/placed")}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBusPolicyAndRuleLimits(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := eventbridge.NewFromConfig(box.Account(owner).User("admin", allowAll))
	newBus(t, admin, "")
	put := func(policy string) error {
		_, err := admin.PutPermission(ctx, &eventbridge.PutPermissionInput{EventBusName: aws.String("orders"), Policy: &policy})
		return err
	}
	wantCode(t, put(busPolicy("")+strings.Repeat(" ", 10240)), "PolicyLengthExceededException")
	wantCode(t, put(strings.Replace(busPolicy(""), ":root", ":role/ghost", 1)), "ValidationException")
	wantCode(t, put(strings.Replace(busPolicy(""), "events:", "s3:", 1)), "ValidationException")
	wantCode(t, put(busPolicy("")), "")
	// The bus's policy cannot give the bus away.
	wantCode(t, put(strings.Replace(busPolicy(""), "events:PutEvents", "events:*", 1)), "")
	stranger := eventbridge.NewFromConfig(box.Account(friend).User("stranger", allowAll))
	_, err := stranger.RemovePermission(ctx, &eventbridge.RemovePermissionInput{EventBusName: aws.String(busARN), RemoveAllPermissions: true})
	wantCode(t, err, "AccessDeniedException")
	if _, err := admin.PutPermission(ctx, &eventbridge.PutPermissionInput{EventBusName: aws.String("orders"), StatementId: aws.String("org"), Action: aws.String("events:PutEvents"), Principal: aws.String("*"), Condition: &types.Condition{Type: aws.String("StringEquals"), Key: aws.String("aws:PrincipalOrgID"), Value: aws.String("o-a")}}); err != nil {
		t.Fatal(err)
	}
	shown, err := admin.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: aws.String("orders")})
	if err != nil || !strings.Contains(*shown.Policy, `"friend"`) || !strings.Contains(*shown.Policy, `"org"`) {
		t.Fatalf("%+v %v", shown, err)
	}
	_, err = admin.RemovePermission(ctx, &eventbridge.RemovePermissionInput{EventBusName: aws.String("orders"), StatementId: aws.String("none")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = admin.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("r"), EventPattern: aws.String(`{"detail":{"n":[1]}}`)})
	wantCode(t, err, "NotImplemented")
}

func TestBusStack(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	config := box.Account(owner).User("admin", allowAll)
	stacks := cloudformation.NewFromConfig(config)
	body := `{"Resources":{
		"Bus":{"Type":"AWS::Events::EventBus","Properties":{"Name":"orders"}},
		"Friend":{"Type":"AWS::Events::EventBusPolicy","Properties":{"EventBusName":{"Ref":"Bus"},"StatementId":"friend","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"events:PutEvents","Resource":{"Fn::GetAtt":["Bus","Arn"]}}}},
		"Queue":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"orders"}},
		"Admits":{"Type":"AWS::SQS::QueuePolicy","Properties":{"Queues":[{"Ref":"Queue"}],"PolicyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":{"Fn::GetAtt":["Queue","Arn"]},"Condition":{"ArnEquals":{"aws:SourceArn":{"Fn::GetAtt":["Rule","Arn"]}}}}}}},
		"Rule":{"Type":"AWS::Events::Rule","Properties":{"EventBusName":{"Ref":"Bus"},"EventPattern":{"source":["shop"]},"Targets":[{"Id":"q","Arn":{"Fn::GetAtt":["Queue","Arn"]}}]}}}}`
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("b"), TemplateBody: &body}); err != nil {
		t.Fatal(err)
	}
	app := eventbridge.NewFromConfig(box.Account(friend).User("app", allowAll))
	if _, err := putEvent(app, busARN, "shop"); err != nil {
		t.Fatal(err)
	}
	if got := receiveAll(t, sqs.NewFromConfig(config), "https://sqs.us-east-1.amazonaws.com/111111111111/orders"); len(got) != 1 {
		t.Fatalf("received %+v", got)
	}
	if _, err := stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String("b")}); err != nil {
		t.Fatal(err)
	}
	_, err := putEvent(app, busARN, "shop")
	wantCode(t, err, "AccessDeniedException")
	listed, err := eventbridge.NewFromConfig(config).ListEventBuses(ctx, &eventbridge.ListEventBusesInput{})
	if err != nil || len(listed.EventBuses) != 1 {
		t.Fatalf("%+v %v", listed, err)
	}
}
