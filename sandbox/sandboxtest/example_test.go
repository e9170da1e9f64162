package sandboxtest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// whoAmI stands for your code: it assumes a customer's role with the
// configuration it is given.
func whoAmI(config aws.Config, role, externalID string) (string, error) {
	config.Credentials = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(config), role, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "example"
		o.ExternalID = &externalID
	})
	out, err := sts.NewFromConfig(config).GetCallerIdentity(context.Background(), nil)
	if err != nil {
		return "", err
	}
	return *out.Arn, nil
}

// Your code runs against accounts that enforce IAM, with the AWS SDK it always
// uses.
func Example() {
	t := new(testing.T) // in a test, the test's own

	box := sandboxtest.New(t, "111111111111", "222222222222")
	vendor := box.Account("111111111111").User("broker",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	role := box.Account("222222222222").Role("for-vendor", `{"Version":"2012-10-17","Statement":{
		"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole",
		"Condition":{"StringEquals":{"sts:ExternalId":"example-1f6b"}}}}`, nil)

	who, err := whoAmI(vendor, role, "example-1f6b")
	fmt.Println(who, err)

	_, err = whoAmI(vendor, role, "example-2a7c")
	fmt.Println("with a wrong external ID:", err != nil)

	// Why it was refused.
	calls := box.Calls()
	refused := calls[len(calls)-1].Decisions[0]
	fmt.Println(refused.Caller, refused.Action, refused.Verdict)

	// Output:
	// arn:aws:sts::222222222222:assumed-role/for-vendor/example <nil>
	// with a wrong external ID: true
	// arn:aws:iam::111111111111:user/broker sts:AssumeRole ImplicitlyDenied
}
