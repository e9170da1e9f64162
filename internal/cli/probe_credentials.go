package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// load reads a profile of the AWS configuration, or the environment's, and sees
// that there are credentials: what the SDK says without them helps nobody.
func (p *probe) load(ctx context.Context, profile string) (aws.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if done, ok := p.loaded[profile]; ok {
		return done.config, done.err
	}
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err == nil {
		err = retrieve(ctx, c.Credentials)
	}
	if err != nil {
		err = withoutCredentials(err, profile, p.profiles)
	}
	p.loaded[profile] = loadedConfig{c, err}
	return c, err
}

// A loadedConfig is a profile that was read, or why it could not be.
type loadedConfig struct {
	config aws.Config
	err    error
}

// credentialsTimeout is how long credentials may take: some sources never answer.
const credentialsTimeout = 30 * time.Second

var errCredentialsLate = fmt.Errorf("there were no credentials within %s", credentialsTimeout)

// retrieve sees that there are credentials.
func retrieve(ctx context.Context, from aws.CredentialsProvider) error {
	ctx, cancel := context.WithTimeoutCause(ctx, credentialsTimeout, errCredentialsLate)
	defer cancel()
	_, err := from.Retrieve(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errCredentialsLate) {
		return errCredentialsLate
	}
	return err
}

// withoutCredentials says why there are no credentials, and what to do. Messages
// of STS, which may hold external IDs, are left out.
func withoutCredentials(err error, profile string, ofAccounts bool) error {
	var missing config.SharedConfigProfileNotExistError
	var refused smithy.APIError
	name, use := "the environment", ""
	if profile != "" {
		name, use = fmt.Sprintf("the profile %q", profile), " --profile "+profile
	}
	switch {
	case errors.As(err, &missing) && ofAccounts:
		return fmt.Errorf("the AWS configuration has no profile %q; add it to ~/.aws/config (AWS_CONFIG_FILE), or name another with profile in the account of the manifest", missing.Profile)
	case errors.As(err, &missing):
		return fmt.Errorf("the AWS configuration has no profile %q; add it to ~/.aws/config (AWS_CONFIG_FILE), or name one that is there", missing.Profile)
	case signInEnded(err):
		return fmt.Errorf("the sign-in of %s is missing or has ended; run: aws sso login%s", name, use)
	case errors.As(err, &refused):
		return fmt.Errorf("%s has no credentials: AWS answered %s; check what it refers to (role_arn, source_profile, web_identity_token_file)", name, refused.ErrorCode())
	case errors.Is(err, errCredentialsLate):
		return fmt.Errorf("%s has no credentials: %w; check the network and what it refers to (credential_process, role_arn, sso_session)", name, err)
	case profile == "":
		return errors.New("there are no AWS credentials; give them with --profile NAME, with --profiles for each account's own, or in AWS_PROFILE or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; where the consumer runs on AWS, its role's are found by themselves")
	}
	return fmt.Errorf("%s has no credentials; check its lines in ~/.aws/config and ~/.aws/credentials, or run: aws configure%s", name, use)
}

// signInEnded reports whether signing in again with IAM Identity Center would help.
func signInEnded(err error) bool {
	var token *ssocreds.InvalidTokenError
	if errors.As(err, &token) {
		return true
	}
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		// The file of a sign-in is missing or stale. With sso_session the SDK has
		// only words for it.
		return strings.Contains(err.Error(), "SSO token")
	}
	// The operation that failed is the innermost: a role may be assumed with a sign-in.
	var operation *smithy.OperationError
	for errors.As(err, &operation) {
		err = operation.Err
	}
	if operation == nil {
		return false
	}
	switch operation.Service() {
	case "SSO":
		return refused.ErrorCode() == "UnauthorizedException"
	case "SSO OIDC":
		return slices.Contains([]string{"ExpiredTokenException", "InvalidClientException", "InvalidGrantException", "UnauthorizedClientException"}, refused.ErrorCode())
	}
	return false
}
