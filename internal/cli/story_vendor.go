package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount"
)

// What the vendor's own account needs. The broker must not be able to forget
// the external ID, so its policy demands one; the probe must be able to leave it
// out, or its refusals would come from the vendor's own policy.
const (
	administrator = `{"Effect":"Allow","Action":"*","Resource":"*"}`

	brokerPolicy = `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::*:role/*","Condition":{"StringLike":{"sts:ExternalId":"?*"}}},` +
		`{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"arn:aws:iam::*:role/*"},` +
		`{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + vendorBucket + `/*"}`

	probePolicy = `{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"arn:aws:iam::*:role/*"}`
)

func policy(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

func vendorRole(name string) string { return "arn:aws:iam::" + vendorAccount + ":role/" + name }

// prepareVendor sets up the vendor's account and returns configurations for its
// broker and its probe identity.
func (s *story) prepareVendor(ctx context.Context) (broker, probe aws.Config, err error) {
	// The service's own identity. In AWS this would be the role of its task or
	// pod.
	service, err := s.createUser(ctx, s.vendor, "service", `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":["`+vendorRole("broker")+`","`+vendorRole("probe")+`"]}`)
	if err != nil {
		return broker, probe, err
	}
	for _, role := range []struct{ name, trusted, permissions string }{
		{"broker", "arn:aws:iam::" + vendorAccount + ":user/service", brokerPolicy},
		{"probe", "arn:aws:iam::" + vendorAccount + ":user/service", probePolicy},
		{"canary", vendorRole("probe"), ""},
	} {
		if err := s.createRole(ctx, role.name, role.trusted, role.permissions); err != nil {
			return broker, probe, err
		}
	}
	admin, err := crossaccount.New(&crossaccount.Config{
		ServiceName: "Example", ServiceAccountID: vendorAccount, AWSConfig: s.vendor, TemplateS3Bucket: vendorBucket,
	}, crossaccount.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return broker, probe, err
	}
	changes, err := admin.PrepareTemplateBucket(ctx)
	for _, change := range changes {
		s.say("bucket %s: %s", vendorBucket, change)
	}
	return s.assuming(service, "broker"), s.assuming(service, "probe"), err
}

// assuming returns a configuration with a session of one of the vendor's roles.
func (s *story) assuming(base aws.Config, role string) aws.Config {
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), vendorRole(role), func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "example-" + role
	})
	config := base.Copy()
	config.Credentials = aws.NewCredentialsCache(provider)
	return config
}

func (s *story) createRole(ctx context.Context, name, trusted, permissions string) error {
	client := iam.NewFromConfig(s.vendor)
	trust := policy(`{"Effect":"Allow","Principal":{"AWS":"` + trusted + `"},"Action":"sts:AssumeRole"}`)
	if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}); err != nil {
		return err
	}
	if permissions == "" {
		return nil
	}
	_, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("permissions"), PolicyDocument: aws.String(policy(permissions))})
	return err
}

// createUser creates a user with an access key and returns its configuration.
func (s *story) createUser(ctx context.Context, admin aws.Config, name, permissions string) (aws.Config, error) {
	client := iam.NewFromConfig(admin)
	if _, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		return aws.Config{}, err
	}
	_, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("permissions"), PolicyDocument: aws.String(policy(permissions))})
	if err != nil {
		return aws.Config{}, err
	}
	key, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		return aws.Config{}, err
	}
	config := admin.Copy()
	config.Credentials = credentials.NewStaticCredentialsProvider(aws.ToString(key.AccessKey.AccessKeyId), aws.ToString(key.AccessKey.SecretAccessKey), "")
	return config, nil
}

func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
