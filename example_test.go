package crossaccount_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/sandbox"
)

// A vendor onboards a customer. The AWS accounts are those of a sandbox; with
// real ones the code is the same.
func Example() {
	ctx := context.Background()
	box := sandbox.New(sandbox.Options{})
	vendor, customer := account(box, "111111111111"), account(box, "222222222222")

	// The vendor.
	client, err := crossaccount.New(&crossaccount.Config{
		ServiceName:      "Acme Analytics",
		ServiceAccountID: "111111111111",
		TemplateS3Bucket: "acme-analytics-templates",
		AWSConfig:        vendor,
		OngoingPermissions: []crossaccount.Permission{
			{Sid: "ReadReports", Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::reports/*"}},
		},
	}, crossaccount.WithLogger(slog.New(slog.DiscardHandler)),
		crossaccount.WithPurposes(broker.Purpose{Name: "inventory", Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`}))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close(ctx) }()
	if _, err := client.PrepareTemplateBucket(ctx); err != nil {
		log.Fatal(err)
	}
	start, err := client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: "customer-1"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("create", start.StackName)

	// The customer follows the link and copies the role's ARN.
	roleARN := createStack(ctx, customer, start.LaunchURL)

	// The vendor again. A sandbox applies changes at once, AWS takes a moment:
	// a service answers CodePropagating with "try again".
	report, err := client.Verify(ctx, &crossaccount.VerificationRequest{CustomerID: "customer-1", RoleARN: roleARN})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range report.Steps[2:10] {
		fmt.Printf("%-13s %s\n", step.Name, step.Result)
	}
	if err := client.StoreCustomerCredentials(ctx, &crossaccount.StoreCredentialsRequest{CustomerID: "customer-1", RoleARN: roleARN}); err != nil {
		log.Fatal(err)
	}
	config, err := client.AssumeCustomerRole(ctx, "customer-1")
	if err != nil {
		log.Fatal(err)
	}
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Split(*who.Arn, ":")[5])

	// The same role for less, with its name in the customer's CloudTrail.
	inventory, err := client.Config(ctx, "customer-1", "eu-west-1", crossaccount.ForPurpose("inventory"))
	if err != nil {
		log.Fatal(err)
	}
	if who, err = sts.NewFromConfig(inventory).GetCallerIdentity(ctx, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Split(*who.Arn, ":")[5])

	// Output:
	// create Acme-Analytics-customer-1
	// assume        passed
	// identity      passed
	// owner         passed
	// control       skipped
	// missing       passed
	// wrong         passed
	// case_flipped  passed
	// assume_again  passed
	// assumed-role/Acme-Analytics-customer-1/Acme-Analytics@customer-1
	// assumed-role/Acme-Analytics-customer-1/Acme-Analytics@customer-1+inventory
}

// account returns the configuration of a new account of the sandbox.
func account(box *sandbox.Sandbox, id string) aws.Config {
	a, err := box.CreateAccount(id)
	if err != nil {
		log.Fatal(err)
	}
	config, err := administrator(a, box)
	if err != nil {
		log.Fatal(err)
	}
	return config
}

// administrator makes a user, because a root user may not assume roles.
func administrator(a *sandbox.Account, box *sandbox.Sandbox) (aws.Config, error) {
	ctx, root := context.Background(), a.Root()
	config := aws.Config{
		Region: "us-east-1", HTTPClient: box.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, root.SecretAccessKey, ""),
	}
	client, name := iam.NewFromConfig(config), aws.String("admin")
	if _, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); err != nil {
		return aws.Config{}, err
	}
	if _, err := client.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{
		UserName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess"),
	}); err != nil {
		return aws.Config{}, err
	}
	key, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		return aws.Config{}, err
	}
	config.Credentials = credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	return config, nil
}

// createStack does what the AWS console does with a launch link.
func createStack(ctx context.Context, customer aws.Config, link string) (roleARN string) {
	l, err := crossaccount.ParseLaunchLink(link)
	if err != nil {
		log.Fatal(err)
	}
	in := &cloudformation.CreateStackInput{
		StackName: &l.StackName, TemplateURL: &l.TemplateURL,
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam},
	}
	for name, value := range l.Parameters {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	client := cloudformation.NewFromConfig(customer)
	if _, err := client.CreateStack(ctx, in); err != nil {
		log.Fatal(err)
	}
	stacks, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &l.StackName})
	if err != nil {
		log.Fatal(err)
	}
	for _, output := range stacks.Stacks[0].Outputs {
		if *output.OutputKey == crossaccount.OutputRoleARN {
			roleARN = *output.OutputValue
		}
	}
	return roleARN
}
