package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/internal/server"
)

func newToken(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Issue, list and revoke tokens for the server's credentials endpoint",
		Long: `Issue, list and revoke the tokens with which programs on the server's machine get
customers' credentials. They are for the endpoint of credentials_listen, which all
AWS SDKs and the aws command understand:

  crossaccount token issue reports-job --customer acme --purpose inventory --out /run/reports/token
  export AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9911/credentials/acme/inventory
  export AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/run/reports/token

or, where the server listens on a socket,

  crossaccount exec acme --purpose inventory --endpoint unix:/run/crossaccount/credentials.sock --token-file /run/reports/token -- ./collect

A token is good for the customers and purposes it was issued for and ends at its
time. Only its hash is kept, in the file of credentials_tokens; a server that runs
learns of changes within seconds. Who was given a token, and when it was revoked, is
in the audit records of the integrations that the customers have then, in the
server's database.`,
		Example: `  crossaccount token list
  crossaccount token revoke 3f9c1a2b4d5e6f70`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newTokenIssue(streams), newTokenList(streams), newTokenRevoke(streams))
	return c
}

// issuedToken is shown once.
type issuedToken struct {
	Token string `json:"token,omitempty"` // not if it was written to a file
	shownToken
}

// A shownToken is what may be seen of a token.
type shownToken struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Customers    []string  `json:"customers"`
	Purposes     []string  `json:"purposes"` // "" is the whole role
	Integrations []string  `json:"integrations,omitempty"`
	IssuedAt     time.Time `json:"issued_at"`
	ExpiresAt    time.Time `json:"expires_at"`
	State        string    `json:"state"` // valid, expired or revoked
}

func shownOf(r broker.TokenRecord, now time.Time) shownToken {
	state := "valid"
	switch {
	case r.Revoked:
		state = "revoked"
	case !r.ExpiresAt.After(now):
		state = "expired"
	}
	return shownToken{r.ID, r.Name, r.Customers, r.Purposes, r.Integrations, r.IssuedAt, r.ExpiresAt, state}
}

// The settings of the server that tokens have to do with.
var (
	tokenSettings  = []string{"credentials_tokens"}
	revokeSettings = append([]string{"database"}, tokenSettings...)
	issueSettings  = append([]string{"credentials_listen"}, revokeSettings...)
)

// tokenProblem is an error of the registry.
func tokenProblem(err error) error {
	var ours *broker.Error
	if err == nil || !errors.As(err, &ours) {
		return err
	}
	code := ExitUsage
	if ours.Code == broker.CodeUnavailable {
		code = ExitInternal
	}
	message := ours.Message
	if cause := ours.Unwrap(); cause != nil {
		message += ": " + cause.Error() // of the file
	}
	return &exitError{code, errors.New(message)}
}

func newTokenIssue(streams Streams) *cobra.Command {
	var (
		template broker.TokenRecord
		whole    bool
		lifetime time.Duration
		out      string
	)
	c := &cobra.Command{
		Use:   "issue NAME",
		Short: "Make a token and show it once",
		Long: `Make a token for somebody called NAME, which audit records will show, and print it.
Nobody can get it a second time. With --out it is written to a file of mode 0600,
which must not exist yet, and not shown. What cannot be written into the audit records
is not issued.

Say with --purpose what it is for; the purposes are those of server.yaml. With
--whole-role it may also have everything the customer's role may do.`,
		Example: `  crossaccount token issue reports-job --customer acme --customer globex --purpose inventory
  crossaccount token issue migration --customer acme --whole-role --for 8h --out token`,
		Args: cobra.ExactArgs(1),
	}
	read := configFlags(c, issueSettings...)
	completeConfig(c)
	asJSON := c.Flags().Bool("json", false, "print the result as JSON")
	c.Flags().StringArrayVar(&template.Customers, "customer", nil, "customer whose credentials it is for; may be repeated")
	c.Flags().StringArrayVar(&template.Purposes, "purpose", nil, "`purpose` it is for; may be repeated")
	c.Flags().BoolVar(&whole, "whole-role", false, "it is also for the whole role, without a purpose's session policy")
	c.Flags().StringArrayVar(&template.Integrations, "integration", nil, "the only integrations it is for; may be repeated")
	c.Flags().DurationVar(&lifetime, "for", 90*24*time.Hour, "how long it works")
	c.Flags().StringVar(&out, "out", "", "`file` to write it to")
	c.RunE = func(c *cobra.Command, args []string) error {
		config, err := read()
		if err != nil {
			return err
		}
		if err := checkBounds(config, template, whole); err != nil {
			return &exitError{ExitUsage, err}
		}
		if whole {
			template.Purposes = append(template.Purposes, "")
		}
		now := time.Now()
		template.ExpiresAt = now.Add(lifetime)
		token, record, err := broker.IssueToken(nil, now, args[0], template)
		if err != nil {
			return tokenProblem(err)
		}
		if err := keepToken(c.Context(), config, record, token, out); err != nil {
			return err
		}
		issued := issuedToken{Token: token, shownToken: shownOf(record, now)}
		if out != "" {
			issued.Token = ""
		}
		if *asJSON {
			return printJSON(streams.Out, issued)
		}
		printIssued(streams, config, issued, out)
		return nil
	}
	return c
}

// checkBounds refuses what a token should not be bound to.
func checkBounds(config *server.Config, template broker.TokenRecord, whole bool) error {
	if len(template.Customers) == 0 {
		return errors.New("--customer: must be given; a token is for named customers")
	}
	if len(template.Purposes) == 0 && !whole {
		return errors.New("--purpose: must be given, or --whole-role for everything the customer's role may do")
	}
	for _, name := range template.Purposes {
		if !slices.ContainsFunc(config.Purposes, func(p broker.Purpose) bool { return p.Name == name }) {
			return fmt.Errorf("--purpose %q: is none of the configuration's purposes", name)
		}
	}
	return nil
}

// keepToken writes the token's file first: a token that was lost is useless, but a
// record without one only lies around.
func keepToken(ctx context.Context, config *server.Config, record broker.TokenRecord, token, out string) error {
	if out != "" {
		file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return &exitError{ExitUsage, fmt.Errorf("--out: %w", err)}
		}
		_, err = file.WriteString(token) // without a line end, which some SDKs refuse
		if err = errors.Join(err, file.Close()); err != nil {
			return &exitError{ExitInternal, errors.Join(fmt.Errorf("--out: %w", err), os.Remove(out))}
		}
	}
	err := broker.UpdateTokens(ctx, config.CredentialsTokens, func(records []broker.TokenRecord) ([]broker.TokenRecord, error) {
		if err := server.AuditToken(ctx, config, crossaccount.ActionTokenIssued, record); err != nil {
			return nil, fmt.Errorf("no token was issued, because that could not be written into the audit records: %w", err)
		}
		return append(records, record), nil
	})
	if err != nil && out != "" {
		err = errors.Join(tokenProblem(err), os.Remove(out))
	}
	return tokenProblem(err)
}

func printIssued(streams Streams, config *server.Config, issued issuedToken, out string) {
	where := "http://" + config.CredentialsListen
	if config.CredentialsListen == "" {
		where = "http://127.0.0.1:PORT"
	}
	purpose := issued.Purposes[0]
	integration := ""
	if len(issued.Integrations) > 0 {
		integration = issued.Integrations[0]
	}
	w := streams.Err // so that the token alone can be piped
	if out == "" {
		fmt.Fprintln(streams.Out, issued.Token)
	}
	fmt.Fprintf(w, "Token %s for %s works until %s.", issued.ID, oneLine(issued.Name), issued.ExpiresAt.Format(time.RFC3339))
	if out == "" {
		fmt.Fprint(w, " It is not shown again.")
	}
	if config.CredentialsListen == "" {
		fmt.Fprint(w, "\nThe server does not hand out credentials yet: set credentials_listen, such as 127.0.0.1:9911.")
	}
	if out != "" {
		if full, err := filepath.Abs(out); err == nil {
			out = full // the program may run in another folder
		}
	}
	if strings.HasPrefix(config.CredentialsListen, "unix:") {
		printSocketUse(w, config.CredentialsListen, issued, out)
		return
	}
	fmt.Fprintf(w, "\n\n  AWS_CONTAINER_CREDENTIALS_FULL_URI=%s%s\n", where, broker.CredentialsPath(issued.Customers[0], integration, purpose))
	if out != "" {
		fmt.Fprintf(w, "  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=%s\n", out)
	} else {
		fmt.Fprint(w, "  AWS_CONTAINER_AUTHORIZATION_TOKEN=TOKEN\n")
	}
}

// printSocketUse says how to use a token where SDKs cannot connect: with our own
// commands.
func printSocketUse(w io.Writer, address string, issued issuedToken, file string) {
	command := "crossaccount exec " + issued.Customers[0]
	if issued.Purposes[0] != "" {
		command += " --purpose " + issued.Purposes[0]
	}
	if len(issued.Integrations) > 0 {
		command += " --integration " + issued.Integrations[0]
	}
	fmt.Fprintf(w, "\n\n  %s --endpoint %s --token-file %s -- COMMAND\n", command, address, first(file, "FILE"))
}

func newTokenList(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the tokens, without what makes them work",
		Long:    "List the tokens that were issued, whom they are for, and whether they work.",
		Example: "  crossaccount token list --json",
		Args:    cobra.NoArgs,
	}
	read := configFlags(c, tokenSettings...)
	completeConfig(c)
	asJSON := c.Flags().Bool("json", false, "print the result as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := read()
		if err != nil {
			return err
		}
		now := time.Now()
		tokens, err := broker.OpenTokens(config.CredentialsTokens)
		if err != nil {
			return tokenProblem(err)
		}
		shown := []shownToken{}
		for _, r := range tokens.Records() {
			shown = append(shown, shownOf(r, now))
		}
		if *asJSON {
			return printJSON(streams.Out, shown)
		}
		printTokens(streams.Out, shown)
		return nil
	}
	return c
}

func printTokens(out io.Writer, shown []shownToken) {
	if len(shown) == 0 {
		fmt.Fprintln(out, "There are none.")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tEXPIRES\tCUSTOMERS\tPURPOSES")
	for _, t := range shown {
		purposes := slices.Clone(t.Purposes)
		for i, p := range purposes {
			if p == "" {
				purposes[i] = "(whole role)"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, oneLine(t.Name), t.State, t.ExpiresAt.Format(time.RFC3339),
			oneLine(strings.Join(t.Customers, ", ")), oneLine(strings.Join(purposes, ", ")))
	}
	_ = w.Flush() // the writer remembers
}

func newTokenRevoke(streams Streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a token",
		Long: `End a token. A server that runs refuses it within seconds. Credentials that it got
before stay valid until they expire, an hour at most unless session_duration says
otherwise: only the customer can end those, by revoking the role's sessions.`,
		Example: "  crossaccount token revoke 3f9c1a2b4d5e6f70",
		Args:    cobra.ExactArgs(1),
	}
	read := configFlags(c, revokeSettings...)
	completeConfig(c)
	asJSON := c.Flags().Bool("json", false, "print the result as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		config, err := read()
		if err != nil {
			return err
		}
		var revoked broker.TokenRecord
		err = broker.UpdateTokens(c.Context(), config.CredentialsTokens, func(records []broker.TokenRecord) ([]broker.TokenRecord, error) {
			i := slices.IndexFunc(records, func(r broker.TokenRecord) bool { return r.ID == args[0] })
			if i < 0 {
				return nil, &exitError{ExitNo, fmt.Errorf("there is no token with the id %.40q; crossaccount token list shows them", args[0])}
			}
			records[i].Revoked = true
			revoked = records[i]
			return records, nil
		})
		if err != nil {
			return tokenProblem(err)
		}
		shown := shownOf(revoked, time.Now())
		// Nothing may keep a token alive, so that this comes second.
		if err := server.AuditToken(c.Context(), config, crossaccount.ActionTokenRevoked, revoked); err != nil {
			return &exitError{ExitInternal, fmt.Errorf("the token %s of %s is revoked, but that could not be written into the audit records: %w", shown.ID, oneLine(shown.Name), err)}
		}
		if *asJSON {
			return printJSON(streams.Out, shown)
		}
		fmt.Fprintf(streams.Out, "The token %s of %s is revoked.\n", shown.ID, oneLine(shown.Name))
		return nil
	}
	return c
}
