// Command orders-stream deploys crossaccount.yaml into AWS accounts that enforce
// IAM and are in this process, lets the consumer's functions read the orders of
// their stage, tries what must be refused, and removes everything.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/examples/orders-stream/consumer"
	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

//go:embed crossaccount.yaml
var manifest []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "orders-stream:", err)
		os.Exit(1)
	}
}

// run tells the story.
func run(ctx context.Context, out io.Writer) error {
	m, err := grant.Parse(manifest)
	if err != nil {
		return err
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		return err
	}
	w := &world{box: sandbox.New(sandbox.Options{}), accounts: map[string]*sandbox.Account{}}
	for name, a := range m.Accounts {
		if w.accounts[name], err = w.box.CreateAccount(a.ID); err != nil {
			return err
		}
	}
	stacks := sandboxtest.NewDeployment(w.box, plan)
	stacks.Out = out
	if err := stacks.Deploy(ctx); err != nil {
		return err
	}
	dev := kinesis.NewFromConfig(w.config("orders-dev"))
	if _, err := dev.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("dev-orders-pubsub"), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}}); err != nil {
		return err
	}

	pairs := []pair{{"alpha", "testing", "analytics-testing"}, {"beta", "staging", "analytics-staging"}, {"prod", "production", "analytics-prod"}}
	counters := map[string]*consumer.Counter{}
	for _, p := range pairs {
		if counters[p.stage], err = w.function(ctx, p); err != nil {
			return err
		}
		if err := w.subscribe(ctx, p, p.stage); err != nil {
			return fmt.Errorf("the function in %s cannot read %s: %w", p.consumer, p.stage, err)
		}
	}
	fmt.Fprintln(out, "\nEach stage gets an order, and the function of its consumer counts it:")
	for i, p := range pairs {
		if err := w.order(ctx, p.stage, consumer.Order{ID: p.stage + "-1", Cents: 100 * (i + 1)}); err != nil {
			return err
		}
	}
	w.box.Advance() // or Lambda's pollers, in AWS
	for _, p := range pairs {
		cents, orders := counters[p.stage].Total()
		fmt.Fprintf(out, "  %-5s → %-18s %d order, %d cents\n", p.stage, p.account, orders, cents)
	}

	fmt.Fprintln(out, "\nAnything else is refused:")
	for _, p := range pairs {
		for _, stage := range []string{"dev", "alpha", "beta", "prod"} {
			if stage == p.stage {
				continue
			}
			switch err := w.subscribe(ctx, p, stage); {
			case err == nil:
				return fmt.Errorf("the function in %s may read %s", p.consumer, stage)
			case !refused(err):
				return err
			}
		}
		fmt.Fprintf(out, "  the function in %s cannot read the streams of other stages, nor dev\n", p.consumer)
	}

	for _, p := range pairs {
		if err := w.removeFunction(ctx, p); err != nil {
			return err
		}
	}
	if err := stacks.Remove(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nRemoved in reverse. Nothing is left but the stream in dev.")
	return nil
}

// A pair is a stage of the app, and the consumer's stage and account that use it.
type pair struct{ stage, consumer, account string }

const region, functionName = "eu-central-1", "count-orders"

func (w *world) stream(stage string) string {
	return "arn:aws:kinesis:" + region + ":" + w.accounts["orders-"+stage].ID() + ":stream/" + stage + "-orders-pubsub"
}

// function makes the consumer's function, with the role that the plan made for
// it.
func (w *world) function(ctx context.Context, p pair) (*consumer.Counter, error) {
	counter := &consumer.Counter{}
	id := w.accounts[p.account].ID()
	w.box.RegisterFunction("arn:aws:lambda:"+region+":"+id+":function:"+functionName, func(ctx context.Context, in sandbox.Invocation) ([]byte, error) {
		var e consumer.Event
		if err := json.Unmarshal(in.Payload, &e); err != nil {
			return nil, err
		}
		return nil, counter.Handle(ctx, e)
	})
	_, err := lambda.NewFromConfig(w.config(p.account)).CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String(functionName), Role: aws.String("arn:aws:iam::" + id + ":role/" + p.consumer + "-Kinesis-Consumer-Role"),
		Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK")},
	})
	return counter, err
}

// subscribe makes Lambda read a stream for the function. Lambda tries at once
// whether the function's role may.
func (w *world) subscribe(ctx context.Context, p pair, stage string) error {
	_, err := lambda.NewFromConfig(w.config(p.account)).CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String(functionName), EventSourceArn: aws.String(w.stream(stage)), StartingPosition: lambdatypes.EventSourcePositionTrimHorizon,
	})
	return err
}

// refused reports whether Lambda said that the role may not read the stream.
func refused(err error) bool {
	var e smithy.APIError
	return errors.As(err, &e) && e.ErrorCode() == "InvalidParameterValueException" && strings.HasPrefix(e.ErrorMessage(), "Cannot access stream")
}

// order puts an order on a stage's stream, as the orders app does.
func (w *world) order(ctx context.Context, stage string, o consumer.Order) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = kinesis.NewFromConfig(w.config("orders-"+stage)).PutRecord(ctx, &kinesis.PutRecordInput{StreamARN: aws.String(w.stream(stage)), PartitionKey: &o.ID, Data: data})
	return err
}

func (w *world) removeFunction(ctx context.Context, p pair) error {
	client := lambda.NewFromConfig(w.config(p.account))
	mappings, err := client.ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{})
	if err != nil {
		return err
	}
	for _, m := range mappings.EventSourceMappings {
		if _, err := client.DeleteEventSourceMapping(ctx, &lambda.DeleteEventSourceMappingInput{UUID: m.UUID}); err != nil {
			return err
		}
	}
	_, err = client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(functionName)})
	return err
}
