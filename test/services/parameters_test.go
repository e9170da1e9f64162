package services

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

func parameter(t *testing.T, config aws.Config, name string, decrypt bool) string {
	t.Helper()
	out, err := ssm.NewFromConfig(config).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: &decrypt})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Parameter.Value
}

func TestParameters(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	client := ssm.NewFromConfig(admin)
	put := func(name, value string, kind types.ParameterType, overwrite bool) error {
		_, err := client.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind, Overwrite: &overwrite})
		return err
	}
	wantCode(t, put("/orders/config", "one", types.ParameterTypeString, false), "")
	wantCode(t, put("/orders/config", "two", types.ParameterTypeString, false), "ParameterAlreadyExists")
	wantCode(t, put("/orders/config", "two", types.ParameterTypeString, true), "")
	wantCode(t, put("/orders/deep/secret", "hidden", types.ParameterTypeSecureString, false), "")
	wantCode(t, put("aws-name", "x", types.ParameterTypeString, false), "ValidationException")
	wantCode(t, put("a/b", "x", types.ParameterTypeString, false), "ValidationException")
	if got := parameter(t, admin, "/orders/config", false); got != "two" {
		t.Errorf("current version %q", got)
	}
	if got := parameter(t, admin, "/orders/config:1", false); got != "one" {
		t.Errorf("version 1 %q", got)
	}
	if got := parameter(t, admin, "arn:aws:ssm:us-east-1:111111111111:parameter/orders/config", false); got != "two" {
		t.Errorf("by ARN %q", got)
	}
	if got := parameter(t, admin, "/orders/deep/secret", false); got == "hidden" {
		t.Error("a SecureString is shown without decryption")
	}
	if got := parameter(t, admin, "/orders/deep/secret", true); got != "hidden" {
		t.Errorf("decrypted %q", got)
	}
	flat, err := client.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: aws.String("/orders")})
	if err != nil || len(flat.Parameters) != 1 {
		t.Errorf("by path: %v %v", flat, err)
	}
	all, err := client.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: aws.String("/orders"), Recursive: aws.Bool(true)})
	if err != nil || len(all.Parameters) != 2 {
		t.Errorf("by path, recursive: %v %v", all, err)
	}

	// The same name means the caller's own account's parameter; others' cannot
	// be named at all without being shared.
	stranger := ssm.NewFromConfig(box.Account(friend).User("stranger", allowAll))
	_, err = stranger.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/orders/config")})
	wantCode(t, err, "ParameterNotFound")
}

// The example of AWS's documentation that trips everybody: permission for the
// path is needed without an asterisk for GetParametersByPath.
func TestParametersAreAuthorised(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := ssm.NewFromConfig(box.Account(owner).User("admin", allowAll))
	for _, p := range []struct {
		name string
		kind types.ParameterType
	}{{"/orders/config", types.ParameterTypeString}, {"/orders/secret", types.ParameterTypeSecureString}, {"/other/config", types.ParameterTypeString}} {
		if _, err := admin.PutParameter(ctx, &ssm.PutParameterInput{Name: &p.name, Value: aws.String("v"), Type: p.kind}); err != nil {
			t.Fatal(err)
		}
	}
	app := ssm.NewFromConfig(box.Account(owner).User("app", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ssm:GetParameter","ssm:GetParametersByPath"],"Resource":"arn:aws:ssm:us-east-1:111111111111:parameter/orders/*"}}`))
	get := func(name string, decrypt bool) error {
		_, err := app.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: &decrypt})
		return err
	}
	wantCode(t, get("/orders/config", false), "")
	wantCode(t, get("/other/config", false), "AccessDeniedException")
	wantCode(t, get("/none", false), "AccessDeniedException") // whether it exists is not told
	// The account's own key for parameters lets every principal of the account
	// in through the service: no identity policy for KMS is needed.
	wantCode(t, get("/orders/secret", true), "")
	_, err := app.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: aws.String("/orders")})
	wantCode(t, err, "AccessDeniedException")
}
