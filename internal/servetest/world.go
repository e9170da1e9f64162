// Package servetest runs the real `crossaccount serve` in a process of its own,
// with a sandbox on the loopback interface as its AWS. It is for tests and
// benchmarks, which drive the server through its HTTP API and play the customers.
package servetest

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/sandbox"
)

// What the vendor of a [World] is.
const (
	VendorID = "111122223333"
	Bucket   = "example-templates"
	Token    = "the operator's token of a test, long enough" // of the served API

	vendorRoles = "arn:aws:iam::" + VendorID + ":role/"
	serviceUser = "arn:aws:iam::" + VendorID + ":user/service"
)

const servicePolicy = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"sts:AssumeRole","Resource":["` + vendorRoles + `broker","` + vendorRoles + `probe"]}]}`

// roles are the vendor's: who may assume each of them, and what it may do.
var roles = []struct{ name, trusted, policy string }{
	{"broker", serviceUser, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Condition":{"StringLike":{"sts:ExternalId":"?*"}}},
		{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"},
		{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + Bucket + `/*"}]}`},
	{"probe", serviceUser, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}]}`},
	{"canary", vendorRoles + "probe", ""},
}

// Policies returns the policies of the vendor's roles, as the manual shows them:
// those of broker and probe, and the trust policy of the canary.
func Policies() []string {
	var policies []string
	for _, role := range roles {
		if role.policy != "" {
			policies = append(policies, role.policy)
		} else {
			policies = append(policies, trusting(role.trusted))
		}
	}
	return policies
}

func trusting(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}]}`
}

// Configuration is the server.yaml of the served vendor. Everything is there
// that makes verification controlled.
const Configuration = `assume_broker_role: true
service:
  service_name: Example
  service_account_id: "` + VendorID + `"
  template_s3_bucket: ` + Bucket + `
  broker_role_arn: ` + vendorRoles + `broker
  probe_role_arn: ` + vendorRoles + `probe
  canary_role_arn: ` + vendorRoles + `canary
  patience: 0s
  ongoing_permissions:
    - sid: ReadReports
      actions: [s3:GetObject]
      resources: ["arn:aws:s3:::*-reports/*"]
`

// A World is AWS for one server: the vendor's account, prepared, and the
// customers' accounts that were made so far. It is safe for concurrent use.
type World struct {
	Box *sandbox.Sandbox

	folder      string // the server's working directory
	environment []string
	server      *httptest.Server
}

// NewWorld prepares the vendor's account and a folder with the configuration of
// its server. [World.Close] ends it.
func NewWorld(ctx context.Context, folder string) (*World, error) {
	w := &World{Box: sandbox.New(sandbox.Options{}), folder: folder}
	vendor, err := w.Box.CreateAccount(VendorID)
	if err != nil {
		return nil, err
	}
	admin := w.Config(vendor)
	key, err := prepareVendor(ctx, admin)
	if err != nil {
		return nil, err
	}
	// The template bucket demands TLS.
	w.server = httptest.NewUnstartedServer(w.Box)
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // servers are killed
	w.server.StartTLS()
	bundle := filepath.Join(folder, "aws.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
	err = errors.Join(
		os.WriteFile(bundle, certificate, 0o600),
		os.WriteFile(filepath.Join(folder, "server.yaml"), []byte(Configuration), 0o600),
	)
	w.environment = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "NO_PROXY=*",
		"AWS_ENDPOINT_URL=" + w.server.URL, "AWS_CA_BUNDLE=" + bundle, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=" + aws.ToString(key.AccessKeyId), "AWS_SECRET_ACCESS_KEY=" + aws.ToString(key.SecretAccessKey),
		"AWS_CONFIG_FILE=" + folder + "/none", "AWS_SHARED_CREDENTIALS_FILE=" + folder + "/none", "AWS_EC2_METADATA_DISABLED=true",
		"CROSSACCOUNT_OPERATOR_TOKEN=" + Token, "CROSSACCOUNT_LISTEN=127.0.0.1:0", "CROSSACCOUNT_LOG_LEVEL=warn",
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Close ends AWS, not the servers that use it.
func (w *World) Close() { w.server.Close() }

func prepareVendor(ctx context.Context, admin aws.Config) (*iamKey, error) {
	client := iam.NewFromConfig(admin)
	user := aws.String("service")
	if _, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: user}); err != nil {
		return nil, err
	}
	if _, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("service"), PolicyDocument: aws.String(servicePolicy)}); err != nil {
		return nil, err
	}
	for _, role := range roles {
		trust := trusting(role.trusted)
		if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &role.name, AssumeRolePolicyDocument: &trust}); err != nil {
			return nil, err
		}
		if role.policy == "" {
			continue
		}
		if _, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role.name, PolicyName: &role.name, PolicyDocument: &role.policy}); err != nil {
			return nil, err
		}
	}
	vendor, err := crossaccount.New(&crossaccount.Config{
		ServiceName: "Example", ServiceAccountID: VendorID, AWSConfig: admin, TemplateS3Bucket: Bucket,
	}, crossaccount.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	if _, err := vendor.PrepareTemplateBucket(ctx); err != nil {
		return nil, err
	}
	out, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		return nil, err
	}
	return &iamKey{out.AccessKey.AccessKeyId, out.AccessKey.SecretAccessKey}, nil
}

type iamKey struct{ AccessKeyId, SecretAccessKey *string }

// Config returns a configuration of an account's root user.
func (w *World) Config(account *sandbox.Account) aws.Config {
	root := account.Root()
	return aws.Config{
		Region: "us-east-1", HTTPClient: w.Box.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, root.SecretAccessKey, ""),
	}
}

// Launch does what a customer does with a launch link: it creates the stack in
// the customer's account, which is made if there is none, and returns the ARN of
// the role.
func (w *World) Launch(ctx context.Context, accountID, link string) (roleARN string, err error) {
	account, err := w.account(accountID)
	if err != nil {
		return "", err
	}
	l, err := crossaccount.ParseLaunchLink(link)
	if err != nil {
		return "", err
	}
	var parameters []cfntypes.Parameter
	for name, value := range l.Parameters {
		parameters = append(parameters, cfntypes.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	client := cloudformation.NewFromConfig(w.Config(account))
	if _, err := client.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &l.StackName, TemplateURL: &l.TemplateURL, Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		return "", err
	}
	described, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &l.StackName})
	if err != nil {
		return "", err
	}
	for _, output := range described.Stacks[0].Outputs {
		if aws.ToString(output.OutputKey) == crossaccount.OutputRoleARN {
			return aws.ToString(output.OutputValue), nil
		}
	}
	return "", fmt.Errorf("the stack is %s and has no role", described.Stacks[0].StackStatus)
}

func (w *World) account(id string) (*sandbox.Account, error) {
	for _, a := range w.Box.Accounts() {
		if a.ID() == id {
			return a, nil
		}
	}
	return w.Box.CreateAccount(id)
}

// AccountID returns the AWS account of the customer with a number.
func AccountID(number int) string { return fmt.Sprintf("%012d", 500_000_000_000+number) }
