// Package sandboxtest gives tests AWS accounts to work with, and configurations
// of the AWS SDK for Go that reach them without a network.
//
//	box := sandboxtest.New(t, "111111111111", "222222222222")
//	vendor := box.Account("111111111111").User("broker", allowAssume)
//	client := sts.NewFromConfig(vendor)
//
// Configurations carry static credentials and the sandbox's own HTTP client.
// They are not loaded from anywhere, so neither the environment (AWS_CA_BUNDLE,
// AWS_PROFILE), nor files, nor instance metadata can change them, and a request
// to any host that is not AWS's is an error. For code under test that loads a
// configuration itself there is [ClearEnvironment], and for other programs
// [Sandbox.Serve].
package sandboxtest

import (
	"context"
	"crypto/rand"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox"
)

// Region is the region of the configurations.
const Region = "us-east-1"

// A Sandbox is a sandbox that belongs to one test. What fails in its methods
// fails the test.
type Sandbox struct {
	*sandbox.Sandbox
	t testing.TB
}

// New returns a sandbox with the given accounts, on the computer's clock and
// without propagation delay.
func New(tb testing.TB, accounts ...string) *Sandbox {
	tb.Helper()
	return NewWith(tb, sandbox.Options{}, accounts...)
}

// NewWith is New with options.
func NewWith(tb testing.TB, o sandbox.Options, accounts ...string) *Sandbox {
	tb.Helper()
	b := &Sandbox{sandbox.New(o), tb}
	for _, id := range accounts {
		if _, err := b.CreateAccount(id); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

// Account returns an account the sandbox was made with.
func (b *Sandbox) Account(id string) *Account {
	b.t.Helper()
	for _, a := range b.Accounts() {
		if a.ID() == id {
			return &Account{a, b}
		}
	}
	b.t.Fatalf("sandboxtest: there is no account %s; give its id to New", id)
	return nil
}

// Config returns a configuration that signs with the given credentials.
func (b *Sandbox) Config(c sandbox.Credentials) aws.Config {
	return aws.Config{
		Region:      Region,
		HTTPClient:  b.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
	}
}

// Assume makes a session of a role with the caller's configuration and returns
// the session's. The options change the request, for example to add an external
// ID. A refusal fails the test; to see one, call STS directly.
func (b *Sandbox) Assume(caller aws.Config, roleARN string, options ...func(*sts.AssumeRoleInput)) aws.Config {
	b.t.Helper()
	in := &sts.AssumeRoleInput{RoleArn: &roleARN, RoleSessionName: aws.String("test")}
	for _, option := range options {
		option(in)
	}
	out, err := sts.NewFromConfig(caller).AssumeRole(context.Background(), in)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Config(sandbox.Credentials{
		AccessKeyID:     *out.Credentials.AccessKeyId,
		SecretAccessKey: *out.Credentials.SecretAccessKey,
		SessionToken:    *out.Credentials.SessionToken,
	})
}

// Serve serves the sandbox over HTTP on the loopback interface until the test
// ends, and returns its URL: the AWS_ENDPOINT_URL of other programs.
func (b *Sandbox) Serve() string {
	server := httptest.NewUnstartedServer(b)
	server.Config.Protocols = sandbox.Protocols()
	server.Start()
	b.t.Cleanup(server.Close)
	return server.URL
}

// ServeTLS is Serve over HTTPS. The file holds the certificate that programs must
// trust: their AWS_CA_BUNDLE.
func (b *Sandbox) ServeTLS() (url, caFile string) {
	b.t.Helper()
	config, authority, err := sandbox.NewTLS(time.Now(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	caFile = filepath.Join(b.t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, authority, 0o600); err != nil {
		b.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(b)
	server.TLS, server.Config.Protocols = config, sandbox.Protocols()
	server.StartTLS()
	b.t.Cleanup(server.Close)
	return server.URL, caFile
}

// Environment returns environment variables that make an AWS program use a
// served sandbox with the given credentials and nothing of the machine's own
// configuration. Of the present environment only PATH is kept.
func (b *Sandbox) Environment(url string, c sandbox.Credentials) []string {
	nowhere := filepath.Join(b.t.TempDir(), "none")
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + b.t.TempDir(),
		"AWS_ENDPOINT_URL=" + url,
		"AWS_ENDPOINT_URL_STS=" + url, // the SDK for Go looks up web identities before it knows the other
		"AWS_ACCESS_KEY_ID=" + c.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey,
		"AWS_REGION=" + Region,
		"AWS_DEFAULT_REGION=" + Region,
		"AWS_CONFIG_FILE=" + nowhere,
		"AWS_SHARED_CREDENTIALS_FILE=" + nowhere,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_PAGER=",
		"NO_PROXY=*",
	}
	if c.SessionToken != "" {
		env = append(env, "AWS_SESSION_TOKEN="+c.SessionToken)
	}
	return env
}

// ClearEnvironment removes every AWS_ variable for the rest of the test and
// keeps the SDK from reading the machine's configuration files and instance
// metadata. It uses t.Setenv, so the test cannot run in parallel with others.
func ClearEnvironment(tb testing.TB) {
	tb.Helper()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") {
			tb.Setenv(name, "") // so that it is restored
			if err := os.Unsetenv(name); err != nil {
				tb.Fatal(err)
			}
		}
	}
	nowhere := filepath.Join(tb.TempDir(), "none")
	tb.Setenv("AWS_CONFIG_FILE", nowhere)
	tb.Setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
	tb.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// An Account is an account with ways to fill it. Everything is done through
// the sandbox's IAM API, with the credentials of the root user.
type Account struct {
	*sandbox.Account
	box *Sandbox
}

// Config returns the configuration of the account's root user.
func (a *Account) Config() aws.Config { return a.box.Config(a.Root()) }

// User creates a user with the given inline policies and an access key, and
// returns its configuration.
func (a *Account) User(name string, policies ...string) aws.Config {
	a.box.t.Helper()
	return a.box.Config(a.UserCredentials(name, policies...))
}

// UserCredentials is User for those who need the credentials themselves.
func (a *Account) UserCredentials(name string, policies ...string) sandbox.Credentials {
	t := a.box.t
	t.Helper()
	client, ctx := iam.NewFromConfig(a.Config()), context.Background()
	if _, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	for i, policy := range policies {
		if _, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
			UserName: &name, PolicyName: policyName(i), PolicyDocument: &policy,
		}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return sandbox.Credentials{AccessKeyID: *out.AccessKey.AccessKeyId, SecretAccessKey: *out.AccessKey.SecretAccessKey}
}

// Role creates a role with the given trust policy and inline policies and
// returns its ARN. Options change the request, for example to set a path.
func (a *Account) Role(name, trust string, policies []string, options ...func(*iam.CreateRoleInput)) string {
	t := a.box.t
	t.Helper()
	client, ctx := iam.NewFromConfig(a.Config()), context.Background()
	in := &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}
	for _, option := range options {
		option(in)
	}
	out, err := client.CreateRole(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	for i, policy := range policies {
		if _, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
			RoleName: &name, PolicyName: policyName(i), PolicyDocument: &policy,
		}); err != nil {
			t.Fatal(err)
		}
	}
	return *out.Role.Arn
}

func policyName(i int) *string { return aws.String("policy-" + strconv.Itoa(i+1)) }
