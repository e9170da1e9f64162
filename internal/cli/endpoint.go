package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/broker"
)

// An issuer gives out credentials of customers' roles: a server's API, or its
// credentials endpoint.
type issuer interface {
	Credentials(ctx context.Context, request *api.CredentialsRequest) (*api.Credentials, error)
}

// endpointFlag registers the flag that names a credentials endpoint, for commands
// that need nothing else of a server.
func (u *roleUser) endpointFlag(c *cobra.Command) {
	c.Flags().StringVar(&u.endpoint, "endpoint", "", "`address` of a server's credentials endpoint: unix:PATH or 127.0.0.1:PORT")
	c.Flags().Lookup("token-file").Usage = "`file` with the operator token, or with --endpoint a token of the endpoint"
}

// asksEndpoint reports whether --endpoint was given. One that is empty counts: a
// variable that is not set must not make the command ask the API instead.
func asksEndpoint(c *cobra.Command) bool { return c.Flags().Changed("endpoint") }

// use gives a command whoever issues credentials.
func (u *roleUser) use(do func(ctx context.Context, from issuer, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if !asksEndpoint(c) {
			return u.run(func(ctx context.Context, client *api.Client, args []string) error { return do(ctx, client, args) })(c, args)
		}
		from, err := u.openEndpoint()
		if err != nil {
			return &exitError{ExitUsage, err}
		}
		return do(c.Context(), from, args)
	}
}

// openEndpoint refuses what cannot be an endpoint, before anything is asked.
func (u *roleUser) openEndpoint() (*endpointClient, error) {
	for _, other := range []struct {
		flag  string
		given bool
	}{{"--server", u.server != ""}, {"--local", u.local}, {"--config", u.config != ""}} {
		if other.given {
			return nil, fmt.Errorf("--endpoint and %s: give one of them", other.flag)
		}
	}
	e, err := newEndpointClient(u.endpoint, u.endpointToken)
	if err != nil {
		return nil, err
	}
	_, err = u.endpointToken()
	return e, err
}

// endpointToken reads the token, each time it is needed, because files of tokens
// are exchanged. Without --token-file it is where AWS's SDKs look for it, never the
// operator token.
func (u *roleUser) endpointToken() (string, error) {
	file := first(u.tokenFile, os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
	token := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("the token cannot be read: %w", err)
		}
		token = string(data)
	}
	token = strings.TrimSpace(token)
	switch {
	case token == "" && file != "":
		return "", fmt.Errorf("the token cannot be read: %s is empty", file)
	case token == "":
		return "", errors.New("--endpoint: needs a token of \"crossaccount token issue\"; name its file with --token-file or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("the token cannot be read: it has spaces or other characters that no token has")
	}
	return token, nil
}

// An endpointClient asks a server's credentials endpoint, as the SDKs do, but over a
// Unix socket as well.
type endpointClient struct {
	address string // as it was given
	base    string // of URLs
	token   func() (string, error)
	http    *http.Client
}

// maxEndpointAnswer is more than credentials ever have, in bytes.
const maxEndpointAnswer = 64 << 10

// newEndpointClient accepts the addresses a server can have for its endpoint: tokens
// and credentials do not leave the machine.
func newEndpointClient(address string, token func() (string, error)) (*endpointClient, error) {
	e := &endpointClient{address: address, base: "http://localhost", token: token}
	network, target := "tcp", strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		network, target = "unix", path
	} else if parsed, err := netip.ParseAddrPort(target); err == nil && parsed.Addr().IsLoopback() && parsed.Addr().Zone() == "" {
		e.base = "http://" + target
	} else {
		target = ""
	}
	if target == "" {
		return nil, fmt.Errorf("--endpoint %.200q: must be unix:PATH, 127.0.0.1:PORT or [::1]:PORT, as in the server's credentials_listen", address)
	}
	e.http = &http.Client{
		// No proxy: it would see the credentials, and the endpoint refuses it.
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, target)
		}},
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
	}
	return e, nil
}

// Credentials implements [issuer].
func (e *endpointClient) Credentials(ctx context.Context, in *api.CredentialsRequest) (*api.Credentials, error) {
	token, err := e.token()
	if err != nil {
		// It was there at the start: its file is being exchanged.
		return nil, crossaccount.NewError(api.CodeNotReady, err.Error(), "", nil)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+broker.CredentialsPath(in.CustomerID, in.IntegrationID, in.Purpose), nil)
	if err != nil {
		return nil, crossaccount.NewError(crossaccount.CodeInvalidRequest, "the request cannot be made", "", err)
	}
	request.Header.Set("Authorization", token)
	response, err := e.http.Do(request)
	if err != nil {
		return nil, crossaccount.NewError(api.CodeNotReady, "the credentials endpoint at "+e.address+" cannot be reached: "+whyUnreachable(err),
			"check the address and that the server runs with this credentials_listen; a socket is for the server's own user and root", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxEndpointAnswer))
	if err != nil {
		return nil, crossaccount.NewError(api.CodeNotReady, "the endpoint's answer ended too early", "try again", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, e.problem(response.StatusCode, data)
	}
	var answer struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
		AccountID       string `json:"AccountId"`
		RoleARN         string `json:"RoleArn"`
	}
	if err := json.Unmarshal(data, &answer); err != nil || answer.AccessKeyID == "" || answer.SecretAccessKey == "" || answer.Expiration.IsZero() {
		return nil, e.stranger() // the text of the error could quote a secret
	}
	return &api.Credentials{
		AccessKeyID: answer.AccessKeyID, SecretAccessKey: answer.SecretAccessKey, SessionToken: answer.Token, ExpiresAt: answer.Expiration,
		CustomerID: in.CustomerID, IntegrationID: in.IntegrationID, Purpose: in.Purpose, AccountID: answer.AccountID, RoleARN: answer.RoleARN,
	}, nil
}

func (e *endpointClient) stranger() error {
	return crossaccount.NewError(crossaccount.CodeInvalidConfig, "what answers at "+e.address+" is no credentials endpoint", "use the address of the server's credentials_listen, not of its API", nil)
}

// problem translates what a [broker.Endpoint] answers.
func (e *endpointClient) problem(status int, data []byte) error {
	var said struct{ Code, Message string }
	if err := json.Unmarshal(data, &said); err != nil || said.Code == "" || said.Message == "" {
		if status >= http.StatusInternalServerError {
			return crossaccount.NewError(api.CodeNotReady, fmt.Sprintf("the credentials endpoint at %s answered with status %d", e.address, status), "try again", nil)
		}
		return e.stranger()
	}
	message, remedy := oneLine(said.Message), ""
	var code crossaccount.Code
	switch broker.Code(said.Code) {
	case "unauthorized":
		code, message, remedy = api.CodeUnauthenticated, "the credentials endpoint does not accept the token: it is unknown, expired or revoked", `look with "crossaccount token list", and issue another one; one that was issued a moment ago counts within seconds`
	case "forbidden":
		code, remedy = crossaccount.CodeForbidden, `"crossaccount token list" shows what it is for`
	case broker.CodeRefused, broker.CodeWithdrawn:
		code = crossaccount.CodeRoleRefused
	case broker.CodeRevoked:
		code = crossaccount.CodeNotVerified
	case broker.CodePropagating:
		code = crossaccount.CodePropagating
	case broker.CodeInvalidRequest:
		code = crossaccount.CodeUnknownIntegration
	default:
		switch {
		case status == http.StatusTooManyRequests:
			code = api.CodeBusy
		case status >= http.StatusInternalServerError:
			code = api.CodeNotReady
		default:
			code = crossaccount.CodeInvalidConfig // it is not asked as it wants to be
		}
	}
	return crossaccount.NewError(code, message, remedy, nil)
}

// whyUnreachable puts an error of the network into words, without the URL of the
// request, which may have secrets in it. Of an error that it does not know it gives
// the text.
func whyUnreachable(err error) string {
	var (
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		timeout     interface{ Timeout() bool }
		wrapped     *url.Error
	)
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "there is no host of this name"
	case errors.As(err, &name):
		return "its name cannot be looked up"
	case errors.As(err, &certificate):
		return "its certificate is not trusted"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not connect to it"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no route to it"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it closed the connection without an answer"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer in time"
	case errors.Is(err, context.Canceled):
		return "the command was interrupted"
	case errors.As(err, &wrapped):
		return fmt.Sprintf("%.200s", wrapped.Err.Error())
	}
	return fmt.Sprintf("%.200s", err.Error())
}
