package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
)

// What AWS refused is not taken for a sign-in that ended, whatever names are in it.
func TestWithoutCredentials(t *testing.T) {
	refusal := func(service, code, message string) error {
		return &smithy.OperationError{ServiceID: service, OperationName: "Any", Err: &smithy.GenericAPIError{Code: code, Message: message}}
	}
	const (
		signIn = `the sign-in of the profile "p" is missing or has ended; run: aws sso login --profile p`
		lines  = `the profile "p" has no credentials; check its lines`
	)
	for name, tt := range map[string]struct {
		err     error
		profile string
		want    string
	}{
		"a role of Identity Center is refused": {refusal("STS", "AccessDenied", "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_x/y"), "p", `the profile "p" has no credentials: AWS answered AccessDenied;`},
		"a role with three letters":            {refusal("STS", "AccessDenied", "role/processor"), "", "the environment has no credentials: AWS answered AccessDenied;"},
		"words about another token":            {refusal("STS", "AccessDenied", "the SSO token"), "p", `the profile "p" has no credentials: AWS answered AccessDenied;`},
		"a path with three letters":            {errors.New("open /srv/processor: no such file"), "p", lines},
		"the portal refuses the sign-in":       {refusal("SSO", "UnauthorizedException", "m"), "p", signIn},
		"the portal refuses the role":          {refusal("SSO", "ForbiddenException", "m"), "p", `the profile "p" has no credentials: AWS answered ForbiddenException;`},
		"the sign-in cannot be renewed":        {fmt.Errorf("refresh: %w", refusal("SSO OIDC", "InvalidGrantException", "m")), "p", signIn},
		"below an assumed role":                {&smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: refusal("SSO", "UnauthorizedException", "m")}, "p", signIn},
		"a sign-in that ended":                 {fmt.Errorf("retrieve: %w", &ssocreds.InvalidTokenError{}), "p", signIn},
		"no sign-in":                           {fmt.Errorf("failed to read cached SSO token file, %w", fs.ErrNotExist), "p", signIn},
		"AWS_PROFILE is wrong":                 {config.SharedConfigProfileNotExistError{Profile: "typo"}, "", `the AWS configuration has no profile "typo";`},
		"--profile is wrong":                   {config.SharedConfigProfileNotExistError{Profile: "p"}, "p", `the AWS configuration has no profile "p";`},
		"nothing":                              {errors.New("no EC2 IMDS role found"), "", "there are no AWS credentials;"},
		"no answer":                            {errCredentialsLate, "p", `the profile "p" has no credentials: there were no credentials within 30s;`},
	} {
		if got := withoutCredentials(tt.err, tt.profile, false); !strings.HasPrefix(got.Error(), tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A source of credentials that never answers is not waited for.
func TestCredentialsThatAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			<-ctx.Done()
			return aws.Credentials{}, ctx.Err()
		})
		if err := retrieve(t.Context(), silent); !errors.Is(err, errCredentialsLate) {
			t.Error(err)
		}
		interrupted, cancel := context.WithCancel(t.Context())
		cancel()
		if err := retrieve(interrupted, silent); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
