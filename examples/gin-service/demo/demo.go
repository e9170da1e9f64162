// Package demo plays AWS for the service: a vendor's account that is set up as
// the README says, and the accounts of two customers.
package demo

import (
	"context"
	_ "embed"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
)

// The vendor's account and what is in it.
const (
	VendorAccount  = "111122223333"
	TemplateBucket = "example-templates"

	BrokerRole = "arn:aws:iam::" + VendorAccount + ":role/example-broker"
	ProbeRole  = "arn:aws:iam::" + VendorAccount + ":role/example-probe"
	CanaryRole = "arn:aws:iam::" + VendorAccount + ":role/example-canary"
)

// The customers' accounts.
const (
	AcmeAccount   = "444455556666"
	GlobexAccount = "777788889999"
)

// What the vendor's roles may do. The README tells vendors to use the same.
var (
	//go:embed broker-policy.json
	brokerPolicy string
	//go:embed probe-policy.json
	probePolicy string
)

// A World is the accounts and the configurations of those who work in them.
type World struct {
	Box           *sandbox.Sandbox
	Administrator aws.Config            // of the vendor's account
	Broker        aws.Config            // the service's role
	Customers     map[string]aws.Config // customer id -> its administrator
}

// New sets up the accounts. Each customer has one report,
// s3://{customer}-reports/2026/q3.csv.
func New(ctx context.Context, options sandbox.Options) (*World, error) {
	w := &World{Box: sandbox.New(options), Customers: make(map[string]aws.Config)}
	vendor, err := w.account(VendorAccount)
	if err != nil {
		return nil, err
	}
	w.Administrator = vendor
	if err := w.roles(ctx); err != nil {
		return nil, err
	}
	for customer, id := range map[string]string{"acme": AcmeAccount, "globex": GlobexAccount} {
		config, err := w.account(id)
		if err != nil {
			return nil, err
		}
		w.Customers[customer] = config
		if err := putReport(ctx, config, customer+"-reports", "2026/q3.csv", "customer,revenue\n"+customer+",42\n"); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// account returns a configuration of a new account's root user. It reaches the
// sandbox within the process and nothing else.
func (w *World) account(id string) (aws.Config, error) {
	account, err := w.Box.CreateAccount(id)
	if err != nil {
		return aws.Config{}, err
	}
	root := account.Root()
	return aws.Config{
		Region:      "us-east-1",
		HTTPClient:  w.Box.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, root.SecretAccessKey, ""),
	}, nil
}

// roles creates the vendor's three roles. In AWS, a task, pod or function would
// run as the broker; here a user takes that part.
func (w *World) roles(ctx context.Context) error {
	client, name := iam.NewFromConfig(w.Administrator), aws.String("service")
	user, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: name})
	if err != nil {
		return err
	}
	if err := createRole(ctx, client, BrokerRole, *user.User.Arn, brokerPolicy); err != nil {
		return err
	}
	if err := createRole(ctx, client, ProbeRole, BrokerRole, probePolicy); err != nil {
		return err
	}
	if err := createRole(ctx, client, CanaryRole, ProbeRole, ""); err != nil {
		return err
	}
	if _, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: name, PolicyName: aws.String("run"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + BrokerRole + `"}]}`),
	}); err != nil {
		return err
	}
	key, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		return err
	}
	service := w.Administrator.Copy()
	service.Credentials = credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	w.Broker = service.Copy()
	w.Broker.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(service), BrokerRole))
	return nil
}

func createRole(ctx context.Context, client *iam.Client, arn, trusted, policy string) error {
	_, name, _ := strings.Cut(arn, ":role/")
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + trusted + `"},"Action":"sts:AssumeRole"}]}`
	if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}); err != nil {
		return err
	}
	if policy == "" {
		return nil
	}
	_, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("permissions"), PolicyDocument: &policy})
	return err
}

func putReport(ctx context.Context, config aws.Config, bucket, key, content string) error {
	client := s3.NewFromConfig(config)
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return err
	}
	_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)})
	return err
}
