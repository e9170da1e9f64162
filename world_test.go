package crossaccount_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// The accounts of all tests.
const (
	vendorID  = "111111111111"
	oneID     = "222222222222" // customer "one"
	twoID     = "333333333333" // customer "two"
	bucket    = "acme-templates"
	anyone    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`
	canaryARN = "arn:aws:iam::" + vendorID + ":role/canary"
)

// The broker cannot leave the external ID out even if its code is wrong. The
// probe can, because that is its purpose.
const (
	brokerPolicy = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Condition":{"StringLike":{"sts:ExternalId":"*"}}},
		{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"},
		{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::` + bucket + `/*"}]}`
	probePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
	canaryTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole"}]}`
)

// A world is a vendor with its client and two customers' accounts.
type world struct {
	*testing.T
	box           *sandboxtest.Sandbox
	broker, probe aws.Config
	config        *crossaccount.Config
	client        *crossaccount.Client
	store         *crossaccount.MemoryStorage
	log           *syncBuffer
}

// readConfig is a service that reads one bucket, and needs to tag it at first.
func readConfig(broker aws.Config) *crossaccount.Config {
	return &crossaccount.Config{
		ServiceName: "Acme Analytics", ServiceAccountID: vendorID, AWSConfig: broker, TemplateS3Bucket: bucket,
		OngoingPermissions: []crossaccount.Permission{
			{Sid: "ReadData", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::customer-data/*"}},
			{Sid: "ListData", Actions: []string{"s3:ListBucket"}, Resources: []string{"arn:aws:s3:::customer-data"},
				Condition: map[string]any{"StringLike": map[string]any{"s3:prefix": []string{"public/*"}}}},
		},
		SetupPermissions: []crossaccount.Permission{
			{Sid: "TagData", Actions: []string{"s3:PutBucketTagging"}, Resources: []string{"arn:aws:s3:::customer-data"}},
		},
	}
}

// newWorld makes a world whose client waits for nothing, keeps everything in
// memory and logs into a buffer. Options may change all of that.
func newWorld(t *testing.T, options ...crossaccount.Option) *world {
	t.Helper()
	return newWorldIn(t, sandbox.Options{}, options...)
}

func newWorldIn(t *testing.T, o sandbox.Options, options ...crossaccount.Option) *world {
	t.Helper()
	w := &world{T: t, box: sandboxtest.NewWith(t, o, vendorID, oneID, twoID), store: crossaccount.NewMemoryStorage(), log: new(syncBuffer)}
	w.broker = w.box.Account(vendorID).User("secret-broker-name", brokerPolicy)
	w.probe = w.box.Account(vendorID).User("secret-probe-name", probePolicy)
	w.box.Account(vendorID).Role("canary", canaryTrust, nil)
	w.config = readConfig(w.broker)
	w.client = w.newClient(options...)
	return w
}

// newClient makes another client of the same vendor, on the same storage.
func (w *world) newClient(options ...crossaccount.Option) *crossaccount.Client {
	w.Helper()
	defaults := []crossaccount.Option{
		crossaccount.WithStorage(w.store), crossaccount.WithEncryption(testKeys(w.T)),
		crossaccount.WithProbe(w.probe), crossaccount.WithCanaryRole(canaryARN),
		crossaccount.WithLogger(slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		crossaccount.WithPatience(0),
	}
	client, err := crossaccount.New(w.config, append(defaults, options...)...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = client.Close(ctx) // tests that look at its answer close it themselves
	})
	return client
}

// testKeys returns an encryptor whose keys are the same for all clients of a
// test, as they would be for all instances of a service.
func testKeys(t *testing.T) crossaccount.Encryptor {
	t.Helper()
	keys, err := crossaccount.GenerateKeySet(strings.NewReader(strings.Repeat("keys of the tests, not random. ", 10)))
	if err != nil {
		t.Fatal(err)
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		t.Fatal(err)
	}
	return encryptor
}

// prepareBucket makes the template bucket, as an operator does once.
func (w *world) prepareBucket() {
	w.Helper()
	config := *w.config
	config.AWSConfig = w.box.Account(vendorID).Config()
	operator, err := crossaccount.New(&config, crossaccount.WithLogger(nil))
	if err != nil {
		w.Fatal(err)
	}
	if _, err := operator.PrepareTemplateBucket(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// start begins an onboarding.
func (w *world) start(customer string) *crossaccount.IntegrationResponse {
	w.Helper()
	if w.config.TemplateS3Bucket != "" {
		w.prepareBucket()
	}
	response, err := w.client.GenerateIntegrationURL(w.Context(), &crossaccount.IntegrationRequest{CustomerID: customer})
	if err != nil {
		w.Fatal(err)
	}
	return response
}

// launch does what a customer's administrator does: follow the link, create the
// stack, copy the role's ARN.
func (w *world) launch(account, link string) (roleARN string) {
	w.Helper()
	l, err := crossaccount.ParseLaunchLink(link)
	if err != nil {
		w.Fatal(err)
	}
	var parameters []cfntypes.Parameter
	for id, value := range l.Parameters {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(id), ParameterValue: aws.String(value)})
	}
	config := w.box.Account(account).Config()
	config.Region = l.Region
	client := cloudformation.NewFromConfig(config)
	if _, err := client.CreateStack(w.Context(), &cloudformation.CreateStackInput{
		StackName: &l.StackName, TemplateURL: &l.TemplateURL, Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		w.Fatal(err)
	}
	return w.output(client, l.StackName, crossaccount.OutputRoleARN)
}

func (w *world) output(client *cloudformation.Client, stack, key string) string {
	w.Helper()
	described, err := client.DescribeStacks(w.Context(), &cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil {
		w.Fatal(err)
	}
	for _, output := range described.Stacks[0].Outputs {
		if aws.ToString(output.OutputKey) == key {
			return aws.ToString(output.OutputValue)
		}
	}
	w.Fatalf("stack %s is %s (%s) and has no output %s", stack, described.Stacks[0].StackStatus, aws.ToString(described.Stacks[0].StackStatusReason), key)
	return ""
}

// onboard takes a customer through everything and returns the role.
func (w *world) onboard(customer, account string) (roleARN string) {
	w.Helper()
	roleARN = w.launch(account, w.start(customer).LaunchURL)
	if err := w.client.VerifyIntegration(w.Context(), &crossaccount.VerificationRequest{CustomerID: customer, RoleARN: roleARN}); err != nil {
		w.Fatal(err)
	}
	if err := w.client.StoreCustomerCredentials(w.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: customer, RoleARN: roleARN}); err != nil {
		w.Fatal(err)
	}
	return roleARN
}

// verify presents a role and returns the report.
func (w *world) verify(customer, roleARN string) *crossaccount.Report {
	w.Helper()
	report, err := w.client.Verify(w.Context(), &crossaccount.VerificationRequest{CustomerID: customer, RoleARN: roleARN})
	if err != nil {
		w.Fatal(err)
	}
	return report
}

// only returns the customer's one integration.
func (w *world) only(customer string) *crossaccount.Integration {
	w.Helper()
	integrations, err := w.client.Integrations(w.Context(), customer)
	if err != nil {
		w.Fatal(err)
	}
	if len(integrations) != 1 {
		w.Fatalf("customer %q has %d integrations, want 1", customer, len(integrations))
	}
	return integrations[0]
}

// audit returns the actions and outcomes of a customer's audit records, oldest
// first.
func (w *world) audit(customer string) (records []string) {
	w.Helper()
	page, err := w.store.ListAudit(w.Context(), crossaccount.AuditQuery{CustomerID: customer})
	if err != nil {
		w.Fatal(err)
	}
	for i := range page.Records {
		r := page.Records[len(page.Records)-1-i]
		records = append(records, r.Action+" "+r.Outcome)
	}
	return records
}

func (w *world) dump() string {
	w.Helper()
	dump, err := json.Marshal(w.store)
	if err != nil {
		w.Fatal(err)
	}
	return string(dump)
}

// trustWith returns a trust policy for the vendor with one condition, or with
// none.
func trustWith(operator, externalID string) string {
	condition := ""
	if operator != "" {
		condition = `,"Condition":{"` + operator + `":{"sts:ExternalId":"` + externalID + `"}}`
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole"` + condition + `}]}`
}

// wantCode fails unless err has the code.
func wantCode(t *testing.T, err error, code crossaccount.Code) {
	t.Helper()
	if crossaccount.CodeOf(err) != code {
		t.Errorf("got error %v (code %q), want code %q", err, crossaccount.CodeOf(err), code)
	}
}

// A syncBuffer may be written by several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func textLogger(b *syncBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
