package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
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
		_, err = c.Credentials.Retrieve(ctx)
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

// withoutCredentials says why there are no credentials, and what to do. Messages
// of STS, which may hold external IDs, are left out.
func withoutCredentials(err error, profile string, ofAccounts bool) error {
	var missing config.SharedConfigProfileNotExistError
	var refused smithy.APIError
	name, use := "the environment", ""
	if profile != "" {
		name, use = fmt.Sprintf("the profile %q", profile), " --profile "+profile
	}
	switch text := strings.ToLower(err.Error()); {
	case errors.As(err, &missing) && ofAccounts:
		return fmt.Errorf("the AWS configuration has no profile %q; add it to ~/.aws/config (AWS_CONFIG_FILE), or name another with profile in the account of the manifest", profile)
	case errors.As(err, &missing):
		return fmt.Errorf("the AWS configuration has no profile %q; add it to ~/.aws/config (AWS_CONFIG_FILE), or name one that is there", profile)
	case strings.Contains(text, "sso"):
		return fmt.Errorf("the sign-in of %s is missing or has ended; run: aws sso login%s", name, use)
	case errors.As(err, &refused):
		return fmt.Errorf("%s has no credentials: AWS answered %s; check what it refers to (role_arn, source_profile, web_identity_token_file)", name, refused.ErrorCode())
	case profile == "":
		return errors.New("there are no AWS credentials; give them with --profile NAME, with --profiles for each account's own, or in AWS_PROFILE or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; where the consumer runs on AWS, its role's are found by themselves")
	}
	return fmt.Errorf("%s has no credentials; check its lines in ~/.aws/config and ~/.aws/credentials, or run: aws configure%s", name, use)
}
