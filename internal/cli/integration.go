package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/internal/server"
)

func newIntegration(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "integration",
		Short: "Start, verify, list, disconnect and revoke customers' integrations",
		Long: `Work with customers' integrations: on a running server, or with --local on the
database of one on this machine.

  1. crossaccount integration start acme --name "Acme, Inc."
     prints the link with which the customer creates the role.
  2. crossaccount integration verify acme arn:aws:iam::111122223333:role/… --complete
     verifies the role, above all what must not work, and takes it into use.
  3. crossaccount integration verify acme
     verifies it again.

The server is that of --server or CROSSACCOUNT_SERVER, http://127.0.0.1:8080
without either. The operator token is read from --token-file, from
CROSSACCOUNT_OPERATOR_TOKEN_FILE or from CROSSACCOUNT_OPERATOR_TOKEN.

With --json every command prints what the server's API answers: an Integration,
a list of them, a Report (verify), or audit records. The API's description at
/openapi.json of the server has the fields.`,
		Example: `  crossaccount integration start acme --name "Acme, Inc."
  crossaccount integration list --state degraded --json | jq -r '.[].customer_id'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	o := &operator{streams: streams}
	flags := c.PersistentFlags()
	o.connectionFlags(flags)
	flags.BoolVar(&o.json, "json", false, "print the result as JSON")
	c.AddCommand(o.start(), o.list(), o.show(), o.audit(), o.verify(), o.importRole(), o.disconnect(), o.revoke())
	completeConfig(c)
	return c
}

// An operator is who types the commands.
type operator struct {
	streams           Streams
	server, tokenFile string
	config            string
	local, json       bool
}

// connectionFlags registers the flags that say where the server is.
func (o *operator) connectionFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.server, "server", "", "`URL` of the server")
	flags.StringVar(&o.tokenFile, "token-file", "", "`file` with the operator token")
	flags.BoolVar(&o.local, "local", false, "work on the database of this machine, without a server")
	flags.StringVar(&o.config, "config", "", "with --local: the server's configuration `file`")
}

// run gives a command its client.
func (o *operator) run(do func(ctx context.Context, client *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		client, closing, err := o.connect(c.Context())
		if err != nil {
			return err
		}
		err = do(c.Context(), client, args)
		if crossaccount.CodeOf(err) == api.CodeUnauthenticated { // the API's remedy is for programs
			err = crossaccount.NewError(api.CodeUnauthenticated, "the server wants its operator token, and got none or another", "name its file with --token-file or CROSSACCOUNT_OPERATOR_TOKEN_FILE", err)
		}
		return errors.Join(err, closing())
	}
}

func (o *operator) connect(ctx context.Context) (client *api.Client, closing func() error, err error) {
	nothing := func() error { return nil }
	if o.local {
		if o.server != "" {
			return nil, nothing, &exitError{ExitUsage, errors.New("--local and --server: give one of them")}
		}
		config, err := server.ReadConfig(server.Source{File: o.config, Lookup: os.LookupEnv})
		if err != nil {
			return nil, nothing, err
		}
		s, err := server.New(ctx, config, server.NewLogger(io.Discard, config.LogLevel))
		if err != nil {
			return nil, nothing, err
		}
		client, err = s.Local()
		return client, s.Close, err
	}
	if o.config != "" {
		return nil, nothing, &exitError{ExitUsage, errors.New("--config: is for --local")}
	}
	url := first(o.server, os.Getenv("CROSSACCOUNT_SERVER"), "http://127.0.0.1:8080")
	token, err := o.token()
	if err != nil {
		return nil, nothing, err
	}
	client, err = api.NewClient(url, api.WithToken(token))
	return client, nothing, err
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// token reads the operator token; on one's own machine the server may want none.
func (o *operator) token() (string, error) {
	file := o.tokenFile
	if file == "" {
		if token := os.Getenv("CROSSACCOUNT_OPERATOR_TOKEN"); token != "" {
			return token, nil
		}
		if file = os.Getenv("CROSSACCOUNT_OPERATOR_TOKEN_FILE"); file == "" {
			return "", nil
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", &exitError{ExitUsage, err}
	}
	return strings.TrimSpace(string(data)), nil
}

// result prints a result as JSON, or lets text print it for people.
func (o *operator) result(value any, text func(io.Writer)) error {
	if o.json {
		return printJSON(o.streams.Out, value)
	}
	text(o.streams.Out)
	return nil
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // the launch link has ampersands
	return encoder.Encode(value)
}

// printJSONLine prints a value as one line, for those who read line by line.
func printJSONLine(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func (o *operator) start() *cobra.Command {
	request := &api.StartRequest{}
	c := &cobra.Command{
		Use:   "start CUSTOMER",
		Short: "Begin an onboarding and print the launch link",
		Long: `Begin an onboarding, or continue the pending one, and print the link with which
the customer creates the role. The external ID is made once; asking again gives
the same. Link and external ID are for this customer only.`,
		Example: `  crossaccount integration start acme --name "Acme, Inc." --account 111122223333`,
		Args:    cobra.ExactArgs(1),
		RunE: o.run(func(ctx context.Context, client *api.Client, args []string) error {
			request.CustomerID = args[0]
			started, err := client.Start(ctx, request)
			if err != nil {
				return err
			}
			return o.result(started, func(w io.Writer) {
				fmt.Fprintf(w, "Send this link to the customer and nobody else. It opens CloudFormation in %s:\n\n  %s\n\n", started.Region, started.LaunchURL)
				if started.SetupURL != "" {
					fmt.Fprintf(w, "Or send this one, which opens the setup page for this customer without signing in until %s:\n\n  %s\n\n", started.SetupURLExpiresAt.Format(time.RFC3339), started.SetupURL)
				}
				fmt.Fprintf(w, "  integration  %s\n  stack        %s\n  external ID  %s\n", started.IntegrationID, started.StackName, started.ExternalID)
				if !started.LinkExpiresAt.IsZero() {
					fmt.Fprintf(w, "  link works until %s\n", started.LinkExpiresAt.Format(time.RFC3339))
				}
				fmt.Fprintf(w, "\nWhen the stack is complete, its output RoleArn goes here:\n\n  crossaccount integration verify %s ROLE_ARN --complete\n", args[0])
			})
		}),
	}
	c.Flags().StringVar(&request.CustomerName, "name", "", "the customer's name, for people")
	c.Flags().StringVar(&request.Region, "region", "", "region in which the customer launches the stack")
	c.Flags().StringVar(&request.AccountID, "account", "", "the customer's AWS account, if it is known")
	c.Flags().StringVar(&request.IntegrationID, "id", "", "integration of a customer that has several")
	c.ValidArgsFunction = o.customerThenIntegration(false)
	fixedValues(c, "region", regions...)
	return c
}

func (o *operator) list() *cobra.Command {
	var request api.ListRequest
	var states []string
	c := &cobra.Command{
		Use:   "list",
		Short: "List integrations",
		Long: `List integrations of all customers, oldest first, with their state and when their
role was last verified. Those that need somebody are in the state degraded.`,
		Example: `  crossaccount integration list --state degraded
  crossaccount integration list --customer acme --json`,
		Args: cobra.NoArgs,
		PreRunE: func(c *cobra.Command, _ []string) error {
			for _, name := range []string{"customer", "account"} {
				// A variable of a script that is empty by mistake would list everybody.
				if flag := c.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
					return &exitError{ExitUsage, fmt.Errorf("--%s: is empty; leave it out to list those of all", name)}
				}
			}
			return nil
		},
		RunE: o.run(func(ctx context.Context, client *api.Client, _ []string) error {
			for _, state := range states {
				request.States = append(request.States, crossaccount.State(state))
			}
			found := []*api.Integration{}
			progress := startProgress(o.streams.Err)
			defer progress.stop()
			for integration, err := range client.All(ctx, request) {
				if err != nil {
					return err
				}
				found = append(found, integration)
				progress.say(fmt.Sprintf("%d integrations so far", len(found)))
			}
			return o.result(found, func(w io.Writer) { printTable(w, found) })
		}),
	}
	c.Flags().StringVar(&request.CustomerID, "customer", "", "only this customer's")
	c.Flags().StringVar(&request.AccountID, "account", "", "only those of this AWS account")
	c.Flags().StringArrayVar(&states, "state", nil, "only those in this state; may be repeated")
	var all []string
	for _, state := range crossaccount.States() {
		all = append(all, string(state))
	}
	fixedValues(c, "state", all...)
	completeWith(c, "customer", func(c *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return o.customerThenIntegration(false)(c, nil, word)
	})
	return c
}

func printTable(w io.Writer, found []*api.Integration) {
	if len(found) == 0 {
		fmt.Fprintln(w, "There are none. Begin one with crossaccount integration start CUSTOMER.")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CUSTOMER\tINTEGRATION\tSTATE\tACCOUNT\tCHECKED\tREASON")
	for _, i := range found {
		checked := "never"
		if !i.CheckedAt.IsZero() {
			checked = i.CheckedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", i.CustomerID, i.ID, i.State, first(i.AccountID, "-"), checked, first(string(i.DegradedReason), "-"))
	}
	_ = table.Flush() // as for all printing, nobody could be told
}

func (o *operator) show() *cobra.Command {
	var audit bool
	c := &cobra.Command{
		Use:     "show CUSTOMER [ID]",
		Short:   "Show an integration, its last report and, with --audit, who did what to it",
		Example: `  crossaccount integration show acme --audit`,
		Long: `Show an integration: its state, its role, and what the last verification found
out. Without ID it is the customer's only one that is not revoked.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: o.customerThenIntegration(true),
		RunE: o.run(func(ctx context.Context, client *api.Client, args []string) error {
			integration, err := find(ctx, client, args)
			if err != nil {
				return err
			}
			if !audit {
				return o.result(integration, func(w io.Writer) { printIntegration(w, integration) })
			}
			page, err := client.Audit(ctx, integration.CustomerID, integration.ID, 0, "")
			if err != nil {
				return err
			}
			both := struct {
				*api.Integration
				Audit []crossaccount.AuditRecord `json:"audit"`
			}{integration, page.Records}
			return o.result(both, func(w io.Writer) {
				printIntegration(w, integration)
				fmt.Fprintln(w, "\nAudit records, newest first:")
				for _, r := range page.Records {
					fmt.Fprintln(w, "  "+auditLine(r))
				}
			})
		}),
	}
	c.Flags().BoolVar(&audit, "audit", false, "show the newest 100 audit records too")
	return c
}

// find returns the named integration, or the customer's only one.
func find(ctx context.Context, client *api.Client, args []string) (*api.Integration, error) {
	if len(args) > 1 {
		return client.Integration(ctx, args[0], args[1])
	}
	page, err := client.Integrations(ctx, api.ListRequest{CustomerID: args[0], Limit: crossaccount.MaxPage})
	if err != nil {
		return nil, err
	}
	var found []*api.Integration
	for i := range page.Integrations {
		if page.Integrations[i].State != crossaccount.StateRevoked || len(page.Integrations) == 1 {
			found = append(found, &page.Integrations[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, crossaccount.NewError(crossaccount.CodeUnknownCustomer, "the customer has no integration", "begin one with crossaccount integration start", nil)
	case 1:
		return found[0], nil
	}
	return nil, crossaccount.NewError(crossaccount.CodeAmbiguousIntegration, "the customer has several integrations", "name one by its id; crossaccount integration list --customer shows them", nil)
}

func printIntegration(w io.Writer, i *api.Integration) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"integration", i.ID}, {"customer", strings.TrimSpace(i.CustomerID + "  " + i.CustomerName)}, {"state", string(i.State)},
		{"reason", string(i.DegradedReason)}, {"account", i.AccountID}, {"region", i.Region}, {"stack", i.StackName}, {"role", i.RoleARN},
		{"created", stamp(i.CreatedAt)}, {"in use since", stamp(i.ActivatedAt)}, {"checked", stamp(i.CheckedAt)},
	} {
		if row[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
		}
	}
	if i.Candidate != nil {
		fmt.Fprintf(table, "presented\t%s (not in use)\n", i.Candidate.RoleARN)
	}
	if i.Operation != nil && i.Operation.Running {
		fmt.Fprintf(table, "under way\t%s since %s\n", i.Operation.Kind, stamp(i.Operation.StartedAt))
	}
	_ = table.Flush() // as for all printing, nobody could be told
	switch {
	case i.Candidate != nil && i.Candidate.Report != nil:
		printReport(w, i.Candidate.Report)
	case i.Verification != nil:
		printReport(w, i.Verification)
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

func printReport(w io.Writer, report *crossaccount.Report) {
	fmt.Fprintf(w, "\nVerification of %s: %s\n", report.RoleARN, report.Result)
	marks := map[crossaccount.Result]string{
		crossaccount.Passed: "✓", crossaccount.Failed: "✗", crossaccount.Inconclusive: "?", crossaccount.Skipped: "-",
	}
	for _, step := range report.Steps {
		line := fmt.Sprintf("  %s %s", marks[step.Result], step.Expectation)
		if step.Detail != "" && step.Result != crossaccount.Passed {
			line += ": " + step.Detail
		}
		fmt.Fprintln(w, line)
	}
	for _, p := range append(report.Permissions, report.SetupPermissions...) {
		fmt.Fprintf(w, "    permission %s: %s\n", first(p.Sid, strings.Join(p.Actions, ", ")), p.State)
	}
	if report.Result == crossaccount.Passed && !report.Controlled {
		fmt.Fprintln(w, "  uncontrolled: the refusals may come from your own policies; configure a probe and a canary role")
	}
}
