package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/examples/gin-service/demo"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
	"github.com/crossaccount/crossaccount/store/sqlite"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(m.Run())
}

// Tokens of the tests.
const (
	acmeToken   = "acme-token-6f1d9a0be2"
	globexToken = "globex-token-93cc70ad41"
)

// A fixture is the service on a port, in the world of the demo. At the end of
// its test it fails if the log has a secret.
type fixture struct {
	*testing.T
	world    *demo.World
	settings settings
	store    *sqlite.Store
	server   *httptest.Server
	log      *syncBuffer
	secrets  []string
}

func newFixture(t *testing.T, options sandbox.Options) *fixture {
	t.Helper()
	sandboxtest.ClearEnvironment(t)
	world, err := demo.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, world: world, settings: demoSettings(t.TempDir()), log: new(syncBuffer), secrets: []string{acmeToken, globexToken}}
	f.settings.patience = 0 // nobody waits for a clock that stands still
	f.settings.tokens = configured("acme", acmeToken) + "," + configured("globex", globexToken)
	if err := prepareBucket(t.Context(), f.settings, world.Administrator, io.Discard); err != nil {
		t.Fatal(err)
	}
	f.start()
	t.Cleanup(func() {
		f.stop()
		for _, secret := range f.secrets {
			if strings.Contains(f.log.String(), secret) {
				t.Errorf("the log contains the secret %s:\n%s", secret, f.log)
			}
		}
	})
	return f
}

func (f *fixture) start() {
	f.Helper()
	var err error
	if f.store, err = sqlite.Open(f.Context(), f.settings.database, sqlite.Options{}); err != nil {
		f.Fatal(err)
	}
	handler, err := newService(f.settings, f.world.Broker, f.store, slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		f.Fatal(err)
	}
	f.server = httptest.NewServer(handler)
}

func (f *fixture) stop() {
	f.server.Close()
	if err := f.store.Close(); err != nil {
		f.Error(err)
	}
}

// An answer is what the service said.
type answer struct {
	*http.Response
	body string
}

// code returns the code of an error.
func (a answer) code() crossaccount.Code {
	var failure struct {
		Error struct {
			Code    crossaccount.Code
			Message string
		}
	}
	if json.Unmarshal([]byte(a.body), &failure) != nil || failure.Error.Message == "" {
		return ""
	}
	return failure.Error.Code
}

// send sends a request with a customer's token. Changes may alter it.
func (f *fixture) send(token, method, path, body string, changes ...func(*http.Request)) answer {
	f.Helper()
	request, err := http.NewRequestWithContext(f.Context(), method, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, change := range changes {
		change(request)
	}
	response, err := f.server.Client().Do(request)
	if err != nil {
		f.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		f.Fatal(err)
	}
	return answer{response, string(content)}
}

// want fails the test unless the answer has the status and the code.
func (f *fixture) want(a answer, status int, code crossaccount.Code) {
	f.Helper()
	if a.StatusCode != status || a.code() != code {
		f.Errorf("%s %s: status %d, code %q, want %d, %q\n%s", a.Request.Method, a.Request.URL, a.StatusCode, a.code(), status, code, a.body)
	}
}

// begin starts an onboarding.
func (f *fixture) begin(token, body string) crossaccount.IntegrationResponse {
	f.Helper()
	a := f.send(token, "POST", "/api/integration/start", body)
	var started crossaccount.IntegrationResponse
	if err := json.Unmarshal([]byte(a.body), &started); err != nil || a.StatusCode != http.StatusOK || started.ExternalID == "" {
		f.Fatalf("start: status %d, %s", a.StatusCode, a.body)
	}
	f.secrets = append(f.secrets, started.ExternalID)
	return started
}

// launch creates the stack in the customer's account.
func (f *fixture) launch(customer, link string) (roleARN string) {
	f.Helper()
	roleARN, err := f.world.Launch(context.Background(), customer, link)
	if err != nil {
		f.Fatal(err)
	}
	return roleARN
}

func (f *fixture) complete(token, roleARN string) answer {
	f.Helper()
	body, err := json.Marshal(map[string]string{"role_arn": roleARN})
	if err != nil {
		f.Fatal(err)
	}
	return f.send(token, "POST", "/api/integration/complete", string(body))
}

// onboard takes a customer through everything.
func (f *fixture) onboard(customer, token string) (roleARN string) {
	f.Helper()
	roleARN = f.launch(customer, f.begin(token, `{}`).LaunchURL)
	f.want(f.complete(token, roleARN), http.StatusOK, "")
	return roleARN
}

func (f *fixture) report(token, customer string) answer {
	f.Helper()
	return f.send(token, "GET", "/api/customer/"+customer+"/data?bucket="+customer+"-reports&key=2026/q3.csv", "")
}

// A syncBuffer may be written by several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// readREADME returns the shell commands of the section "Try it".
func readREADME(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```sh\n")
	commands, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatal("README.md has no block of shell commands")
	}
	return commands
}
