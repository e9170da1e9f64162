package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/api"
)

func (o *operator) revoke() *cobra.Command {
	return o.leave("crossaccount integration revoke acme int-01a201",
		"Give an integration up for good",
		`Give an integration up for good: no credentials are obtained for it any more.
Those that AWS has issued work until they expire, within the session's duration.
The customer's role stays until the customer deletes the stack. The external ID
is never used again. This cannot be undone, so the integration's id is needed.`,
		"revoke", (*api.Client).Revoke)
}

func (o *operator) disconnect() *cobra.Command {
	return o.leave("crossaccount integration disconnect acme int-01a201",
		"Record that the customer has removed the stack",
		`Record that the customer has removed the stack, as far as we were told. No
credentials are obtained any more. The record and its role are kept, because what
we were told may be wrong: verifying the role again brings the integration back.
To give it up for good, revoke it.`,
		"disconnect", (*api.Client).Disconnect)
}

// leave is a command that ends an integration, for a time or for good.
func (o *operator) leave(example, short, long, verb string, leave func(*api.Client, context.Context, string, string) (*api.Integration, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " CUSTOMER ID",
		Short:             short,
		Long:              long,
		Example:           "  " + example,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: o.customerThenIntegration(true),
		RunE: o.run(func(ctx context.Context, client *api.Client, args []string) error {
			progress := startProgress(o.streams.Err)
			defer progress.stop()
			progress.say("asking the server")
			left, err := leave(client, ctx, args[0], args[1])
			if err != nil {
				return err
			}
			progress.stop()
			return o.result(left, func(w io.Writer) {
				fmt.Fprintf(w, "Integration %s of %s is %s.\n", left.ID, left.CustomerID, left.State)
			})
		}),
	}
}
