package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/internal/server"
)

// whereFrom is what the commands that use customers' roles say about the server.
const whereFrom = `The server is that of --server or CROSSACCOUNT_SERVER, with the operator token of
--token-file, CROSSACCOUNT_OPERATOR_TOKEN_FILE or CROSSACCOUNT_OPERATOR_TOKEN. It
hands out credentials to operators only if its configuration has
operator_credentials: true. With --local no server is needed: the database and the
keys of server.yaml on this machine are used.

With --endpoint neither of them is: the credentials endpoint of a server on this
machine (its credentials_listen) is asked for what a token of "crossaccount token
issue" is good for. The token is that of --token-file, or where AWS's SDKs look for
it: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, AWS_CONTAINER_AUTHORIZATION_TOKEN.`

// A roleUser has what the commands that use a customer's role have in common.
type roleUser struct {
	operator
	endpoint string // of credentials, instead of the server's API
	request  api.CredentialsRequest
}

// flags registers the flags and completes the customer.
func (u *roleUser) flags(c *cobra.Command) {
	f := c.Flags()
	u.connectionFlags(f)
	f.StringVar(&u.request.IntegrationID, "integration", "", "integration of a customer that has several")
	f.StringVar(&u.request.Purpose, "purpose", "", "`purpose` of the server's configuration, whose session policy narrows the access")
	c.ValidArgsFunction = u.unlessEndpoint(u.customerThenIntegration(false))
	completeWith(c, "integration", u.unlessEndpoint(u.integrationOfCustomer))
	completeConfig(c)
}

// unlessEndpoint completes from a server's API only if that is what is asked: an
// endpoint lists nobody.
func (u *roleUser) unlessEndpoint(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if asksEndpoint(c) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(c, args, typed)
	}
}

// A roleSource keeps the credentials of one customer's role that a server gave
// out, and asks for others when they get old. It is a [broker.Source] for the
// endpoint of one command. Its methods may be called at the same time.
type roleSource struct {
	ask func(context.Context) (*api.Credentials, error)
	now func() time.Time

	mu     sync.Mutex
	held   *api.Credentials // nil if there are none, or they were taken back
	askAt  time.Time        // when the server is to be asked again
	flight *asking          // nil if nobody asks
}

// An asking is one question to the server that many may wait for.
type asking struct {
	done   chan struct{}
	answer *api.Credentials
	err    error
}

const (
	askAgain   = time.Minute            // after this a revoked integration ends
	askTimeout = 30 * time.Second       // of one question
	askWait    = 700 * time.Millisecond // for new credentials when there are valid ones: SDKs wait a second
	askPause   = 5 * time.Second        // after a question that failed
)

func newRoleSource(from issuer, request api.CredentialsRequest, now func() time.Time) *roleSource {
	return &roleSource{now: now, ask: func(ctx context.Context) (*api.Credentials, error) { return from.Credentials(ctx, &request) }}
}

var _ broker.Source = (*roleSource)(nil)

// Subject implements [broker.Source].
func (s *roleSource) Subject() broker.Subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return broker.Subject{}
	}
	return broker.Subject{
		Customer: s.held.CustomerID, Integration: s.held.IntegrationID, Purpose: s.held.Purpose,
		RoleARN: s.held.RoleARN, SessionName: s.held.SessionName,
	}
}

// Retrieve implements [aws.CredentialsProvider].
func (s *roleSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return s.RetrieveLasting(ctx, 0)
}

// RetrieveLasting implements [broker.Source]. When the server cannot be reached,
// credentials that are still valid are used; when it says no, they are not.
func (s *roleSource) RetrieveLasting(ctx context.Context, least time.Duration) (aws.Credentials, error) {
	s.mu.Lock()
	held, now := s.held, s.now()
	left := time.Duration(0)
	if held != nil {
		left = held.ExpiresAt.Sub(now)
	}
	if left > 0 && now.Before(s.askAt) && left >= least {
		s.mu.Unlock()
		return forSDK(held), nil
	}
	f := s.flight
	if f == nil {
		f = &asking{done: make(chan struct{})}
		s.flight = f
		go s.fly(context.WithoutCancel(ctx), f)
	}
	s.mu.Unlock()
	if left > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askWait)
		defer cancel()
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		if left > 0 {
			return forSDK(held), nil
		}
		return aws.Credentials{}, server.EndpointError(crossaccount.NewError(crossaccount.CodeCancelled, "the server did not answer in time", "", ctx.Err()))
	}
	switch {
	case f.err == nil:
		return forSDK(f.answer), nil
	case left > 0 && passes(f.err):
		return forSDK(held), nil
	}
	return aws.Credentials{}, server.EndpointError(f.err)
}

// fly asks the server. Whoever waits may leave before it answers.
func (s *roleSource) fly(ctx context.Context, f *asking) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	f.answer, f.err = s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	switch {
	case f.err == nil:
		s.held, s.askAt = f.answer, s.now().Add(askAgain)
	case passes(f.err):
		s.askAt = s.now().Add(askPause)
	default:
		s.held = nil
	}
	close(f.done)
}

// passes reports whether a failure says nothing about whether we may still have
// the credentials.
func passes(err error) bool {
	code := crossaccount.CodeOf(err)
	return api.Retryable(code) || code == api.CodeInternal || code == ""
}

func forSDK(c *api.Credentials) aws.Credentials {
	return aws.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		CanExpire: true, Expires: c.ExpiresAt, AccountID: c.AccountID, Source: "crossaccount",
	}
}

// issued asks for credentials now, to fail before anything is begun.
func (s *roleSource) issued(ctx context.Context) (*api.Credentials, error) {
	issued, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.askAt = issued, s.now().Add(askAgain)
	return issued, nil
}

var errNoCommand = errors.New("name the command after --, such as: crossaccount exec acme -- aws s3 ls")
