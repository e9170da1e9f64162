package sandbox_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
)

// A role that another account may assume, and what happens when its external
// ID is forgotten.
func Example() {
	box := sandbox.New(sandbox.Options{})
	vendor, _ := box.CreateAccount("111111111111")
	customer, _ := box.CreateAccount("222222222222")

	config := func(c sandbox.Credentials) aws.Config {
		return aws.Config{
			Region:      "us-east-1",
			HTTPClient:  box.Client(),
			Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		}
	}
	ctx := context.Background()

	// The customer trusts the vendor's account, if it knows the external ID.
	role, err := iam.NewFromConfig(config(customer.Root())).CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String("for-vendor"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
			"Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole",
			"Condition":{"StringEquals":{"sts:ExternalId":"example-1f6b"}}}}`),
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The vendor has a user that may assume roles.
	users := iam.NewFromConfig(config(vendor.Root()))
	if _, err := users.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("broker")}); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := users.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String("broker"), PolicyName: aws.String("assume"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`),
	}); err != nil {
		fmt.Println(err)
		return
	}
	key, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("broker")})
	if err != nil {
		fmt.Println(err)
		return
	}
	broker := sts.NewFromConfig(config(sandbox.Credentials{
		AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey,
	}))

	in := &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("demo")}
	_, err = broker.AssumeRole(ctx, in)
	fmt.Println("without:", err != nil)
	in.ExternalId = aws.String("example-1f6b")
	out, err := broker.AssumeRole(ctx, in)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("with:", *out.AssumedRoleUser.Arn)

	calls := box.Calls()
	for _, call := range calls[len(calls)-2:] {
		for _, decision := range call.Decisions {
			fmt.Println(decision.Action, decision.Verdict)
		}
	}
	// Output:
	// without: true
	// with: arn:aws:sts::222222222222:assumed-role/for-vendor/demo
	// sts:AssumeRole ImplicitlyDenied
	// sts:AssumeRole Allowed
}
