package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/broker"
)

// Whatever answers, the code says whether trying again may help, and nothing that
// could be a secret is in the text.
func TestAnswersOfEndpoints(t *testing.T) {
	const credentials = `{"AccessKeyId":"ASIAX","SecretAccessKey":"the-secret","Token":"the-token","Expiration":"2026-11-22T10:00:00Z","AccountId":"444455556666","RoleArn":"arn:aws:iam::444455556666:role/x"}`
	for name, tt := range map[string]struct {
		status    int
		body      string
		want      crossaccount.Code
		retryable bool
	}{
		"credentials":      {200, credentials, "", false},
		"no secret":        {200, strings.Replace(credentials, "the-secret", "", 1), crossaccount.CodeInvalidConfig, false},
		"no end":           {200, strings.Replace(credentials, "2026-11-22T10:00:00Z", "the-secret", 1), crossaccount.CodeInvalidConfig, false},
		"never ends":       {200, `{"AccessKeyId":"ASIAX","SecretAccessKey":"the-secret"}`, crossaccount.CodeInvalidConfig, false},
		"no JSON":          {200, "the-secret", crossaccount.CodeInvalidConfig, false},
		"too large":        {200, strings.Repeat(" ", maxEndpointAnswer) + credentials, crossaccount.CodeInvalidConfig, false},
		"redirected":       {302, "", crossaccount.CodeInvalidConfig, false},
		"another server":   {404, "<html>the-secret</html>", crossaccount.CodeInvalidConfig, false},
		"our API":          {404, `{"code":"no_such_route","detail":"x"}`, crossaccount.CodeInvalidConfig, false},
		"wrong token":      {401, `{"code":"unauthorized","message":"set AWS_CONTAINER_AUTHORIZATION_TOKEN"}`, api.CodeUnauthenticated, false},
		"another customer": {403, `{"code":"forbidden","message":"the token is not for this customer"}`, crossaccount.CodeForbidden, false},
		"refused":          {403, `{"code":"refused","message":"m"}`, crossaccount.CodeRoleRefused, false},
		"withdrawn":        {403, `{"code":"withdrawn","message":"m"}`, crossaccount.CodeRoleRefused, false},
		"revoked":          {403, `{"code":"revoked","message":"m"}`, crossaccount.CodeNotVerified, false},
		"unknown":          {404, `{"code":"invalid_request","message":"m"}`, crossaccount.CodeUnknownIntegration, false},
		"guarded":          {403, `{"code":"header_not_allowed","message":"m"}`, crossaccount.CodeInvalidConfig, false},
		"propagating":      {503, `{"code":"propagating","message":"m"}`, crossaccount.CodePropagating, true},
		"too often":        {429, `{"code":"too_many_requests","message":"m"}`, api.CodeBusy, true},
		"throttled":        {429, `{"code":"throttled","message":"m"}`, api.CodeBusy, true},
		"unavailable":      {503, `{"code":"unavailable","message":"m"}`, api.CodeNotReady, true},
		"closed":           {503, `{"code":"closed","message":"m"}`, api.CodeNotReady, true},
		"fault":            {500, `{"code":"internal","message":"m"}`, api.CodeNotReady, true},
		"fault in clear":   {500, "the-secret", api.CodeNotReady, true},
		"fault of a proxy": {502, "<html>the-secret</html>", api.CodeNotReady, true},
	} {
		var asked []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("Authorization"))
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		}))
		client, err := newEndpointClient(server.URL, func() (string, error) { return "xab_token", nil })
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "a/b", Purpose: "inventory"})
		server.Close()
		if crossaccount.CodeOf(err) != tt.want || passes(err) != (tt.retryable || err == nil) {
			t.Errorf("%s: %v with code %q, passes %v", name, err, crossaccount.CodeOf(err), passes(err))
		}
		if err == nil && (got.SecretAccessKey != "the-secret" || got.SessionToken != "the-token" || got.AccountID != "444455556666" || got.RoleARN == "" || got.ExpiresAt.IsZero() || got.CustomerID != "a/b") {
			t.Errorf("%s: %+v", name, got)
		}
		if err != nil && strings.Contains(err.Error(), "the-secret") {
			t.Errorf("%s: the error has a secret: %v", name, err)
		}
		if len(asked) != 1 || asked[0] != "GET /credentials/a%2Fb/inventory xab_token" {
			t.Errorf("%s: the server was asked %q", name, asked)
		}
	}
}

// While the file of the token is exchanged, credentials that are valid are used.
func TestTokenThatIsExchanged(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":"ASIAX","SecretAccessKey":"s","Token":"t","Expiration":%q}`, now.Add(time.Hour).Format(time.RFC3339))
	}))
	defer server.Close()
	user := roleUser{operator: operator{tokenFile: filepath.Join(t.TempDir(), "token")}}
	client, err := newEndpointClient(server.URL, user.endpointToken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Credentials(t.Context(), &api.CredentialsRequest{CustomerID: "acme"}); crossaccount.CodeOf(err) != api.CodeNotReady {
		t.Errorf("no file: %v", err)
	}
	write := func(token string) {
		if err := os.WriteFile(user.tokenFile, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("xab_one")
	at := now
	source := newRoleSource(client, api.CredentialsRequest{CustomerID: "acme"}, func() time.Time { return at })
	if _, err := source.issued(t.Context()); err != nil {
		t.Fatal(err)
	}
	write("")
	at = at.Add(2 * askAgain)
	if got, err := source.Retrieve(t.Context()); err != nil || got.AccessKeyID != "ASIAX" {
		t.Errorf("an empty file: %v", err)
	}
	at = now.Add(2 * time.Hour)
	if _, err := source.Retrieve(t.Context()); err == nil {
		t.Error("credentials that ended were used")
	}
}

// Tokens and credentials do not leave the machine.
func TestAddressesOfEndpoints(t *testing.T) {
	for address, fine := range map[string]bool{
		"127.0.0.1:9911": true, "http://127.0.0.1:9911": true, "http://127.0.0.1:9911/": true, "[::1]:9911": true, "127.9.9.9:1": true, "unix:x.sock": true, "unix:/run/x.sock": true,
		"": false, "unix:": false, "localhost:9911": false, "127.0.0.1": false, "192.0.2.1:9911": false, "0.0.0.0:9911": false, "https://127.0.0.1:9911": false,
		"http://127.0.0.1:9911/credentials/acme": false, "http://127.0.0.1:9911@example.com": false, "[::]:1": false, "http://user@127.0.0.1:1": false,
	} {
		if _, err := newEndpointClient(address, nil); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// What a request that was not sent, or not answered, is about, without its URL.
func TestUnsentRequests(t *testing.T) {
	wrap := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://example.com/?secret", Err: err}
	}
	for _, tt := range []struct {
		err  error
		code int
		want string
	}{
		{wrap(&broker.Error{Code: broker.CodeInvalidRequest, Message: "it is presigned already"}), ExitUsage, "it is presigned already"},
		{wrap(fmt.Errorf("signing: %w", &broker.Error{Code: broker.CodeUnavailable, Message: "no credentials now"})), ExitUndetermined, "no credentials now"},
		{wrap(&broker.Error{Code: broker.CodeRevoked, Message: "it was revoked"}), ExitNo, "it was revoked"},
		{wrap(errors.New("broker: the request has an Authorization header already")), ExitUsage, "the request has an Authorization header already"},
		{wrap(context.DeadlineExceeded), ExitUndetermined, "example.com cannot be reached: it does not answer in time"},
		{wrap(io.EOF), ExitUndetermined, "example.com cannot be reached: it closed the connection without an answer"},
		{wrap(errors.New("malformed HTTP response")), ExitUndetermined, "example.com cannot be reached: malformed HTTP response"},
	} {
		err := unsent("example.com", tt.err)
		var exit *exitError
		if !errors.As(err, &exit) || exit.code != tt.code || exit.Error() != tt.want {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
}

// Answers are written as they are, but on a terminal something ends the line.
func TestLineEndOfAnswers(t *testing.T) {
	for _, tt := range []struct {
		body     string
		terminal bool
		want     string
	}{
		{"{}", false, "{}"}, {"{}", true, "{}\n"}, {"{}\n", true, "{}\n"}, {"", true, ""}, {"\x00", false, "\x00"},
	} {
		var out bytes.Buffer
		if err := copyBody(&out, strings.NewReader(tt.body), tt.terminal); err != nil || out.String() != tt.want {
			t.Errorf("%q: %q, %v", tt.body, out.String(), err)
		}
	}
	var out bytes.Buffer
	err := copyBody(&out, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)), true)
	if err == nil || !strings.HasPrefix(err.Error(), "the answer ended too early: ") || out.String() != "half\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	full := errors.New("disk full")
	if err := copyBody(failing{full}, strings.NewReader("{}"), false); !errors.Is(err, full) {
		t.Errorf("output that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
