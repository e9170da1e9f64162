package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

func (o *operator) verify() *cobra.Command {
	var (
		id       string
		complete bool
		timeout  time.Duration
	)
	c := &cobra.Command{
		Use:   "verify CUSTOMER [ROLE_ARN]",
		Short: "Verify a role, and take it into use with --complete",
		Long: `Verify a role that a customer presents: it must work with the external ID, and
be refused without it, with another one, and with its letters in the other case.
With --complete the role is taken into use if it passes.

Without ROLE_ARN the role in use is verified again. If that fails, the
integration is degraded.

The exit code is 0 if the role passed, 1 if it did not, 2 if ROLE_ARN cannot be a
customer's role, and 3 if it could not be found out in the time given, for example
because AWS does not know the role yet. Verifying again continues.`,
		Example: `  crossaccount integration verify acme arn:aws:iam::111122223333:role/example-acme --complete
  crossaccount integration verify acme`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: o.customerThenIntegration(false),
		RunE: o.run(func(ctx context.Context, client *api.Client, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			progress := startProgress(o.streams.Err)
			defer progress.stop()
			progress.say("verifying")
			target := []string{args[0]}
			if id != "" {
				target = append(target, id)
			}
			integration, err := presentedFor(ctx, client, target, args[1:])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				report, err := client.Check(ctx, integration.CustomerID, integration.ID)
				if err != nil {
					return err
				}
				return o.verified(report)
			}
			return o.present(ctx, client, integration, args[1], complete, progress)
		}),
	}
	c.Flags().StringVar(&id, "id", "", "integration of a customer that has several")
	c.Flags().BoolVar(&complete, "complete", false, "take the role into use if it passes")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for a role that AWS does not know yet")
	completeWith(c, "id", o.integrationOfCustomer)
	return c
}

// presentedFor finds the integration that a role is for: the named one, else the one
// of the role's account, else the customer's only one.
func presentedFor(ctx context.Context, client *api.Client, target, role []string) (*api.Integration, error) {
	if len(target) == 1 && len(role) == 1 {
		if parts := strings.Split(role[0], ":"); len(parts) > 4 && parts[4] != "" {
			page, err := client.Integrations(ctx, api.ListRequest{CustomerID: target[0], AccountID: parts[4]})
			if err == nil && len(page.Integrations) == 1 && page.Integrations[0].State != crossaccount.StateRevoked {
				return &page.Integrations[0], nil
			}
		}
	}
	return find(ctx, client, target)
}

// retryEvery is how long the command waits before it asks again about a role
// that AWS does not know yet.
const retryEvery = 5 * time.Second

// present verifies a role until it is known to be right or wrong, and takes it
// into use if wanted.
func (o *operator) present(ctx context.Context, client *api.Client, integration *api.Integration, role string, complete bool, progress *progress) error {
	request := &api.RoleRequest{CustomerID: integration.CustomerID, RoleARN: role}
	for {
		report, err := client.Verify(ctx, integration.ID, request)
		switch {
		case err != nil && !api.Retryable(crossaccount.CodeOf(err)):
			return err
		case err == nil && report.Result == crossaccount.Passed && complete:
			progress.say("taking the role into use")
			completed, err := client.Complete(ctx, integration.ID, request)
			if err != nil {
				return err
			}
			progress.stop()
			return o.result(completed, func(w io.Writer) {
				printReport(w, report)
				fmt.Fprintf(w, "\nThe role is in use: integration %s of %s is %s.\n", completed.ID, completed.CustomerID, completed.State)
			})
		case err == nil && report.Code != crossaccount.CodePropagating:
			progress.stop()
			return o.verified(report)
		}
		progress.say("AWS may not know the role yet; asking again")
		timer := time.NewTimer(retryEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if err != nil {
				return err
			}
			progress.stop()
			return o.verified(report)
		}
	}
}

// verified prints a report and makes an exit code of it.
func (o *operator) verified(report *crossaccount.Report) error {
	if err := o.result(report, func(w io.Writer) { printReport(w, report) }); err != nil {
		return err
	}
	switch report.Result {
	case crossaccount.Passed:
		return nil
	case crossaccount.Failed:
		return &exitError{exitCode(report.Err()), report.Err()}
	default:
		return &exitError{ExitUndetermined, report.Err()}
	}
}

func (o *operator) importRole() *cobra.Command {
	request := &api.ImportRequest{}
	var externalIDFile string
	var only bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "import CUSTOMER ROLE_ARN",
		Short: "Take over an existing role with an existing external ID",
		Long: `Take over a role that a customer made before, with the external ID that its
trust policy demands. This is the exception from the rule that we make external
IDs, so that no customer can choose one: it is recorded with its reason. An
external ID that any integration ever had is refused.

The external ID is read from standard input or from a file, because others can
see the arguments of commands. Then the role is verified like every other and
taken into use; --only-record leaves that for later.`,
		Example: `  crossaccount integration import acme arn:aws:iam::111122223333:role/legacy \
    --external-id-file id.txt --reason "connected in 2019 by hand"`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: o.customerThenIntegration(false),
		RunE: o.run(func(ctx context.Context, client *api.Client, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			externalID, err := o.readSecret(externalIDFile)
			if err != nil {
				return err
			}
			request.CustomerID, request.RoleARN, request.ExternalID = args[0], args[1], externalID
			imported, err := client.Import(ctx, request)
			if err != nil {
				return err
			}
			if only {
				return o.result(imported, func(w io.Writer) { printIntegration(w, imported) })
			}
			progress := startProgress(o.streams.Err)
			defer progress.stop()
			progress.say("verifying")
			err = o.present(ctx, client, imported, args[1], true, progress)
			if err != nil && !o.json {
				fmt.Fprintf(o.streams.Err, "The import stays open. If the external ID is not that of the role's trust policy, give it up and import the role again:\n\n  crossaccount integration revoke %s %s\n\nElse verify it again:\n\n  crossaccount integration verify %s %s --id %s --complete\n\n",
					imported.CustomerID, imported.ID, imported.CustomerID, args[1], imported.ID)
			}
			return err
		}),
	}
	c.Flags().StringVar(&externalIDFile, "external-id-file", "-", "`file` with the external ID; - for standard input")
	c.Flags().StringVar(&request.Reason, "reason", "", "why the external ID may be one that we did not make (required)")
	c.Flags().StringVar(&request.CustomerName, "name", "", "the customer's name, for people")
	c.Flags().StringVar(&request.Region, "region", "", "region of the customer's configuration")
	c.Flags().StringVar(&request.IntegrationID, "id", "", "id that the integration shall have")
	c.Flags().BoolVar(&only, "only-record", false, "record the role without verifying it")
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for AWS to accept the role, which is not new")
	fixedValues(c, "region", regions...)
	if err := c.MarkFlagRequired("reason"); err != nil {
		panic(err) // the flag does not exist
	}
	return c
}

// readSecret reads one line.
func (o *operator) readSecret(name string) (string, error) {
	in := o.streams.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", &exitError{ExitUsage, err}
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return "", &exitError{ExitUsage, err}
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", &exitError{ExitUsage, errors.New("external ID: there is none; write it to standard input or name its file with --external-id-file")}
	}
	return secret, nil
}
