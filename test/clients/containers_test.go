package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
)

// sessionLife is how long the sessions of these tests last. AWS's last 15 minutes
// at least; here an STS in front of the sandbox says less, and another front of
// the sandbox refuses them when that is over, as AWS does.
const sessionLife = 5 * time.Second

// clockAhead is how far the scenario's AWS is ahead of clients and broker.
const clockAhead = 8 * time.Minute

// sessions that a client uses while it crosses expiries, one after the other.
const sessionsCrossed = 3

// A container is what a client of the endpoint finds around it.
type container struct {
	*scenario
	credentials string // URL of the endpoint, without a path
	aws         string // URL of the sandbox
	token       string

	mu      sync.Mutex
	expires map[string]time.Time // :: access key → when its session ends, in AWS's time
	used    map[string]int       // :: access key → requests to AWS
	refused int                  // requests with a session that had expired
}

var (
	expiration = regexp.MustCompile(`<Expiration>[^<]*</Expiration>`)
	accessKey  = regexp.MustCompile(`<AccessKeyId>([^<]*)</AccessKeyId>`)
	signedWith = regexp.MustCompile(`Credential=([A-Z0-9]+)/`)
)

// RoundTrip is the sandbox as the broker sees it: its sessions are short.
func (c *container) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.box.RoundTripper().RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if key := accessKey.FindSubmatch(body); key != nil && expiration.Match(body) {
		ends := time.Now().Add(clockAhead + sessionLife).Truncate(time.Second)
		body = expiration.ReplaceAll(body, []byte("<Expiration>"+ends.UTC().Format(time.RFC3339)+"</Expiration>"))
		c.mu.Lock()
		c.expires[string(key[1])] = ends
		c.mu.Unlock()
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header.Del("Content-Length")
	return response, nil
}

// ServeHTTP is AWS as the client sees it: sessions end.
func (c *container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if key := signedWith.FindStringSubmatch(r.Header.Get("Authorization")); key != nil {
		c.mu.Lock()
		c.used[key[1]]++
		ends, known := c.expires[key[1]]
		expired := known && !time.Now().Add(clockAhead).Before(ends)
		if expired {
			c.refused++
		}
		c.mu.Unlock()
		if expired {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>`)
			return
		}
	}
	c.box.ServeHTTP(w, r)
}

func newContainer(t *testing.T) *container {
	t.Helper()
	c := &container{scenario: newScenario(t), expires: map[string]time.Time{}, used: map[string]int{}}
	own := c.box.Config(sandbox.Credentials(c.Broker))
	own.HTTPClient = &http.Client{Transport: c}
	b, err := broker.New(broker.Config{AWSConfig: own, CustomerRate: broker.Rate{Burst: 100, Every: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	token, record, err := broker.IssueToken(nil, time.Now(), "container", broker.TokenRecord{
		Customers: []string{"acme", "gone"}, Purposes: []string{""}, ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.token = token
	tokens, err := broker.NewTokens(record)
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := broker.NewEndpoint(broker.EndpointConfig{
		Tokens: tokens, TokenRate: broker.Rate{Burst: 10_000, Every: time.Millisecond},
		Resolve: func(_ context.Context, customer, integration, _ string) (broker.Source, error) {
			if customer == "gone" {
				return nil, broker.Revoked(nil)
			}
			return b.For(broker.Request{Customer: customer, Integration: integration,
				Chain: []broker.Role{{ARN: c.Role, ExternalID: c.ExternalID, SessionName: "container"}}})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := broker.ListenLoopback(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := endpoint.Server()
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { server.Close() })
	c.credentials = "http://" + listener.Addr().String()
	front := httptest.NewServer(c)
	t.Cleanup(front.Close)
	c.aws = front.URL
	return c
}

// environment is what a container has: no credentials, but where to get them.
func (c *container) environment(t *testing.T, customer string, inFile bool) []string {
	t.Helper()
	all := c.box.Environment(c.aws, sandbox.Credentials{})
	all = slices.DeleteFunc(all, func(entry string) bool {
		return strings.HasPrefix(entry, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(entry, "AWS_SECRET_ACCESS_KEY=")
	})
	all = append(all, "AWS_CONTAINER_CREDENTIALS_FULL_URI="+c.credentials+broker.CredentialsPath(customer, "", ""), "LC_ALL=C.UTF-8", "PYTHONUTF8=1")
	if !inFile {
		return append(all, "AWS_CONTAINER_AUTHORIZATION_TOKEN="+c.token)
	}
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(c.token), 0o600); err != nil {
		t.Fatal(err)
	}
	return append(all, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="+name)
}

// sessions returns how many sessions were used so far.
func (c *container) sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for key := range c.used {
		if _, ok := c.expires[key]; ok {
			count++
		}
	}
	return count
}

// A crossing is what a client says about its way across expiries.
type crossing struct {
	Identity string `json:"identity"`
	Body     string `json:"body"`
	Calls    int    `json:"calls"`
	Sessions int    `json:"sessions"` // different access keys
}

// TestContainers lets AWS's own clients get their credentials from the broker's
// endpoint and use them across expiries. No request may meet an expired session,
// and a program in any language needs three variables for it.
func TestContainers(t *testing.T) {
	for _, client := range []struct {
		name  string
		cross func(t *testing.T, c *container) crossing
		fails func(t *testing.T, c *container, customer string) string // what the client says
	}{
		{"aws-sdk-go-v2", crossWithGo, failWithGo},
		{"aws", crossWithCommand, failWithCommand},
		{"boto3", crossWithBoto3, failWithBoto3},
		{"javascript", crossWithJavaScript, failWithJavaScript},
	} {
		t.Run(client.name, func(t *testing.T) {
			if client.name != "aws-sdk-go-v2" { // which reads this process's environment
				t.Parallel()
			}
			c := newContainer(t)
			got := client.cross(t, c)
			want := "arn:aws:sts::" + customerID + ":assumed-role/reader/container"
			if got.Identity != want || got.Body != content {
				t.Errorf("got %q and %q, want %q and %q", got.Identity, got.Body, want, content)
			}
			if got.Sessions < sessionsCrossed || c.sessions() < sessionsCrossed {
				t.Errorf("the client used %d sessions and AWS saw %d, want %d", got.Sessions, c.sessions(), sessionsCrossed)
			}
			c.mu.Lock()
			if c.refused > 0 {
				t.Errorf("%d requests came with a session that had expired", c.refused)
			}
			c.mu.Unlock()
			t.Logf("%d calls with %d sessions", got.Calls, c.sessions())

			for customer, want := range map[string]string{"gone": "no longer in use", "globex": "the token is not for this customer"} {
				began := time.Now()
				if got := client.fails(t, c, customer); !strings.Contains(got, want) {
					t.Errorf("%s: the client says %q, want %q", customer, got, want)
				}
				t.Logf("%s: the client gave up after %s", customer, time.Since(began).Round(time.Millisecond))
			}
		})
	}
}

// setEnvironment gives this process the environment of the container.
func setEnvironment(t *testing.T, environment []string) {
	t.Helper()
	testenv.IsolateAWS(t)
	for _, entry := range environment {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value)
		}
	}
}

func crossWithGo(t *testing.T, c *container) (got crossing) {
	t.Helper()
	setEnvironment(t, c.environment(t, "acme", true))
	loaded, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	identity := sts.NewFromConfig(loaded)
	objects := s3.NewFromConfig(loaded, func(o *s3.Options) { o.UsePathStyle = true })
	seen := map[string]bool{}
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	for deadline := time.Now().Add(time.Minute); len(seen) < sessionsCrossed && time.Now().Before(deadline); <-pace.C {
		used, err := loaded.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen[used.AccessKeyID] = true
		who, err := identity.GetCallerIdentity(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		object, err := objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &c.Bucket, Key: &c.Readable})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(object.Body)
		object.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		got = crossing{*who.Arn, string(body), got.Calls + 1, len(seen)}
	}
	return got
}

func failWithGo(t *testing.T, c *container, customer string) string {
	t.Helper()
	setEnvironment(t, c.environment(t, customer, true))
	loaded, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = sts.NewFromConfig(loaded).GetCallerIdentity(t.Context(), nil)
	return fmt.Sprint(err)
}

// run runs a client in the container.
func (c *container) run(t *testing.T, customer string, inFile bool, more []string, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, problems bytes.Buffer
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(c.environment(t, customer, inFile), more...)
	command.Stdout, command.Stderr = &out, &problems
	err = command.Run()
	return out.String(), problems.String(), err
}

// crossWithCommand runs the command again and again, each time a new process that
// asks the endpoint.
func crossWithCommand(t *testing.T, c *container) (got crossing) {
	t.Helper()
	program := testenv.Tool(t, "aws")
	file := filepath.Join(t.TempDir(), "object")
	for deadline := time.Now().Add(time.Minute); c.sessions() < sessionsCrossed && time.Now().Before(deadline); got.Calls++ {
		identity, problems, err := c.run(t, "acme", false, nil, program, "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
		if err != nil {
			t.Fatalf("aws sts: %v\n%s", err, problems)
		}
		got.Identity = strings.TrimSpace(identity)
	}
	if _, problems, err := c.run(t, "acme", false, nil, program, "s3api", "get-object", "--bucket", c.Bucket, "--key", c.Readable, file); err != nil {
		t.Fatalf("aws s3api: %v\n%s", err, problems)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got.Body, got.Sessions = string(body), c.sessions()
	return got
}

func failWithCommand(t *testing.T, c *container, customer string) string {
	t.Helper()
	_, problems, err := c.run(t, customer, false, nil, testenv.Tool(t, "aws"), "sts", "get-caller-identity")
	if err == nil {
		t.Error("aws sts succeeded")
	}
	return problems
}

// script runs one that makes calls until it has used that many sessions.
func (c *container) script(t *testing.T, more []string, program, script string) (got crossing) {
	t.Helper()
	more = append(more, "BUCKET="+c.Bucket, "KEY="+c.Readable, fmt.Sprint("SESSIONS=", sessionsCrossed))
	out, problems, err := c.run(t, "acme", true, more, program, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, problems)
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return got
}

func (c *container) failingScript(t *testing.T, customer string, more []string, program, script string) string {
	t.Helper()
	out, problems, err := c.run(t, customer, true, append(more, "SESSIONS=1", "BUCKET="+c.Bucket, "KEY="+c.Readable), program, script)
	if err == nil {
		t.Errorf("%s succeeded: %s", script, out)
	}
	return problems
}

func crossWithBoto3(t *testing.T, c *container) crossing {
	t.Helper()
	return c.script(t, nil, testenv.Python(t, "boto3"), "testdata/containers/cross.py")
}

func failWithBoto3(t *testing.T, c *container, customer string) string {
	t.Helper()
	return c.failingScript(t, customer, nil, testenv.Python(t, "boto3"), "testdata/containers/cross.py")
}

func javaScript(t *testing.T) []string {
	t.Helper()
	testenv.Tool(t, "node")
	return []string{"NODE_PATH=" + installJavaScript(t, testenv.Tool(t, "npm"))}
}

func crossWithJavaScript(t *testing.T, c *container) crossing {
	t.Helper()
	return c.script(t, javaScript(t), testenv.Tool(t, "node"), "testdata/containers/cross.js")
}

func failWithJavaScript(t *testing.T, c *container, customer string) string {
	t.Helper()
	return c.failingScript(t, customer, javaScript(t), testenv.Tool(t, "node"), "testdata/containers/cross.js")
}

// TestTerraformInContainer has terraform's AWS provider get its credentials from
// the endpoint.
func TestTerraformInContainer(t *testing.T) {
	terraform := testenv.Tool(t, "terraform")
	settings := providerSettings(t)
	c := newContainer(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/containers/terraform")); err != nil {
		t.Fatal(err)
	}
	variables, err := json.Marshal(map[string]any{"endpoint": c.aws, "region": c.Region, "bucket": c.Bucket, "key": c.Readable})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "terraform.tfvars.json"), variables, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(customer string, args ...string) (string, error) {
		out, problems, err := c.run(t, customer, true, []string{"TF_CLI_CONFIG_FILE=" + settings, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1"},
			terraform, append([]string{"-chdir=" + dir}, args...)...)
		return out + problems, err
	}
	if out, err := run("acme", "init", "-input=false", "-no-color"); err != nil {
		t.Fatalf("terraform init: %v\n%s", err, out)
	}
	if out, err := run("gone", "plan", "-input=false", "-no-color"); err == nil || !strings.Contains(out, "no longer in use") {
		t.Errorf("terraform plan for a customer who is gone: %v\n%s", err, out)
	}
	if out, err := run("acme", "apply", "-auto-approve", "-input=false", "-no-color"); err != nil {
		t.Fatalf("terraform apply: %v\n%s", err, out)
	}
	out, err := run("acme", "output", "-json")
	if err != nil {
		t.Fatalf("terraform output: %v\n%s", err, out)
	}
	var outputs map[string]struct{ Value string }
	if err := json.Unmarshal([]byte(out), &outputs); err != nil {
		t.Fatal(err)
	}
	if got, want := outputs["identity"].Value, "arn:aws:sts::"+customerID+":assumed-role/reader/container"; got != want {
		t.Errorf("identity: got %s, want %s", got, want)
	}
	if got := outputs["body"].Value; got != content {
		t.Errorf("body: got %q, want %q", got, content)
	}
}
