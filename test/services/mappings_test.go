package services

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const ordersQueue = "arn:aws:sqs:us-east-1:" + owner + ":orders"

// mappedQueue is a function of the owner's whose role may do the actions on a
// queue, and the queue.
func mappedQueue(t *testing.T, actions string) (*sandboxtest.Sandbox, aws.Config, *received) {
	t.Helper()
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	newQueue(t, sqs.NewFromConfig(admin), "orders", nil)
	newFunction(t, admin, box.Account(owner).Role("runs", trustsLambda, []string{actionsOn(actions)}), "index.handler")
	got := &received{}
	box.RegisterFunction(functionARN, got.function)
	return box, admin, got
}

func mapQueue(client *lambda.Client, function string) (*lambda.CreateEventSourceMappingOutput, error) {
	return client.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{FunctionName: &function, EventSourceArn: aws.String(ordersQueue)})
}

// The execution role must be allowed everything that reading a queue takes, when
// the mapping is made.
func TestQueueMappingTriesEveryAction(t *testing.T) {
	for actions, want := range map[string]string{
		`"sqs:ReceiveMessage","sqs:DeleteMessage","sqs:GetQueueAttributes"`: "",
		`"sqs:DeleteMessage","sqs:GetQueueAttributes"`:                      "InvalidParameterValueException",
		`"sqs:ReceiveMessage","sqs:GetQueueAttributes"`:                     "InvalidParameterValueException",
		`"sqs:ReceiveMessage","sqs:DeleteMessage"`:                          "InvalidParameterValueException",
	} {
		t.Run(actions, func(t *testing.T) {
			_, admin, _ := mappedQueue(t, actions)
			_, err := mapQueue(lambda.NewFromConfig(admin), "handle")
			wantCode(t, err, want)
		})
	}
}

// A mapping reads with the role of its function, so only the function's own
// account can make one; and nobody else's mappings can be seen or changed.
func TestMappingsBelongToTheirAccount(t *testing.T) {
	const reads = `"sqs:ReceiveMessage","sqs:DeleteMessage","sqs:GetQueueAttributes"`
	box, admin, got := mappedQueue(t, reads)
	own, other := lambda.NewFromConfig(admin), lambda.NewFromConfig(box.Account(friend).User("admin", allowAll))
	_, err := mapQueue(other, functionARN)
	wantCode(t, err, "ResourceNotFoundException")
	// Not even where the function's policy lets the other account do everything.
	if _, err := own.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: aws.String("handle"), StatementId: aws.String("friend"), Principal: aws.String(friend), Action: aws.String("lambda:*")}); err != nil {
		t.Fatal(err)
	}
	_, err = mapQueue(other, functionARN)
	wantCode(t, err, "ResourceNotFoundException")

	made, err := mapQueue(own, "handle")
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: made.UUID})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = other.UpdateEventSourceMapping(ctx, &lambda.UpdateEventSourceMappingInput{UUID: made.UUID, Enabled: aws.Bool(false)})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = other.DeleteEventSourceMapping(ctx, &lambda.DeleteEventSourceMappingInput{UUID: made.UUID})
	wantCode(t, err, "ResourceNotFoundException")
	listed, err := other.ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{})
	if err != nil || len(listed.EventSourceMappings) != 0 {
		t.Errorf("the other account sees %v, %v", listed, err)
	}

	// Each operation has its own action.
	for name, call := range map[string]func(*lambda.Client) error{
		"GetEventSourceMapping": func(c *lambda.Client) error {
			_, err := c.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: made.UUID})
			return err
		},
		"UpdateEventSourceMapping": func(c *lambda.Client) error {
			_, err := c.UpdateEventSourceMapping(ctx, &lambda.UpdateEventSourceMappingInput{UUID: made.UUID, BatchSize: aws.Int32(5)})
			return err
		},
		"ListEventSourceMappings": func(c *lambda.Client) error {
			_, err := c.ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{})
			return err
		},
		"DeleteEventSourceMapping": func(c *lambda.Client) error {
			_, err := c.DeleteEventSourceMapping(ctx, &lambda.DeleteEventSourceMappingInput{UUID: made.UUID})
			return err
		},
	} {
		without := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},{"Effect":"Deny","Action":"lambda:` + name + `","Resource":"*"}]}`
		err := call(lambda.NewFromConfig(box.Account(owner).User("without-"+name, without)))
		wantCode(t, err, "AccessDeniedException")
	}

	wantCode(t, send(sqs.NewFromConfig(admin), "https://sqs.us-east-1.amazonaws.com/"+owner+"/orders"), "")
	box.Advance()
	if events := got.take(); len(events) != 1 {
		t.Errorf("the function was called with %s", events)
	}
}
