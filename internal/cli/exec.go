package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount/broker"
)

// Exit codes of exec when there is no program that could give one, as shells and
// env have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignalled     = 128 // and the number of the signal
)

func newExec(streams Streams) *cobra.Command {
	u := &roleUser{operator: operator{streams: streams}}
	var region string
	c := &cobra.Command{
		Use:   "exec CUSTOMER [flags] -- COMMAND [ARGUMENTS…]",
		Short: "Run a command with a customer's access",
		Long: `Run a command that has one customer's access and no other: the aws command, a
script, a terraform run, anything that uses an AWS SDK.

The command finds its credentials at an address on this machine that exists while
it runs, with a token that is good for this customer and purpose only
(AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN). They
renew themselves, so that it may run for days. No credentials are in its
environment, in its arguments or on disk.

Everything else in the environment that SDKs could find credentials with is taken
away: keys, profiles, web identities, the instance's role, the configuration files
of AWS, and the variables of crossaccount itself. AWS_REGION is that of --region,
else of the integration; an endpoint does not tell it, so with --endpoint it stays
what it is.

` + whereFrom + `

Signals are passed on. The exit code is the command's; 127 if it is not found, 126
if it cannot be run, 128 and the signal's number if a signal ended it. If there are
no credentials it is not run, and the exit code is one of crossaccount's: 1 if the
access was refused, 2 for wrong usage, 3 if trying again may help, 4 for a fault.`,
		Example: `  crossaccount exec acme -- aws s3 ls
  crossaccount exec acme --purpose inventory --region eu-west-1 -- python3 collect.py
  crossaccount exec acme --local -- sh -c 'aws sts get-caller-identity'
  crossaccount exec acme --purpose inventory --endpoint unix:/run/crossaccount/credentials.sock --token-file token -- ./collect`,
		Args: cobra.MinimumNArgs(1),
	}
	u.flags(c)
	u.endpointFlag(c)
	c.Flags().StringVar(&region, "region", "", "AWS_REGION of the command; that of the integration if not given")
	fixedValues(c, "region", regions...)
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.ArgsLenAtDash() != 1 || len(args) < 2 {
			return &exitError{ExitUsage, errNoCommand}
		}
		return u.use(func(ctx context.Context, from issuer, args []string) error {
			u.request.CustomerID = args[0]
			source := newRoleSource(from, u.request, time.Now)
			issued, err := source.issued(ctx)
			if err != nil {
				return err
			}
			return u.execute(context.WithoutCancel(ctx), source, first(region, issued.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")), args[1:])
		})(c, args)
	}
	return c
}

// execute runs the command beside an endpoint that is for it alone.
func (u *roleUser) execute(ctx context.Context, source broker.Source, region string, command []string) error {
	program, err := exec.LookPath(command[0])
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return &exitError{exitNotFound, fmt.Errorf("%s: there is no such command", command[0])}
	case err != nil:
		return &exitError{exitNotExecutable, fmt.Errorf("%s: cannot be run: %w", command[0], err)}
	}
	endpoint, err := u.serveCredentials(ctx, source)
	if err != nil {
		return &exitError{ExitInternal, err}
	}
	defer endpoint.close(ctx)

	child := exec.Command(program, command[1:]...) //nolint:gosec,noctx // running what was named is what the command is for; signals end it
	child.Args[0] = command[0]
	child.Env = childEnvironment(os.Environ(), map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.url,
		"AWS_CONTAINER_AUTHORIZATION_TOKEN":  endpoint.token,
		"AWS_REGION":                         region,
		"AWS_DEFAULT_REGION":                 region,
	})
	child.Stdin, child.Stdout, child.Stderr = u.streams.In, u.streams.Out, u.streams.Err
	if a, ok := u.streams.Out.(*attentive); ok {
		child.Stdout = a.Writer // a terminal must stay one
	}
	stop, err := startForwarding(child)
	if err != nil {
		return &exitError{exitNotExecutable, fmt.Errorf("%s: cannot be run: %w", command[0], err)}
	}
	err = child.Wait()
	stop()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		if n := signalOf(exit.ProcessState); n > 0 {
			return &exitError{code: exitSignalled + n}
		}
		return &exitError{code: exit.ExitCode()}
	}
	return &exitError{ExitInternal, fmt.Errorf("%s: %w", command[0], err)}
}

// A privateEndpoint is for one child of this process.
type privateEndpoint struct {
	url, token string

	endpoint *broker.Endpoint
	server   *http.Server
}

// serveCredentials starts an endpoint with a token that nobody else has.
func (u *roleUser) serveCredentials(ctx context.Context, source broker.Source) (*privateEndpoint, error) {
	now := time.Now()
	bound := broker.TokenRecord{Customers: []string{u.request.CustomerID}, Purposes: []string{u.request.Purpose}, ExpiresAt: now.Add(broker.MaxTokenLifetime)}
	if u.request.IntegrationID != "" {
		bound.Integrations = []string{u.request.IntegrationID}
	}
	token, record, err := broker.IssueToken(nil, now, "exec", bound)
	if err != nil {
		return nil, err
	}
	tokens, err := broker.NewTokens(record)
	if err != nil {
		return nil, err
	}
	endpoint, err := broker.NewEndpoint(broker.EndpointConfig{
		Tokens:  tokens,
		Resolve: func(context.Context, string, string, string) (broker.Source, error) { return source, nil }, // the token decided
		// A shell script may start a program for every file there is.
		TokenRate: broker.Rate{Burst: 1000, Every: time.Millisecond},
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	listener, err := broker.ListenLoopback(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &privateEndpoint{
		url:   "http://" + listener.Addr().String() + broker.CredentialsPath(u.request.CustomerID, u.request.IntegrationID, u.request.Purpose),
		token: token, endpoint: endpoint, server: endpoint.Server(),
	}
	go func() { _ = p.server.Serve(listener) }() // until it is closed
	return p, nil
}

func (p *privateEndpoint) close(ctx context.Context) {
	_ = p.server.Close() // the only one it was for has ended
	_ = p.endpoint.Close(ctx)
}

// childEnvironment returns an environment with these variables, in which no SDK
// finds other credentials.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
func childEnvironment(inherited []string, set map[string]string) []string {
	set["AWS_EC2_METADATA_DISABLED"] = "true"
	// A default profile in these files would be preferred to the endpoint.
	set["AWS_CONFIG_FILE"], set["AWS_SHARED_CREDENTIALS_FILE"] = os.DevNull, os.DevNull
	var environment []string
	exempt := map[string]string{"NO_PROXY": "", "no_proxy": ""}
	for _, variable := range inherited {
		name, value, _ := strings.Cut(variable, "=")
		if _, ours := set[name]; ours || findsCredentials(name) {
			continue
		}
		if _, ok := exempt[name]; ok {
			exempt[name] = value
			continue
		}
		environment = append(environment, variable)
	}
	for name, value := range exempt {
		// The endpoint refuses proxies, and they are not to see credentials.
		set[name] = strings.TrimPrefix(value+",127.0.0.1", ",")
	}
	for name, value := range set {
		if value != "" {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}

// findsCredentials reports whether a variable says where credentials are, has
// some, or is a secret of ours.
func findsCredentials(name string) bool {
	name = strings.ToUpper(name)
	if strings.HasPrefix(name, "CROSSACCOUNT_") {
		return true
	}
	if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "AMAZON_") {
		return false
	}
	for _, part := range []string{"ACCESS_KEY", "SECRET", "TOKEN", "CREDENTIAL", "PROFILE", "ROLE", "IDENTITY", "SSO", "LOGIN"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
