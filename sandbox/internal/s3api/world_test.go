package s3api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/sandbox"
)

const (
	owner = "111111111111"
	other = "222222222222"
)

// A world is a sandbox with two accounts, reached by the real SDK.
type world struct {
	t   *testing.T
	box *sandbox.Sandbox

	mu    sync.Mutex
	clock time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: time.Now().Truncate(time.Second)}
	w.box = sandbox.New(sandbox.Options{Clock: w.now})
	for _, id := range []string{owner, other} {
		if _, err := w.box.CreateAccount(id); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) config(c sandbox.Credentials, region string) aws.Config {
	return aws.Config{
		Region:      region,
		HTTPClient:  w.box.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func (w *world) root(account string) sandbox.Credentials {
	for _, a := range w.box.Accounts() {
		if a.ID() == account {
			return a.Root()
		}
	}
	w.t.Fatalf("there is no account %s", account)
	return sandbox.Credentials{}
}

// s3 returns a client of the account's root user.
func (w *world) s3(account string) *s3.Client {
	return s3.NewFromConfig(w.config(w.root(account), "us-east-1"))
}

// user makes a user with the given statements and returns a client for it.
func (w *world) user(account, name string, statements ...statement) *s3.Client {
	w.t.Helper()
	api := iam.NewFromConfig(w.config(w.root(account), "us-east-1"))
	ctx := w.t.Context()
	if _, err := api.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		w.t.Fatal(err)
	}
	if len(statements) > 0 {
		_, err := api.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
			UserName: &name, PolicyName: aws.String("p"), PolicyDocument: aws.String(policy(statements...)),
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	key, err := api.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	return s3.NewFromConfig(w.config(sandbox.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}, "us-east-1"))
}

// anonymous returns a client that does not sign.
func (w *world) anonymous() *s3.Client {
	config := w.config(sandbox.Credentials{}, "us-east-1")
	config.Credentials = aws.AnonymousCredentials{}
	return s3.NewFromConfig(config)
}

// bucket makes a bucket of the owner's account.
func (w *world) bucket(name string) {
	w.t.Helper()
	_, err := w.s3(owner).CreateBucket(w.t.Context(), &s3.CreateBucketInput{Bucket: &name})
	w.want(err, "")
}

// open switches Block Public Access off.
func (w *world) open(bucket string) {
	w.t.Helper()
	_, err := w.s3(owner).DeletePublicAccessBlock(w.t.Context(), &s3.DeletePublicAccessBlockInput{Bucket: &bucket})
	w.want(err, "")
}

func (w *world) setPolicy(bucket string, statements ...statement) {
	w.t.Helper()
	w.want(w.putPolicy(bucket, policy(statements...)), "")
}

func (w *world) putPolicy(bucket, document string) error {
	_, err := w.s3(owner).PutBucketPolicy(w.t.Context(), &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: &document})
	return err
}

func (w *world) put(bucket, key, body string) *s3.PutObjectOutput {
	w.t.Helper()
	out, err := w.s3(owner).PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader([]byte(body))})
	w.want(err, "")
	return out
}

func get(ctx context.Context, client *s3.Client, bucket, key string) (string, error) {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return string(body), err
}

// want checks the code of an AWS error; "" wants success.
func (w *world) want(err error, code string) {
	w.t.Helper()
	if got := codeOf(err); got != code {
		w.t.Errorf("got %q (%v), want %q", got, err, code)
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return "not an API error"
}

func statusOf(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

func headerOf(err error, name string) string {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.Response.Header.Get(name)
	}
	return ""
}

// A statement is a policy statement as a test writes it.
type statement map[string]any

func allow(action, resource any) statement {
	return statement{"Effect": "Allow", "Action": action, "Resource": resource}
}

func deny(action, resource any) statement {
	return statement{"Effect": "Deny", "Action": action, "Resource": resource}
}

func (s statement) to(principal any) statement {
	s["Principal"] = principal
	return s
}

func (s statement) when(operator, key string, values ...string) statement {
	conditions, _ := s["Condition"].(map[string]map[string][]string)
	if conditions == nil {
		conditions = make(map[string]map[string][]string)
		s["Condition"] = conditions
	}
	if conditions[operator] == nil {
		conditions[operator] = make(map[string][]string)
	}
	conditions[operator][key] = values
	return s
}

func account(id string) map[string]string { return map[string]string{"AWS": id} }

func policy(statements ...statement) string {
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(document)
}

// do sends a request without the SDK.
func (w *world) do(r *http.Request) (int, http.Header, string) {
	w.t.Helper()
	response, err := w.box.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

func ptr[T any](v T) *T { return &v }

var enabled = &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}
