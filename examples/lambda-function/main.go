// Command lambda-function is an AWS Lambda function behind API Gateway through
// which customers connect their AWS accounts and read their reports.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/crossaccount/crossaccount"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	f, err := newFunction(context.Background(), os.LookupEnv, log)
	if err != nil {
		log.Error("the function cannot start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(f.handle)
}

// newFunction makes the function from its environment. It runs once for each
// execution environment.
func newFunction(ctx context.Context, lookup func(string) (string, bool), log *slog.Logger) (*function, error) {
	storage, err := openStorage(lookup)
	if err != nil {
		return nil, err
	}
	vendor, err := awsconfig.LoadDefaultConfig(ctx) // the function's own role
	if err != nil {
		return nil, err
	}
	client, err := newClient(lookup, vendor, storage, log)
	if err != nil {
		return nil, err
	}
	claim, ok := lookup("CUSTOMER_CLAIM")
	if !ok {
		claim = "custom:customer_id"
	}
	return &function{client: client, claim: claim, log: log}, nil
}

// openStorage decides where integrations are kept. Environments of a function
// share no memory and no disk, so a function for real customers needs a storage
// that they share: put it here.
func openStorage(lookup func(string) (string, bool)) (crossaccount.CredentialStorage, error) {
	if forget, _ := lookup("FORGET_EVERYTHING"); forget != "true" {
		return nil, errors.New("this example has no storage that several environments share: add one in openStorage, or set FORGET_EVERYTHING=true to try the function without")
	}
	return crossaccount.NewMemoryStorage(), nil
}

func newClient(lookup func(string) (string, bool), vendor aws.Config, storage crossaccount.CredentialStorage, log *slog.Logger) (*crossaccount.Client, error) {
	env := func(name string) string {
		value, _ := lookup(name)
		return value
	}
	// The content of a key file. All environments of the function have the same.
	keys, err := crossaccount.KeysFromEnvironment(lookup, "CROSSACCOUNT_KEYS")
	if err != nil {
		return nil, err
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		return nil, err
	}
	options := []crossaccount.Option{
		crossaccount.WithStorage(storage),
		crossaccount.WithEncryption(encryptor),
		crossaccount.WithLogger(log),
		// API Gateway waits for 29 seconds. Whoever completes too early is told
		// to come back.
		crossaccount.WithPatience(5 * time.Second),
	}
	if role := env("BROKER_ROLE_ARN"); role != "" { // the function's own role
		options = append(options, crossaccount.WithBrokerRole(role))
	}
	if role := env("PROBE_ROLE_ARN"); role != "" { // assumed with the function's role
		options = append(options, crossaccount.WithProbeRole(role))
	}
	if role := env("CANARY_ROLE_ARN"); role != "" {
		options = append(options, crossaccount.WithCanaryRole(role))
	}
	return crossaccount.New(&crossaccount.Config{
		ServiceName:      "Example",
		ServiceAccountID: env("SERVICE_ACCOUNT_ID"),
		AWSConfig:        vendor,
		TemplateS3Bucket: env("TEMPLATE_S3_BUCKET"),
		OngoingPermissions: []crossaccount.Permission{{
			Sid: "ReadReports", Effect: "Allow",
			Actions:   []string{"s3:GetObject"},
			Resources: []string{"arn:aws:s3:::*-reports/*"},
		}},
		SetupPermissions: []crossaccount.Permission{{
			Sid: "FindBuckets", Effect: "Allow",
			Actions:   []string{"s3:ListAllMyBuckets"},
			Resources: []string{"*"},
		}},
	}, options...)
}
