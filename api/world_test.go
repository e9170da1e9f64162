package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	vendorID      = "111111111111"
	oneID         = "222222222222" // customer "one"
	twoID         = "333333333333" // customer "two"
	bucket        = "acme-templates"
	canaryARN     = "arn:aws:iam::" + vendorID + ":role/canary"
	operatorToken = "the operator's token in these tests"

	brokerPolicy = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Condition":{"StringLike":{"sts:ExternalId":"*"}}},
		{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"},
		{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::` + bucket + `/*"}]}`
	probePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
	canaryTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole"}]}`
)

// tenantHeader stands for the sessions of an embedding service.
const tenantHeader = "Test-Signed-In-As"

func signedIn(r *http.Request) (string, error) {
	if c := r.Header.Get(tenantHeader); c != "" {
		return c, nil
	}
	return "", api.ErrNoCredentials
}

// A world is a vendor whose API is served on the loopback interface, with two
// customers' accounts. Every answer is compared with the OpenAPI document.
type world struct {
	*testing.T
	box      *sandboxtest.Sandbox
	client   *crossaccount.Client
	options  api.Options
	handler  *api.Handler
	url      string
	log      *syncBuffer
	operator *api.Client
	aws      *gate
	store    *auditGate
}

// An auditGate is a storage that can fail to keep audit records.
type auditGate struct {
	crossaccount.CredentialStorage
	fails atomic.Bool
}

func (g *auditGate) AppendAudit(ctx context.Context, records ...crossaccount.AuditRecord) error {
	if g.fails.Load() {
		return crossaccount.NewError(crossaccount.CodeStorage, "the disk is full", "", nil)
	}
	return g.CredentialStorage.AppendAudit(ctx, records...)
}

// A gate can hold AWS calls back.
type gate struct {
	next    aws.HTTPClient
	mu      sync.RWMutex
	arrived chan struct{} // holds one if a call has arrived
}

func (g *gate) Do(r *http.Request) (*http.Response, error) {
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.next.Do(r)
}

func newWorld(t *testing.T, change ...func(*api.Options)) *world {
	t.Helper()
	w := &world{T: t, box: sandboxtest.New(t, vendorID, oneID, twoID), log: new(syncBuffer), store: &auditGate{CredentialStorage: crossaccount.NewMemoryStorage()}}
	vendor := w.box.Account(vendorID)
	broker, probe := vendor.User("broker", brokerPolicy), vendor.User("probe", probePolicy)
	vendor.Role("canary", canaryTrust, nil)
	w.aws = &gate{next: broker.HTTPClient, arrived: make(chan struct{}, 1)}
	broker.HTTPClient = w.aws
	config := &crossaccount.Config{
		ServiceName: "Acme Analytics", ServiceAccountID: vendorID, AWSConfig: vendor.Config(), TemplateS3Bucket: bucket,
		OngoingPermissions: []crossaccount.Permission{{Sid: "ReadData", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::customer-data/*"}}},
	}
	admin, err := crossaccount.New(config, crossaccount.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.PrepareTemplateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	config.AWSConfig = broker
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := crossaccount.New(config, crossaccount.WithProbe(probe), crossaccount.WithCanaryRole(canaryARN),
		crossaccount.WithLogger(log), crossaccount.WithPatience(0), crossaccount.WithStorage(w.store))
	if err != nil {
		t.Fatal(err)
	}
	options := api.Options{Authenticate: api.FirstOf(api.OperatorToken(operatorToken), api.Tenants(signedIn)), Logger: log, Version: "test"}
	for _, c := range change {
		c(&options)
	}
	w.client, w.options = client, options
	if w.handler, err = api.New(client, options); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(conforming(t, w.handler))
	t.Cleanup(func() {
		server.Close()
		if err := w.handler.Close(t.Context()); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Error(err)
		}
	})
	w.url = server.URL
	w.operator = w.newClient(api.WithToken(operatorToken))
	return w
}

// restart makes another handler, as the next process would, and leaves the first
// one behind as if that had been killed.
func (w *world) restart(change ...func(*api.Options)) {
	w.Helper()
	options := w.options
	for _, c := range change {
		c(&options)
	}
	handler, err := api.New(w.client, options)
	if err != nil {
		w.Fatal(err)
	}
	server := httptest.NewServer(conforming(w.T, handler))
	w.Cleanup(server.Close)
	w.url = server.URL
	w.operator = w.newClient(api.WithToken(operatorToken))
}

func (w *world) newClient(options ...api.ClientOption) *api.Client {
	w.Helper()
	client, err := api.NewClient(w.url, options...)
	if err != nil {
		w.Fatal(err)
	}
	return client
}

// tenant returns a client of somebody who is signed in at the embedding service.
func (w *world) tenant(customer string) *api.Client {
	return w.newClient(api.WithHTTPClient(&http.Client{Transport: asTenant(customer)}))
}

type asTenant string

func (t asTenant) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(tenantHeader, string(t))
	return http.DefaultTransport.RoundTrip(r)
}

// launch creates the stack of a link and returns the role.
func (w *world) launch(account, link string) string {
	w.Helper()
	l, err := crossaccount.ParseLaunchLink(link)
	if err != nil {
		w.Fatal(err)
	}
	var parameters []cfntypes.Parameter
	for id, value := range l.Parameters {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(id), ParameterValue: aws.String(value)})
	}
	client := cloudformation.NewFromConfig(w.box.Account(account).Config())
	if _, err := client.CreateStack(w.Context(), &cloudformation.CreateStackInput{
		StackName: &l.StackName, TemplateURL: &l.TemplateURL, Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		w.Fatal(err)
	}
	described, err := client.DescribeStacks(w.Context(), &cloudformation.DescribeStacksInput{StackName: &l.StackName})
	if err != nil {
		w.Fatal(err)
	}
	for _, output := range described.Stacks[0].Outputs {
		if aws.ToString(output.OutputKey) == crossaccount.OutputRoleARN {
			return aws.ToString(output.OutputValue)
		}
	}
	w.Fatalf("the stack is %s and has no role", described.Stacks[0].StackStatus)
	return ""
}

// start begins an onboarding.
func (w *world) start(client *api.Client, customer string) *crossaccount.IntegrationResponse {
	w.Helper()
	started, err := client.Start(w.Context(), &api.StartRequest{CustomerID: customer})
	if err != nil {
		w.Fatal(err)
	}
	return started
}

// An answer is a response without its body.
type answer struct {
	Status     string
	StatusCode int
	Header     http.Header
	Location   func() (*url.URL, error)
}

// request sends anything and returns the answer and its body.
func (w *world) request(method, path, body string, header ...string) (answer, string) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+operatorToken)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	response, err := http.DefaultTransport.RoundTrip(r) // follows no redirects
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return answer{response.Status, response.StatusCode, response.Header, response.Location}, string(received)
}

// expect compares the code of an error.
func (w *world) expect(err error, want crossaccount.Code) {
	w.Helper()
	if got := crossaccount.CodeOf(err); got != want {
		w.Errorf("got %q (%v), want %q", got, err, want)
	}
}

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
