package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/api"
)

func newWhoAmI(streams Streams) *cobra.Command {
	u := &roleUser{operator: operator{streams: streams}}
	c := &cobra.Command{
		Use:   "whoami [CUSTOMER]",
		Short: "Ask AWS who we are, and who we are in a customer's account",
		Long: `Ask AWS (sts:GetCallerIdentity) as whom the server makes its calls, or with a
customer as whom it makes them in the customer's account: the account, the ARN that
the customer's CloudTrail shows, the session's name and when it ends. Nothing of it
is secret, and no credentials leave the server.

The server is that of --server or CROSSACCOUNT_SERVER; with --local the database
and the keys of server.yaml on this machine are used.

Exit code 0 if AWS answered, 1 if the customer's role cannot be used, 3 if it could
not be found out.`,
		Example: `  crossaccount whoami
  crossaccount whoami acme --purpose inventory
  crossaccount whoami acme --json | jq -r .arn`,
		Args: cobra.MaximumNArgs(1),
	}
	u.flags(c)
	c.Flags().BoolVar(&u.json, "json", false, "print the result as JSON")
	c.RunE = u.run(func(ctx context.Context, client *api.Client, args []string) error {
		if len(args) == 1 {
			u.request.CustomerID = args[0]
		}
		who, err := client.Identity(ctx, u.request)
		if err != nil {
			return err
		}
		return u.result(who, func(w io.Writer) { printIdentity(w, who, time.Now()) })
	})
	return c
}

func printIdentity(w io.Writer, who *api.Identity, now time.Time) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-12s %s\n", name, oneLine(value))
		}
	}
	line("account", who.AccountID)
	line("ARN", who.ARN)
	line("session", who.SessionName)
	if who.CustomerID == "" {
		return
	}
	purpose := who.Purpose
	if purpose == "" {
		purpose = "none: the whole role"
	}
	line("purpose", purpose)
	line("customer", who.CustomerID)
	line("integration", who.IntegrationID)
	line("region", who.Region)
	if !who.ExpiresAt.IsZero() {
		line("expires", fmt.Sprintf("%s, in %s; it renews itself", who.ExpiresAt.Format(time.RFC3339), who.ExpiresAt.Sub(now).Round(time.Second)))
	}
}
