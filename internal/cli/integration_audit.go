package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

func (o *operator) audit() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "audit CUSTOMER [ID]",
		Short: "List who did what to an integration, newest first",
		Long: `List the audit records of an integration, newest first: every change of its state,
every verification, every session that was obtained, every hand-out of credentials
and the tokens for it, with who did it. The access key joins them with each other and
with the customer's CloudTrail. Without ID it is the customer's only integration that
is not revoked.

That a token was issued or revoked is recorded for the integrations its customers
have at that moment: not for one that is added later, nor for one that was revoked
before. "crossaccount token list" shows every token, whenever it was issued.`,
		Example: `  crossaccount integration audit acme
  crossaccount integration audit acme --limit 0 --json > audit.json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: o.customerThenIntegration(true),
		RunE: o.run(func(ctx context.Context, client *api.Client, args []string) error {
			if limit < 0 {
				return &exitError{ExitUsage, fmt.Errorf("--limit %d: must not be negative", limit)}
			}
			progress := startProgress(o.streams.Err)
			defer progress.stop()
			progress.say("asking the server")
			integration, err := find(ctx, client, args)
			if err != nil {
				return err
			}
			records := []crossaccount.AuditRecord{}
			for cursor := ""; ; {
				page, err := client.Audit(ctx, integration.CustomerID, integration.ID, 0, cursor)
				if err != nil {
					return err
				}
				records = append(records, page.Records...)
				if limit > 0 && len(records) >= limit {
					records = records[:limit]
					break
				}
				if cursor = page.Next; cursor == "" {
					break
				}
				progress.say(fmt.Sprintf("%d records so far", len(records)))
			}
			progress.stop()
			return o.result(records, func(w io.Writer) {
				for _, r := range records {
					fmt.Fprintln(w, auditLine(r))
				}
			})
		}),
	}
	c.Flags().IntVar(&limit, "limit", 100, "at most so many records; 0 for all")
	return c
}

func auditLine(r crossaccount.AuditRecord) string {
	line := fmt.Sprintf("%s  %-24s %s by %s", r.Time.Format(time.RFC3339), r.Action, r.Outcome, first(r.Actor, "the service"))
	for _, detail := range []struct{ key, name string }{
		{"purpose", "purpose"}, {"purposes", "purposes"}, {"access_key_id", "access key"}, {"event", "event"}, {"name", "name"}, {"token", "token"},
	} {
		if value := r.Details[detail.key]; value != "" {
			line += ", " + detail.name + " " + oneLine(value)
		}
	}
	return line
}
