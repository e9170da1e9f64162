package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/broker"
)

// EndpointError is an error of the client or of the API in the form that a
// [broker.Endpoint] answers with: what a retry cannot mend must not be retried by
// SDKs. The text is shown to whoever asked for credentials.
func EndpointError(err error) *broker.Error {
	var ours *crossaccount.Error
	if !errors.As(err, &ours) {
		return &broker.Error{Code: broker.CodeUnavailable, Message: "the credentials could not be obtained"}
	}
	code := broker.CodeUnavailable
	switch ours.Code {
	case crossaccount.CodeUnknownCustomer, crossaccount.CodeUnknownIntegration, crossaccount.CodeAmbiguousIntegration, crossaccount.CodeInvalidRequest:
		code = broker.CodeInvalidRequest
	case crossaccount.CodeNotVerified:
		code = broker.CodeRevoked
	case crossaccount.CodeRoleRefused, crossaccount.CodeForbidden, crossaccount.CodeInvalidConfig, api.CodeUnauthenticated, api.CodeNotHandedOut:
		code = broker.CodeRefused
	case crossaccount.CodePropagating:
		code = broker.CodePropagating
	case crossaccount.CodeShuttingDown:
		code = broker.CodeClosed
	}
	return &broker.Error{Code: code, Message: ours.Error()}
}

// A credentialsEndpoint hands out credentials to programs on this machine. Nil does
// nothing.
type credentialsEndpoint struct {
	server   *Server
	endpoint *broker.Endpoint
	http     *http.Server
	unwatch  context.CancelFunc
}

const (
	watchTokens   = time.Second     // how soon a token that was issued or revoked counts
	endpointClose = 5 * time.Second // what is under way and its audit records may take
)

// openEndpoint begins to hand out credentials, if the configuration says where.
func (s *Server) openEndpoint(ctx context.Context) (*credentialsEndpoint, error) {
	if s.config.CredentialsListen == "" {
		return nil, nil
	}
	tokens, err := openTokens(ctx, s.config.CredentialsTokens)
	if err != nil {
		return nil, endpointProblem("credentials_tokens", err)
	}
	endpoint, err := broker.NewEndpoint(broker.EndpointConfig{Tokens: tokens, Resolve: s.roleOf, HandedOut: s.client.AuditHandOuts, Logger: s.log})
	if err != nil {
		return nil, endpointProblem("credentials endpoint", err)
	}
	listener, err := listenCredentials(ctx, s.config.CredentialsListen)
	if err != nil {
		_ = endpoint.Close(ctx) // it has nothing to tell
		return nil, endpointProblem("credentials_listen", err)
	}
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	e := &credentialsEndpoint{server: s, endpoint: endpoint, http: endpoint.Server(), unwatch: unwatch}
	go tokens.Watch(watching, watchTokens, func(err error) {
		s.log.Error("crossaccount: the file of tokens cannot be used; those that were read before stay", "file", s.config.CredentialsTokens, "error", err.Error())
	})
	go func() {
		if err := e.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("crossaccount: the credentials endpoint stopped by itself", "error", err)
		}
	}()
	address := listener.Addr().String()
	if listener.Addr().Network() == "unix" {
		address = unixPrefix + address
	}
	s.credentials.Store(address)
	s.log.Info("crossaccount: handing out credentials", "address", address)
	return e, nil
}

// CredentialsEndpoint returns where the server that runs hands out credentials:
// HOST:PORT or unix:PATH, or "" if it does not.
func (s *Server) CredentialsEndpoint() string {
	address, _ := s.credentials.Load().(string)
	return address
}

// openTokens reads the tokens, and makes a file without any if there is none.
func openTokens(ctx context.Context, file string) (*broker.Tokens, error) {
	if !exists(file) {
		same := func(records []broker.TokenRecord) ([]broker.TokenRecord, error) { return records, nil }
		if err := broker.UpdateTokens(ctx, file, same); err != nil {
			return nil, err
		}
	}
	return broker.OpenTokens(file)
}

func endpointProblem(what string, err error) error {
	message := strings.TrimPrefix(err.Error(), "broker: ")
	var known *broker.Error
	if errors.As(err, &known) {
		if cause := known.Unwrap(); cause != nil {
			message += ": " + cause.Error() // of the file or the address
		}
	}
	return invalid(what+": "+message, "")
}

func listenCredentials(ctx context.Context, address string) (net.Listener, error) {
	if path, unix := strings.CutPrefix(address, unixPrefix); unix {
		return broker.ListenUnix(ctx, filepath.Clean(path))
	}
	return broker.ListenLoopback(ctx, address)
}

// roleOf is the endpoint's resolver. The record is read for every request, so that
// an integration that was revoked gets nothing from then on.
func (s *Server) roleOf(ctx context.Context, customer, integration, purpose string) (broker.Source, error) {
	options := []crossaccount.AccessOption{crossaccount.OverHTTP(), crossaccount.ForIntegration(integration)}
	if purpose != "" {
		options = append(options, crossaccount.ForPurpose(purpose))
	}
	credentials, err := s.client.Credentials(ctx, customer, options...)
	if err != nil {
		return nil, EndpointError(err)
	}
	return roleSource{credentials}, nil
}

// A roleSource is a customer's credentials with errors that an endpoint
// understands.
type roleSource struct{ *crossaccount.RoleCredentials }

// RetrieveLasting implements [broker.Source].
func (s roleSource) RetrieveLasting(ctx context.Context, least time.Duration) (credentials aws.Credentials, err error) {
	credentials, err = s.RoleCredentials.RetrieveLasting(ctx, least)
	if err != nil {
		return credentials, EndpointError(err)
	}
	return credentials, nil
}

// close stops handing out credentials and writes the audit records that are left.
func (e *credentialsEndpoint) close(ctx context.Context) {
	if e == nil {
		return
	}
	e.unwatch()
	limit, cancel := context.WithTimeout(ctx, endpointClose)
	defer cancel()
	if err := errors.Join(e.http.Shutdown(limit), e.endpoint.Close(limit)); err != nil {
		_ = e.http.Close() // the connections are cut off either way
		e.server.log.Error("crossaccount: the credentials endpoint did not end in order", "error", err.Error())
	}
}
