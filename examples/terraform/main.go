// Command terraform is a vendor whose customers create the role with Terraform
// instead of the launch link. It keeps integrations in a file, so each of its
// commands is a process of its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

const usage = `usage:
  go run . template                    print the Terraform module for customers
  go run . start CUSTOMER              print the customer's variables, as JSON
  go run . complete CUSTOMER ROLE_ARN  verify the role and take it into use
  go run . read CUSTOMER BUCKET KEY    print an object of the customer's
  go run . check CUSTOMER              verify the role in use again`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := func() error {
		vendor, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithDefaultRegion("us-east-1"))
		if err != nil {
			return err
		}
		return run(ctx, os.Args[1:], os.Getenv, vendor, os.Stdout)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run carries out one command with the vendor's AWS configuration.
func run(ctx context.Context, args []string, getenv func(string) string, vendor aws.Config, out io.Writer) (err error) {
	wanted := map[string]int{"template": 1, "start": 2, "complete": 3, "read": 4, "check": 2}
	if len(args) == 0 || wanted[args[0]] != len(args) {
		return errors.New(usage)
	}
	store, err := sqlite.Open(ctx, "crossaccount.db", sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	client, err := newClient(getenv, vendor, store)
	if err != nil {
		return err
	}
	switch args[0] {
	case "template":
		return template(client, out)
	case "start":
		return start(ctx, client, args[1], out)
	case "complete":
		return complete(ctx, client, args[1], args[2], out)
	case "read":
		return read(ctx, client, args[1], args[2], args[3], out)
	default:
		return check(ctx, client, args[1], out)
	}
}

func newClient(getenv func(string) string, vendor aws.Config, store crossaccount.CredentialStorage) (*crossaccount.Client, error) {
	keys, err := crossaccount.OpenKeyFile("crossaccount-keys.json", nil)
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
		crossaccount.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if role := getenv("PROBE_ROLE_ARN"); role != "" { // assumed with the vendor's credentials
		options = append(options, crossaccount.WithProbeRole(role))
	}
	if role := getenv("CANARY_ROLE_ARN"); role != "" {
		options = append(options, crossaccount.WithCanaryRole(role))
	}
	return crossaccount.New(&crossaccount.Config{
		ServiceName:      "Example",
		ServiceAccountID: getenv("SERVICE_ACCOUNT_ID"),
		AWSConfig:        vendor,
		TemplateS3Bucket: getenv("TEMPLATE_S3_BUCKET"),
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

// template prints the module. It is the same for all customers and has no
// external ID in it.
func template(client *crossaccount.Client, out io.Writer) error {
	document, err := client.Template(crossaccount.FormatTerraform)
	if err != nil {
		return err
	}
	_, err = out.Write(document)
	return err
}

// start makes the external ID, or shows it again. The parameters of the launch
// link are the variables of the module.
func start(ctx context.Context, client *crossaccount.Client, customer string, out io.Writer) error {
	started, err := client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: customer})
	if err != nil {
		return err
	}
	link, err := crossaccount.ParseLaunchLink(started.LaunchURL)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(map[string]string{
		"external_id": link.Parameters[crossaccount.ParameterExternalID],
		"role_name":   link.Parameters[crossaccount.ParameterRoleName],
	})
}

func complete(ctx context.Context, client *crossaccount.Client, customer, roleARN string, out io.Writer) error {
	report, err := client.Complete(ctx, &crossaccount.VerificationRequest{CustomerID: customer, RoleARN: roleARN})
	if errors.Is(err, crossaccount.CodePropagating) {
		return fmt.Errorf("%w (a new role needs a moment: run the command again)", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "in use: %s\n", roleARN)
	printPermissions(out, report)
	return nil
}

func read(ctx context.Context, client *crossaccount.Client, customer, bucket, key string, out io.Writer) error {
	config, err := client.AssumeCustomerRole(ctx, customer)
	if err != nil {
		return err
	}
	object, err := s3.NewFromConfig(config).GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	_, err = io.Copy(out, object.Body)
	return err
}

// check is what a vendor does once a day. It fails if the role no longer works,
// and the integration is degraded until it does.
func check(ctx context.Context, client *crossaccount.Client, customer string, out io.Writer) error {
	integrations, err := client.Integrations(ctx, customer)
	if err != nil {
		return err
	}
	for _, integration := range integrations {
		report, err := client.Check(ctx, customer, integration.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %s\n", integration.RoleARN, report.Result)
		printPermissions(out, report)
		if err := report.Err(); err != nil {
			return err
		}
	}
	return nil
}

func printPermissions(out io.Writer, report *crossaccount.Report) {
	for _, p := range report.Permissions {
		fmt.Fprintf(out, "  permission %s: %s\n", p.Sid, p.State)
	}
	for _, p := range report.SetupPermissions {
		fmt.Fprintf(out, "  setup permission %s: %s\n", p.Sid, p.State)
	}
}
