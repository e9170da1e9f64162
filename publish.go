package crossaccount

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// A publishedTemplate is a template in the vendor's bucket. Its key contains the
// hash of its bytes, so it never changes.
type publishedTemplate struct {
	Bucket string
	Key    string
	Region string // of the bucket
	SHA256 string // of the bytes, in hexadecimal
	URL    string // not presigned
}

// A publisher puts templates into the vendor's template bucket. What it once
// published it remembers, so that links to it need no S3. It is safe for
// concurrent use.
type publisher struct {
	bucket string
	owner  string // the account that must own the bucket
	folder string // the keys' first part
	region string // where the bucket is looked for first

	config func(context.Context) (aws.Config, error)
	call   func(context.Context, func(context.Context) error) (answer, error)
	now    func() time.Time

	mu        sync.Mutex
	found     string                       // the bucket's region once it is known
	published map[string]publishedTemplate // :: SHA-256 of the bytes → where they are
	attempts  map[string]*publishing       // :: SHA-256 of the bytes → the attempt that is under way
}

// A publishing is one attempt to publish a template, for all who want it at that
// time.
type publishing struct {
	done     chan struct{} // closed when the rest is set
	template publishedTemplate
	err      error
	given    bool // up, because its caller went away
}

// newPublisher makes the publisher of a client. New calls it once the client is
// complete.
func newPublisher(c *Client) *publisher {
	return &publisher{
		bucket:    c.config.TemplateS3Bucket,
		owner:     c.config.ServiceAccountID,
		folder:    templateFolder(c.config.ServiceName),
		region:    c.config.DefaultRegion,
		config:    c.awsConfig,
		call:      c.call,
		now:       c.now,
		published: make(map[string]publishedTemplate),
		attempts:  make(map[string]*publishing),
	}
}

// templateFolder is the first part of all keys of a service's templates. Several
// services may share a bucket.
func templateFolder(serviceName string) string { return slug(serviceName, 40) }

// templateType is the content type of templates, which are JSON.
const templateType = "application/json"

// publish stores the template unless it is there, and returns where it is. An
// object of the same key with other content is an error: somebody has tampered
// with the bucket. The error has the code publish.
func (p *publisher) publish(ctx context.Context, body []byte) (publishedTemplate, error) {
	if p.bucket == "" {
		return publishedTemplate{}, NewError(CodeInvalidConfig, "template_s3_bucket: is not set, and launch links need it",
			"set it to a bucket of the vendor's account", nil)
	}
	if err := reference.CheckTemplateObject(len(body)); err != nil {
		return publishedTemplate{}, NewError(CodeTemplate, "template: "+err.Error(), "", nil)
	}
	t := p.locate(body)
	for {
		p.mu.Lock()
		if published, ok := p.published[t.SHA256]; ok {
			p.mu.Unlock()
			return published, nil
		}
		attempt, others := p.attempts[t.SHA256]
		if !others {
			attempt = &publishing{done: make(chan struct{})}
			p.attempts[t.SHA256] = attempt
		}
		p.mu.Unlock()
		if !others {
			p.attempt(ctx, attempt, t, body)
			return attempt.template, attempt.err
		}
		// Many onboardings may begin before the first of them has published.
		select {
		case <-attempt.done:
		case <-ctx.Done():
			return publishedTemplate{}, p.failed(ctx.Err())
		}
		if !attempt.given {
			return attempt.template, attempt.err
		}
	}
}

// attempt publishes a template and tells everybody who waits for it.
func (p *publisher) attempt(ctx context.Context, attempt *publishing, t publishedTemplate, body []byte) {
	sum := sha256.Sum256(body)
	t.Region, attempt.err = p.put(ctx, t.Key, body, sum[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	if attempt.err == nil {
		t.URL = objectURL(t.Bucket, t.Region, t.Key)
		attempt.template = t
		p.published[t.SHA256] = t
	}
	attempt.given = attempt.err != nil && ctx.Err() != nil
	delete(p.attempts, t.SHA256)
	close(attempt.done)
}

// locate says where a template is or would be, without asking S3. As long as
// this process has not reached the bucket, its region is taken to be
// default_region.
func (p *publisher) locate(body []byte) publishedTemplate {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	t := publishedTemplate{Bucket: p.bucket, Key: p.folder + "/" + hash + "/template.json", SHA256: hash, Region: cmp.Or(p.found, p.region)}
	t.URL = objectURL(t.Bucket, t.Region, t.Key)
	return t
}

// unreachable reports whether publishing failed for want of an answer, as
// opposed to one that says that something is wrong.
func unreachable(err error) bool {
	var ours *Error
	var call *callError
	return errors.As(err, &ours) && ours.Code == CodePublish && errors.As(ours.Cause(), &call) &&
		(call.code == "" && call.status == 0 || call.status >= http.StatusInternalServerError)
}

// put writes the object if it does not exist, and returns the bucket's region.
func (p *publisher) put(ctx context.Context, key string, body, sum []byte) (region string, err error) {
	checksum := base64.StdEncoding.EncodeToString(sum)
	region, err = p.inRegion(ctx, func(ctx context.Context, client *s3.Client) error {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &p.bucket, Key: &key, Body: bytes.NewReader(body),
			ContentType:         aws.String(templateType),
			CacheControl:        aws.String("public, max-age=31536000, immutable"),
			ChecksumAlgorithm:   types.ChecksumAlgorithmSha256,
			ChecksumSHA256:      &checksum,
			IfNoneMatch:         aws.String("*"),
			ExpectedBucketOwner: &p.owner,
		})
		return err
	})
	if err == nil {
		return region, nil
	}
	switch apiCodeOf(err) {
	case "PreconditionFailed", "ConditionalRequestConflict": // there already, or just being written
		return region, p.compare(ctx, key, sum)
	}
	return "", p.failed(err)
}

// compare checks that the object has the content we would have stored.
func (p *publisher) compare(ctx context.Context, key string, sum []byte) error {
	var stored []byte
	_, err := p.inRegion(ctx, func(ctx context.Context, client *s3.Client) error {
		out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.bucket, Key: &key, ExpectedBucketOwner: &p.owner})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		stored, err = io.ReadAll(io.LimitReader(out.Body, reference.MaxTemplateObject+1))
		return err
	})
	if err != nil {
		return p.failed(err)
	}
	if found := sha256.Sum256(stored); string(found[:]) != string(sum) {
		return NewError(CodePublish, fmt.Sprintf("the object %s in bucket %s is not the template its name says", key, p.bucket),
			"find out who wrote it, delete that version of it, and apply the policy of PrepareTemplateBucket", nil)
	}
	return nil
}

// failed words a failure to publish. AWS's own message is not in it.
func (p *publisher) failed(err error) error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	remedy := "try again; templates that were published before keep working"
	switch apiCodeOf(err) {
	case "NoSuchBucket":
		remedy = "create the bucket, for example with PrepareTemplateBucket"
	case "AccessDenied":
		remedy = "check that the bucket belongs to service_account_id and that the vendor's credentials may do s3:PutObject and s3:GetObject on " + p.folder + "/* in it"
	}
	return NewError(CodePublish, "the template could not be published to bucket "+p.bucket, remedy, err)
}

// inRegion calls S3 in the bucket's region. If that is not known and the guess
// is wrong, S3 says where the bucket is.
func (p *publisher) inRegion(ctx context.Context, do func(context.Context, *s3.Client) error) (string, error) {
	p.mu.Lock()
	region := p.found
	p.mu.Unlock()
	if region == "" {
		region = p.region
	}
	for moved := false; ; moved = true {
		client, err := p.client(ctx, region)
		if err != nil {
			return "", err
		}
		elsewhere := ""
		_, err = p.call(ctx, func(ctx context.Context) error {
			err := do(ctx, client)
			elsewhere = bucketRegion(err)
			return err
		})
		if err != nil && !moved && elsewhere != "" && elsewhere != region {
			region = elsewhere
			continue
		}
		// A refused precondition is an answer of the bucket too.
		if code := apiCodeOf(err); err == nil || code == "PreconditionFailed" {
			p.mu.Lock()
			p.found = region
			p.mu.Unlock()
		}
		return region, err
	}
}

func (p *publisher) client(ctx context.Context, region string) (*s3.Client, error) {
	config, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	config.Region = region
	return s3.NewFromConfig(config, func(o *s3.Options) {
		o.Retryer = aws.NopRetryer{}
		// TLS certificates of virtual hosts do not cover names with dots, and
		// local endpoints have no names for buckets.
		o.UsePathStyle = strings.Contains(p.bucket, ".") || config.BaseEndpoint != nil
	}), nil
}

// bucketRegion returns the region that a refusal names, if it is one.
func bucketRegion(err error) string {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil {
		return ""
	}
	switch response.HTTPStatusCode() {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest:
	default:
		return ""
	}
	region := response.Response.Header.Get("X-Amz-Bucket-Region")
	if _, ok := iam.PartitionOfRegion(region); !ok {
		return ""
	}
	return region
}

// objectURL returns the https URL of an object in the form that CloudFormation
// takes. The key must consist of letters, digits, slashes, dots and hyphens.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
func objectURL(bucket, region, key string) string {
	partition, _ := iam.PartitionOfRegion(region)
	host := "s3." + region + "." + partition.DNSSuffix
	if strings.Contains(bucket, ".") {
		return "https://" + host + "/" + bucket + "/" + key
	}
	return "https://" + bucket + "." + host + "/" + key
}

// presign returns a URL that lets whoever has it read the template until the
// time it returns. That is a secret: it must not be logged, and it is sealed
// where it is stored. It never outlives the credentials it was signed with, so
// with a role's session it lives shorter than validFor.
func (p *publisher) presign(ctx context.Context, t publishedTemplate, validFor time.Duration) (link string, until time.Time, err error) {
	config, err := p.config(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	// The customer's browser and CloudFormation reach S3 by its own name, even
	// if we have an endpoint of our own.
	config.Region, config.BaseEndpoint = t.Region, nil
	until = p.now().Add(validFor)
	if config.Credentials != nil {
		credentials, err := config.Credentials.Retrieve(ctx)
		if err != nil {
			return "", time.Time{}, NewError(CodeAWS, "the vendor's AWS credentials are not available", "try again later", err)
		}
		if credentials.CanExpire && credentials.Expires.Before(until) {
			until = credentials.Expires
		}
	}
	client := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = strings.Contains(t.Bucket, ".") })
	request, err := s3.NewPresignClient(client).PresignGetObject(ctx,
		&s3.GetObjectInput{Bucket: &t.Bucket, Key: &t.Key}, s3.WithPresignExpires(validFor))
	if err != nil {
		return "", time.Time{}, NewError(CodePublish, "the template's URL could not be signed", "check the vendor's AWS credentials", err)
	}
	return request.URL, until, nil
}
