package plans

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

func newStream(t *testing.T, c aws.Config, name string) {
	t.Helper()
	if _, err := kinesis.NewFromConfig(c).CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1), StreamModeDetails: &kinesistypes.StreamModeDetails{StreamMode: kinesistypes.StreamModeProvisioned}}); err != nil {
		t.Fatal(err)
	}
}

func newBucket(t *testing.T, c aws.Config, name string) {
	t.Helper()
	if _, err := s3.NewFromConfig(c).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(c.Region)}}); err != nil {
		t.Fatal(err)
	}
}

// A consumerFunction is a Lambda function of a consumer that keeps the data of
// the records it is given.
type consumerFunction struct {
	t        *testing.T
	box      *sandboxtest.Sandbox
	client   *lambda.Client
	mapping  *string
	starting lambdatypes.EventSourcePosition

	mu   sync.Mutex
	data []string
}

// newFunction makes a function that runs as a role of the plan.
func newFunction(t *testing.T, box *sandboxtest.Sandbox, account, role string) *consumerFunction {
	t.Helper()
	c := box.Account(account).Config()
	c.Region = "eu-central-1"
	f := &consumerFunction{t: t, box: box, client: lambda.NewFromConfig(c), starting: lambdatypes.EventSourcePositionTrimHorizon}
	box.RegisterFunction("arn:aws:lambda:eu-central-1:"+account+":function:count-orders", f.handle)
	if _, err := f.client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String("count-orders"), Role: aws.String("arn:aws:iam::" + account + ":role/" + role),
		Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Code: &lambdatypes.FunctionCode{ZipFile: []byte("PK")},
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *consumerFunction) handle(_ context.Context, in sandbox.Invocation) ([]byte, error) {
	var event struct {
		Records []struct{ Kinesis struct{ Data []byte } }
	}
	if err := json.Unmarshal(in.Payload, &event); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range event.Records {
		f.data = append(f.data, string(r.Kinesis.Data))
	}
	return nil, nil
}

func (f *consumerFunction) subscribe(source string) error {
	out, err := f.client.CreateEventSourceMapping(f.t.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("count-orders"), EventSourceArn: &source, StartingPosition: f.starting,
	})
	if err == nil {
		f.mapping = out.UUID
	}
	return err
}

// reads puts the last record on a stream and sees that all of them reach the
// function through an event source mapping of the source: the stream, or a
// consumer of it.
func (f *consumerFunction) reads(source string, records ...string) {
	f.t.Helper()
	if err := f.subscribe(source); err != nil {
		f.t.Errorf("the mapping of %s: %v", source, err)
		return
	}
	stream, _, _ := strings.Cut(source, "/consumer/")
	c := f.box.Account(strings.Split(stream, ":")[4]).Config()
	c.Region = "eu-central-1"
	if _, err := kinesis.NewFromConfig(c).PutRecord(f.t.Context(), &kinesis.PutRecordInput{StreamARN: &stream, PartitionKey: aws.String("1"), Data: []byte(records[len(records)-1])}); err != nil {
		f.t.Fatal(err)
	}
	f.box.Advance()
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Join(f.data, " ") != strings.Join(records, " ") {
		f.t.Errorf("the function was given %q, want %q", f.data, records)
	}
	f.data = nil
}

// refused sees that the function's role may not read a stream.
func (f *consumerFunction) refused(stream string) {
	f.t.Helper()
	// Lambda says so when the mapping is made, with an error of its own.
	if err := f.subscribe(stream); err == nil || !strings.Contains(err.Error(), "InvalidParameterValueException") {
		f.t.Errorf("the mapping of %s was not refused: %v", stream, err)
	}
}

func (f *consumerFunction) remove() {
	f.t.Helper()
	if f.mapping != nil {
		if _, err := f.client.DeleteEventSourceMapping(f.t.Context(), &lambda.DeleteEventSourceMappingInput{UUID: f.mapping}); err != nil {
			f.t.Error(err)
		}
	}
	if _, err := f.client.DeleteFunction(f.t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("count-orders")}); err != nil {
		f.t.Error(err)
	}
}

// A function reads a stream of another account by itself, and with enhanced
// fan-out through the stream consumer that the plan registers.
func TestStreamFeedsFunction(t *testing.T) {
	box := sandboxtest.New(t, ownerA, ownerP, consumerT, consumerP)
	d := newDeployment(t, box, strings.ReplaceAll(parties, "us-east-1", "eu-central-1")+`
resources:
  key: {kind: kms-key, create: {Description: orders}}
  orders: {kind: kinesis-stream, name: "{stage}-{app}-pubsub", encryption: key, create: {ShardCount: 1, StreamEncryption: {EncryptionType: KMS}}}
grants:
  - name: orders
    consumer: bi
    resource: orders
    access: [read, subscribe]
    role: {name: "{consumer_stage}-Kinesis-Consumer-Role", create: lambda.amazonaws.com}
`)
	d.deploy()
	for stage, consumer := range map[string]string{"alpha": consumerT, "prod": consumerP} {
		role := map[string]string{"alpha": "testing", "prod": "production"}[stage] + "-Kinesis-Consumer-Role"
		stream := func(stage string) string {
			return "arn:aws:kinesis:eu-central-1:" + owners[stage] + ":stream/" + stage + "-shop-pubsub"
		}
		// An empty stream and then new records only, by enhanced fan-out; then all
		// of them by shared reads.
		fanOut := newFunction(t, box, consumer, role)
		fanOut.starting = lambdatypes.EventSourcePositionLatest
		fanOut.reads(d.physical("unit:stream-consumer/orders/"+stage+"/orders#Arn"), "one")
		fanOut.remove()
		shared := newFunction(t, box, consumer, role)
		shared.refused(stream(map[string]string{"alpha": "prod", "prod": "alpha"}[stage]))
		shared.reads(stream(stage), "one", "two")
		shared.remove()
	}
	d.remove()
	if left := d.leftovers(nil); len(left) > 0 {
		t.Errorf("these are left: %q", left)
	}
}
