package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func newCredentialProcess(streams Streams) *cobra.Command {
	u := &roleUser{operator: operator{streams: streams}}
	c := &cobra.Command{
		Use:   "credential-process CUSTOMER",
		Short: "Print a customer's credentials for ~/.aws/config",
		Long: `Print credentials of a customer's role in the form that credential_process of
~/.aws/config wants. Every AWS SDK and the aws command run it by themselves, and
again shortly before the credentials expire:

  [profile acme]
  credential_process = crossaccount credential-process acme
  region = us-east-1

  [profile acme-inventory]
  credential_process = crossaccount credential-process acme --purpose inventory --endpoint unix:/run/crossaccount/credentials.sock --token-file /run/reports/token

Then: aws s3 ls --profile acme. The output has secrets; "crossaccount exec" runs a
command without showing any.

` + whereFrom + `

https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html`,
		Example: `  crossaccount credential-process acme
  aws configure set profile.acme.credential_process "crossaccount credential-process acme"`,
		Args: cobra.ExactArgs(1),
	}
	u.flags(c)
	u.endpointFlag(c)
	c.RunE = u.use(func(ctx context.Context, from issuer, args []string) error {
		u.request.CustomerID = args[0]
		issued, err := from.Credentials(ctx, &u.request)
		if err != nil {
			return err
		}
		// The names are AWS's.
		return printJSON(streams.Out, struct {
			Version         int
			AccessKeyID     string `json:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      string
			AccountID       string `json:"AccountId,omitempty"`
		}{1, issued.AccessKeyID, issued.SecretAccessKey, issued.SessionToken, issued.ExpiresAt.UTC().Truncate(time.Second).Format(time.RFC3339), issued.AccountID})
	})
	return c
}
