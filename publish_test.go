package crossaccount_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/iam"
)

// publish asks for a link and returns what was published for it.
func publish(ctx context.Context, client *crossaccount.Client) (*crossaccount.IntegrationResponse, error) {
	return client.GenerateIntegrationURL(ctx, &crossaccount.IntegrationRequest{CustomerID: "one"})
}

// operator returns a client of the vendor's root user for a configuration that
// change adapts.
func (w *world) operator(change func(*crossaccount.Config), options ...crossaccount.Option) *crossaccount.Client {
	w.Helper()
	config := *w.config
	config.AWSConfig = w.box.Account(vendorID).Config()
	change(&config)
	client, err := crossaccount.New(&config, append([]crossaccount.Option{crossaccount.WithLogger(nil)}, options...)...)
	if err != nil {
		w.Fatal(err)
	}
	return client
}

func (w *world) storage(account string) *s3.Client {
	return s3.NewFromConfig(w.box.Account(account).Config())
}

func s3Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestPublishedTemplate(t *testing.T) {
	w := newWorld(t)
	response := w.start("one")
	key := "Acme-Analytics/" + response.TemplateSHA256 + "/template.json"
	if want := "https://acme-templates.s3.us-east-1.amazonaws.com/" + key; response.TemplateURL != want {
		t.Errorf("template URL %s, want %s", response.TemplateURL, want)
	}
	link, err := crossaccount.ParseLaunchLink(response.LaunchURL)
	if err != nil || link.TemplateURL != response.TemplateURL {
		t.Errorf("the link has template %v, %v", link, err)
	}

	// Any customer's principal can read exactly the bytes that were hashed.
	out, err := w.storage(oneID).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != response.TemplateSHA256 {
		t.Error("the object is not what its name says")
	}
	if aws.ToString(out.ContentType) != "application/json" {
		t.Errorf("content type %s", aws.ToString(out.ContentType))
	}
	document, err := w.client.GenerateCloudFormationTemplate()
	if err != nil || document != string(body) {
		t.Errorf("GenerateCloudFormationTemplate and the published template differ (%v)", err)
	}

	// Nobody can replace or remove it, not even the vendor's root user, and
	// nobody can read it without being signed in.
	root := w.storage(vendorID)
	_, err = root.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader("{}")})
	if s3Code(err) != "AccessDenied" {
		t.Errorf("overwriting: %v", err)
	}
	_, err = root.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key})
	if s3Code(err) != "AccessDenied" {
		t.Errorf("deleting: %v", err)
	}
	_, err = root.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key, VersionId: out.VersionId})
	if s3Code(err) != "AccessDenied" {
		t.Errorf("deleting its version: %v", err)
	}
	if status := w.fetch(response.TemplateURL); status != http.StatusForbidden {
		t.Errorf("anonymous reading: status %d", status)
	}

	// Another instance of the service finds it there and is content.
	again, err := publish(t.Context(), w.newClient())
	if err != nil || again.TemplateURL != response.TemplateURL {
		t.Errorf("publishing again: %+v, %v", again, err)
	}
	versions, err := root.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucket)})
	if err != nil || len(versions.Versions) != 1 {
		t.Errorf("the bucket has %d versions, %v", len(versions.Versions), err)
	}
}

func (w *world) fetch(url string) int {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	response, err := w.box.Client().Do(request)
	if err != nil {
		w.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestTamperedTemplateIsNotHandedOut(t *testing.T) {
	w := newWorld(t)
	response := w.start("one")
	key := "Acme-Analytics/" + response.TemplateSHA256 + "/template.json"
	root := w.storage(vendorID)
	if _, err := root.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader("{}")}); err != nil {
		t.Fatal(err)
	}
	_, err := publish(t.Context(), w.newClient())
	wantCode(t, err, crossaccount.CodePublish)
	if err != nil && !strings.Contains(err.Error(), key) {
		t.Errorf("the error does not name the object: %v", err)
	}
}

// A switch cuts the connection to AWS.
type outage struct {
	client *http.Client
	down   atomic.Bool
}

func (o *outage) Do(r *http.Request) (*http.Response, error) {
	if o.down.Load() && strings.Contains(r.URL.Host, "s3") {
		return nil, errors.New("S3 is down")
	}
	return o.client.Do(r)
}

func TestLinksWhileS3IsDown(t *testing.T) {
	w := newWorld(t)
	w.prepareBucket()
	network := &outage{client: w.box.Client()}
	noWait := crossaccount.WithWait(func(context.Context, time.Duration) error { return nil })
	client := w.newClient(crossaccount.WithHTTPClient(network), noWait)
	before, err := publish(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	network.down.Store(true)
	after, err := publish(t.Context(), client)
	if err != nil || after.LaunchURL != before.LaunchURL {
		t.Errorf("while S3 is down: %+v, %v", after, err)
	}

	// Another process, which has published nothing, has the record.
	other := func() *crossaccount.Client { return w.newClient(crossaccount.WithHTTPClient(network), noWait) }
	restarted, err := publish(t.Context(), other())
	if err != nil || restarted.LaunchURL != before.LaunchURL || restarted.TemplateURL != before.TemplateURL || restarted.TemplateSHA256 != before.TemplateSHA256 {
		t.Errorf("another process while S3 is down: %+v, %v", restarted, err)
	}
	if !strings.Contains(w.log.String(), "S3 cannot be reached") {
		t.Error("nothing was logged")
	}
	// A customer who was never sent to the template cannot be known to reach it.
	_, err = other().GenerateIntegrationURL(t.Context(), &crossaccount.IntegrationRequest{CustomerID: "two"})
	wantCode(t, err, crossaccount.CodePublish)
	// Nor can one who was sent to another template.
	w.config.OngoingPermissions[0].Resources = append(w.config.OngoingPermissions[0].Resources, "arn:aws:s3:::another/*")
	_, err = publish(t.Context(), other())
	wantCode(t, err, crossaccount.CodePublish)
	if !errors.Is(err, crossaccount.CodePublish) || !crossaccount.CodeOf(err).Retryable() {
		t.Errorf("a first publication while S3 is down: %v", err)
	}
}

// A bucket of the configured name that somebody else owns is never written to,
// however much its owner allows.
func TestSomebodyElsesBucket(t *testing.T) {
	w := newWorld(t)
	theirs := w.storage(twoID)
	for _, step := range []func() error{
		func() error {
			_, err := theirs.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
			return err
		},
		func() error {
			_, err := theirs.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: aws.String(
				`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"s3:*","Resource":["arn:aws:s3:::` + bucket + `","arn:aws:s3:::` + bucket + `/*"]}}`)})
			return err
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := publish(t.Context(), w.client)
	wantCode(t, err, crossaccount.CodePublish)
	changes, err := w.operator(func(*crossaccount.Config) {}).PrepareTemplateBucket(t.Context())
	wantCode(t, err, crossaccount.CodePublish)
	if len(changes) != 0 {
		t.Errorf("changed in somebody else's bucket: %v", changes)
	}
	list, err := theirs.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil || len(list.Contents) != 0 {
		t.Errorf("%d objects were written, %v", len(list.Contents), err)
	}
}

func TestTemplateURLForms(t *testing.T) {
	for _, test := range []struct{ name, bucket, bucketRegion, defaultRegion, want string }{
		{"usual", "templates", "us-east-1", "us-east-1", "https://templates.s3.us-east-1.amazonaws.com/Acme-Analytics/"},
		{"dotted", "templates.acme.example", "us-east-1", "us-east-1", "https://s3.us-east-1.amazonaws.com/templates.acme.example/Acme-Analytics/"},
		{"bucket elsewhere", "templates", "eu-west-1", "us-east-1", "https://templates.s3.eu-west-1.amazonaws.com/Acme-Analytics/"},
		{"everything elsewhere", "templates", "eu-west-1", "eu-west-1", "https://templates.s3.eu-west-1.amazonaws.com/Acme-Analytics/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			in := func(region string) func(*crossaccount.Config) {
				return func(c *crossaccount.Config) { c.TemplateS3Bucket, c.DefaultRegion = test.bucket, region }
			}
			if _, err := w.operator(in(test.bucketRegion)).PrepareTemplateBucket(t.Context()); err != nil {
				t.Fatal(err)
			}
			response, err := publish(t.Context(), w.operator(in(test.defaultRegion)))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(response.TemplateURL, test.want) {
				t.Errorf("template URL %s, want %s…", response.TemplateURL, test.want)
			}
			w.launch(oneID, response.LaunchURL)
		})
	}
}

func TestPresignedTemplates(t *testing.T) {
	w := newWorld(t)
	presigned := crossaccount.WithPresignedTemplates(time.Hour)
	if _, err := w.operator(func(*crossaccount.Config) {}, presigned).PrepareTemplateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	response, err := publish(t.Context(), w.newClient(presigned))
	if err != nil {
		t.Fatal(err)
	}
	link, err := crossaccount.ParseLaunchLink(response.LaunchURL)
	if err != nil {
		t.Fatal(err)
	}
	plain, _, signed := strings.Cut(link.TemplateURL, "?")
	if !signed || plain != response.TemplateURL {
		t.Errorf("the link has template %s, the response %s", link.TemplateURL, response.TemplateURL)
	}
	if status := w.fetch(link.TemplateURL); status != http.StatusOK {
		t.Errorf("the presigned URL does not work: status %d", status)
	}
	if status := w.fetch(plain); status != http.StatusForbidden {
		t.Errorf("without the signature: status %d", status)
	}
	if _, err := w.storage(oneID).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(strings.TrimPrefix(plain, "https://acme-templates.s3.us-east-1.amazonaws.com/"))}); s3Code(err) != "AccessDenied" {
		t.Errorf("a customer can read the private bucket: %v", err)
	}
	block, err := w.storage(vendorID).GetPublicAccessBlock(t.Context(), &s3.GetPublicAccessBlockInput{Bucket: aws.String(bucket)})
	if err != nil || !aws.ToBool(block.PublicAccessBlockConfiguration.RestrictPublicBuckets) {
		t.Errorf("the bucket is not private: %v", err)
	}
	w.launch(oneID, response.LaunchURL)
	if strings.Contains(w.log.String(), "X-Amz-Signature") || strings.Contains(w.dump(), "X-Amz-Signature") {
		t.Error("the presigned URL was logged or stored in the clear")
	}
}

func TestPrepareTemplateBucket(t *testing.T) {
	w := newWorld(t)
	root := w.storage(vendorID)
	prepare := func(change func(*crossaccount.Config)) []string {
		t.Helper()
		operator := w.operator(change)
		before := len(w.box.Calls())
		planned, err := operator.PlanTemplateBucket(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range w.box.Calls()[before:] {
			if !strings.HasPrefix(call.Operation, "Get") {
				t.Errorf("planning calls %s", call.Operation)
			}
		}
		changes, err := operator.PrepareTemplateBucket(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(planned, changes); diff != "" {
			t.Errorf("the plan was another one (-planned +done):\n%s", diff)
		}
		return changes
	}
	same := func(*crossaccount.Config) {}
	policy := func() *iam.Policy {
		t.Helper()
		out, err := root.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: aws.String(bucket)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := iam.ParsePolicy([]byte(*out.Policy))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if got := prepare(same); len(got) == 0 || got[0] != "create the bucket in us-east-1" {
		t.Errorf("the first time: %q", got)
	}
	want := crossaccount.TemplateBucketPolicy("aws", bucket, "Acme Analytics", true)
	if diff := cmp.Diff(string(want.Canonical()), string(policy().Canonical())); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if got := prepare(same); len(got) != 0 {
		t.Errorf("the second time: %q", got)
	}

	// Other people's statements stay, and a second service adds its own.
	mine := `{"Version":"2012-10-17","Statement":[{"Sid":"Mine","Effect":"Allow","Principal":{"AWS":"` + vendorID + `"},"Action":"s3:ListBucket","Resource":"arn:aws:s3:::` + bucket + `"}]}`
	if _, err := root.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: &mine}); err != nil {
		t.Fatal(err)
	}
	prepare(same)
	prepare(func(c *crossaccount.Config) { c.ServiceName = "Acme Storage" })
	prepare(same)
	count := make(map[string]int)
	for _, s := range policy().Statements {
		for _, name := range []string{"Mine", "CrossaccountTLSOnly", "CrossaccountReadTemplates", "CrossaccountWriteTemplatesOnce", "CrossaccountKeepTemplates"} {
			if strings.HasPrefix(s.Sid, name) {
				count[name]++
			}
		}
	}
	wantCount := map[string]int{"Mine": 1, "CrossaccountTLSOnly": 1, "CrossaccountReadTemplates": 2, "CrossaccountWriteTemplatesOnce": 2, "CrossaccountKeepTemplates": 2}
	if diff := cmp.Diff(wantCount, count); diff != "" || len(policy().Statements) != 8 {
		t.Errorf("%d statements (-want +got):\n%s", len(policy().Statements), diff)
	}

	// What somebody has loosened is tightened again.
	if _, err := root.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"enable versioning"}, prepare(same)); diff != "" {
		t.Errorf("after suspending versioning (-want +got):\n%s", diff)
	}
}

// A refusal is no outage: the record of an earlier link does not hide it.
func TestARefusedPublicationIsNotHidden(t *testing.T) {
	w := newWorld(t)
	w.start("one")
	w.config.AWSConfig = w.box.Account(vendorID).User("powerless")
	_, err := publish(t.Context(), w.newClient())
	wantCode(t, err, crossaccount.CodePublish)
}

func TestPublishWithoutBucket(t *testing.T) {
	w := newWorld(t)
	w.config.TemplateS3Bucket = ""
	_, err := publish(t.Context(), w.newClient())
	wantCode(t, err, crossaccount.CodeInvalidConfig)
}
