package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount"
)

// A new role works after seconds to minutes. Rather than to keep a request
// waiting for so long, we answer 409 and let the client ask again.
const patience = 5 * time.Second

// settings are what differs between installations. The README explains them.
type settings struct {
	listen    string
	name      string // what customers know the service by
	accountID string // ours, the vendor's
	bucket    string // for templates
	region    string

	brokerRole string // the role this service runs as
	probeRole  string // the second identity, for verification
	canaryRole string // what the probe can assume without an external ID

	database string        // a file; made at the first start
	keyFile  string        // seals external IDs; made at the first start
	tokens   string        // see parseTokens
	patience time.Duration // how long one request waits for a new role
}

func settingsFrom(getenv func(string) string) (settings, error) {
	or := func(name, otherwise string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return otherwise
	}
	s := settings{
		listen:     or("LISTEN", "127.0.0.1:8080"),
		name:       or("SERVICE_NAME", "Example"),
		accountID:  getenv("SERVICE_ACCOUNT_ID"),
		bucket:     getenv("TEMPLATE_S3_BUCKET"),
		region:     or("DEFAULT_REGION", crossaccount.DefaultRegion),
		brokerRole: getenv("BROKER_ROLE_ARN"),
		probeRole:  getenv("PROBE_ROLE_ARN"),
		canaryRole: getenv("CANARY_ROLE_ARN"),
		database:   or("DATABASE", "crossaccount.db"),
		keyFile:    or("KEY_FILE", "crossaccount-keys.json"),
		tokens:     getenv("CUSTOMER_TOKENS"),
		patience:   patience,
	}
	if s.accountID == "" || s.bucket == "" {
		return s, errors.New("set SERVICE_ACCOUNT_ID and TEMPLATE_S3_BUCKET, or try the service with -demo")
	}
	return s, nil
}

// config says what the service asks of its customers.
func (s settings) config(vendor aws.Config) *crossaccount.Config {
	return &crossaccount.Config{
		ServiceName:      s.name,
		ServiceAccountID: s.accountID,
		AWSConfig:        vendor,
		DefaultRegion:    s.region,
		TemplateS3Bucket: s.bucket,
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
	}
}

// newClient makes the client that the whole service shares.
func newClient(s settings, vendor aws.Config, store crossaccount.CredentialStorage, log *slog.Logger) (*crossaccount.Client, error) {
	keys, err := crossaccount.OpenKeyFile(s.keyFile, nil)
	if err != nil {
		return nil, err
	}
	encryptor, err := crossaccount.NewAESEncryptor(keys)
	if err != nil {
		return nil, err
	}
	options := []crossaccount.Option{
		crossaccount.WithStorage(store),
		crossaccount.WithEncryption(encryptor),
		crossaccount.WithLogger(log),
		crossaccount.WithTenantResolver(callerOf),
		crossaccount.WithPatience(s.patience),
	}
	if s.brokerRole != "" {
		options = append(options, crossaccount.WithBrokerRole(s.brokerRole))
	}
	if s.probeRole != "" { // assumed with our own credentials
		options = append(options, crossaccount.WithProbeRole(s.probeRole))
	}
	if s.canaryRole != "" {
		options = append(options, crossaccount.WithCanaryRole(s.canaryRole))
	}
	return crossaccount.New(s.config(vendor), options...)
}

// prepareBucket is run once, by an administrator of the vendor's account.
func prepareBucket(ctx context.Context, s settings, administrator aws.Config, out io.Writer) error {
	client, err := crossaccount.New(s.config(administrator), crossaccount.WithLogger(nil))
	if err != nil {
		return err
	}
	changes, err := client.PrepareTemplateBucket(ctx)
	for _, change := range changes {
		fmt.Fprintf(out, "bucket %s: %s\n", s.bucket, change)
	}
	return err
}
