package browser

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	vendorID   = "111122223333"
	customerID = "444455556666"
	bucket     = "northwind-templates"
	canary     = "arn:aws:iam::" + vendorID + ":role/canary"

	brokerPolicy = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Condition":{"StringLike":{"sts:ExternalId":"?*"}}},
		{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"},
		{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::` + bucket + `/*"}]}`
	probePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
	trustVendor = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"sts:AssumeRole"}]}`
)

// A vendor is a service with its setup page on a loopback server, and a customer
// with an AWS account.
type vendor struct {
	*testing.T
	box      *sandboxtest.Sandbox
	client   *crossaccount.Client
	store    *crossaccount.MemoryStorage
	page     string       // URL of the setup page
	customer atomic.Value // who is signed in
	skip     atomic.Int64 // how far the sandbox's clock is ahead, in nanoseconds
	delay    time.Duration

	// another returns another client of the same vendor, on the same storage,
	// to whom nobody says who is calling.
	another func(...crossaccount.Option) *crossaccount.Client
}

// newVendor makes a vendor in a sandbox where IAM needs the delay.
func newVendor(t *testing.T, delay time.Duration, change func(*crossaccount.Config)) *vendor {
	t.Helper()
	testenv.IsolateAWS(t)
	v := &vendor{T: t, store: crossaccount.NewMemoryStorage(), delay: delay}
	v.customer.Store("fabrikam")
	clock := func() time.Time { return time.Now().Add(time.Duration(v.skip.Load())) }
	v.box = sandboxtest.NewWith(t, sandbox.Options{IAMDelay: delay, Clock: clock}, vendorID, customerID)
	config := &crossaccount.Config{
		ServiceName: "Northwind Insights", ServiceAccountID: vendorID, TemplateS3Bucket: bucket,
		AWSConfig: v.box.Account(vendorID).User("broker", brokerPolicy),
		OngoingPermissions: []crossaccount.Permission{
			{Sid: "ReadCostReports", Actions: []string{"s3:GetObject", "s3:ListBucket"}, Resources: []string{"arn:aws:s3:::cost-reports", "arn:aws:s3:::cost-reports/*"}},
			{Sid: "SeeUsage", Actions: []string{"ec2:Describe*", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics"}, Resources: []string{"*"}},
		},
		SetupPermissions: []crossaccount.Permission{
			{Sid: "CreateCostReport", Actions: []string{"cur:PutReportDefinition"}, Resources: []string{"*"}},
		},
		BrandingOptions: map[string]string{
			"primary_color": "#4338ca", "display_name": "Northwind", "support_url": "https://northwind.example/help", "privacy_url": "https://northwind.example/privacy",
		},
	}
	if change != nil {
		change(config)
	}
	probe := v.box.Account(vendorID).User("probe", probePolicy)
	v.box.Account(vendorID).Role("canary", trustVendor, nil)
	operator := *config
	operator.AWSConfig = v.box.Account(vendorID).Config()
	preparing, err := crossaccount.New(&operator, crossaccount.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := preparing.PrepareTemplateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.pass(delay)
	keys := newKeys(t)
	v.another = func(options ...crossaccount.Option) *crossaccount.Client {
		client, err := crossaccount.New(config, append([]crossaccount.Option{
			crossaccount.WithStorage(v.store), crossaccount.WithEncryption(keys), crossaccount.WithProbe(probe),
			crossaccount.WithCanaryRole(canary), crossaccount.WithLogger(nil), crossaccount.WithClock(clock),
		}, options...)...)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	v.client = v.another(crossaccount.WithTenantResolver(func(*http.Request) (string, error) { return v.customer.Load().(string), nil }))
	// A prefix that nobody strips.
	router := http.NewServeMux()
	router.Handle("/portal/aws/", v.client.Handler())
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	v.page = server.URL + "/portal/aws/integrate"
	return v
}

func newKeys(t *testing.T) crossaccount.Encryptor {
	t.Helper()
	keys, err := crossaccount.GenerateKeySet(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		t.Fatal(err)
	}
	return encryptor
}

// pass lets the sandbox's time go by.
func (v *vendor) pass(d time.Duration) { v.skip.Add(int64(d)) }

// launch creates the stack of a link, as the AWS console would, and returns the
// role.
func (v *vendor) launch(link string) (roleARN string) {
	v.Helper()
	l, err := crossaccount.ParseLaunchLink(link)
	if err != nil {
		v.Fatal(err)
	}
	var parameters []cfntypes.Parameter
	for id, value := range l.Parameters {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(id), ParameterValue: aws.String(value)})
	}
	client := v.cloudFormation(l.Region)
	if _, err := client.CreateStack(v.Context(), &cloudformation.CreateStackInput{
		StackName: &l.StackName, TemplateURL: &l.TemplateURL, Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		v.Fatal(err)
	}
	described, err := client.DescribeStacks(v.Context(), &cloudformation.DescribeStacksInput{StackName: &l.StackName})
	if err != nil {
		v.Fatal(err)
	}
	for _, output := range described.Stacks[0].Outputs {
		if aws.ToString(output.OutputKey) == crossaccount.OutputRoleARN {
			return aws.ToString(output.OutputValue)
		}
	}
	v.Fatalf("the stack is %s: %s", described.Stacks[0].StackStatus, aws.ToString(described.Stacks[0].StackStatusReason))
	return ""
}

func (v *vendor) cloudFormation(region string) *cloudformation.Client {
	config := v.box.Account(customerID).Config()
	config.Region = region
	return cloudformation.NewFromConfig(config)
}

// finishSetup takes the setup permissions away, as the page tells to.
func (v *vendor) finishSetup(ctx context.Context, stack string) {
	v.Helper()
	parameters := []cfntypes.Parameter{{ParameterKey: aws.String(crossaccount.ParameterSetupPhase), ParameterValue: aws.String("false")}}
	for _, name := range []string{crossaccount.ParameterExternalID, crossaccount.ParameterPreviousExternalID, crossaccount.ParameterRoleName} {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(name), UsePreviousValue: aws.Bool(true)})
	}
	if _, err := v.cloudFormation("us-east-1").UpdateStack(ctx, &cloudformation.UpdateStackInput{
		StackName: &stack, UsePreviousTemplate: aws.Bool(true), Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		v.Fatal(err)
	}
}

// link returns the launch link that the signed-in customer has.
func (v *vendor) link() *crossaccount.IntegrationResponse {
	v.Helper()
	response, err := v.client.GenerateIntegrationURL(v.Context(), &crossaccount.IntegrationRequest{CustomerID: v.customer.Load().(string)})
	if err != nil {
		v.Fatal(err)
	}
	return response
}

// onboard connects the customer's account without a browser.
func (v *vendor) onboard() (roleARN string) {
	v.Helper()
	roleARN = v.launch(v.link().LaunchURL)
	err := v.client.StoreCustomerCredentials(v.Context(), &crossaccount.StoreCredentialsRequest{CustomerID: v.customer.Load().(string), RoleARN: roleARN})
	if err != nil {
		v.Fatal(err)
	}
	return roleARN
}

// only returns the customer's one integration.
func (v *vendor) only() *crossaccount.Integration {
	v.Helper()
	integrations, err := v.client.Integrations(v.Context(), v.customer.Load().(string))
	if err != nil || len(integrations) != 1 {
		v.Fatalf("%d integrations, %v", len(integrations), err)
	}
	return integrations[0]
}

// state returns the state of the customer's one integration.
func (v *vendor) state() crossaccount.State {
	v.Helper()
	return v.only().State
}

// contextThatEnds ends while a verification waits for a new role, as if the
// process had stopped.
func contextThatEnds(v *vendor) (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.Context(), 1500*time.Millisecond)
}
