package s3api_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/internal/s3api"
)

func TestBucketLifeAndNames(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	create := func(account, name string) error {
		_, err := w.s3(account).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		return err
	}
	for name, want := range map[string]string{
		"good-name": "", "also.good": "", "a--b": "",
		"Upper": "InvalidBucketName", "un_der": "InvalidBucketName", "-edge": "InvalidBucketName", "10.0.0.1": "InvalidBucketName",
		"xn--a": "InvalidBucketName", "two..dots": "InvalidBucketName", strings.Repeat("a", 64): "InvalidBucketName",
	} {
		w.want(create(owner, name), want)
	}
	w.want(create(other, "good-name"), "BucketAlreadyExists")
	w.want(create(owner, "good-name"), "") // us-east-1 forgives
	w.put("good-name", "k", "x")
	_, err := w.s3(owner).DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: ptr("good-name")})
	w.want(err, "BucketNotEmpty")
	_, err = w.s3(owner).DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: ptr("good-name"), Key: ptr("k")})
	w.want(err, "")
	_, err = w.s3(other).DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: ptr("good-name")})
	w.want(err, "AccessDenied")
	_, err = w.s3(owner).DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: ptr("good-name")})
	w.want(err, "")
	w.want(create(other, "good-name"), "")
	list, err := w.s3(owner).ListBuckets(ctx, &s3.ListBucketsInput{})
	w.want(err, "")
	var names []string
	for _, b := range list.Buckets {
		names = append(names, *b.Name)
	}
	if diff := cmp.Diff([]string{"a--b", "also.good"}, names); diff != "" {
		t.Errorf("ListBuckets (-want +got):\n%s", diff)
	}
}

func TestBucketConfiguration(t *testing.T) {
	w := newWorld(t)
	w.bucket("configured")
	client, ctx, name := w.s3(owner), t.Context(), ptr("configured")

	encryption, err := client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: name})
	w.want(err, "")
	if got := encryption.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm; got != "AES256" {
		t.Errorf("a new bucket encrypts with %q", got)
	}
	twoLayers := &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: "aws:kms:dsse"}}}}
	_, err = client.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: name, ServerSideEncryptionConfiguration: twoLayers})
	w.want(err, "NotImplemented")

	ownership, err := client.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: name})
	w.want(err, "")
	if got := ownership.OwnershipControls.Rules[0].ObjectOwnership; got != types.ObjectOwnershipBucketOwnerEnforced {
		t.Errorf("a new bucket has ownership %q", got)
	}
	_, err = client.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: name, ACL: types.BucketCannedACLPublicRead})
	w.want(err, "AccessControlListNotSupported")

	block, err := client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name})
	w.want(err, "")
	if c := block.PublicAccessBlockConfiguration; !*c.BlockPublicAcls || !*c.BlockPublicPolicy || !*c.IgnorePublicAcls || !*c.RestrictPublicBuckets {
		t.Errorf("a new bucket blocks only %+v", c)
	}
	w.open("configured")
	_, err = client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name})
	w.want(err, "NoSuchPublicAccessBlockConfiguration")

	_, err = client.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})
	w.want(err, "NoSuchTagSet")
	_, err = client.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: name, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: ptr("a"), Value: ptr("1")}}}})
	w.want(err, "")
	tags, err := client.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})
	w.want(err, "")
	if got := tagText(tags.TagSet); got != "a=1" {
		t.Errorf("tags %q", got)
	}
	_, err = client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name})
	w.want(err, "NoSuchBucketPolicy")
}

func TestBucketPolicyIsChecked(t *testing.T) {
	w := newWorld(t)
	w.bucket("checked")
	const bucket, objects = "arn:aws:s3:::checked", "arn:aws:s3:::checked/*"
	tests := []struct{ name, policy, message string }{
		{"not JSON", "hello", "first byte must be '{'"},
		{"broken", `{"Version":`, "valid JSON"},
		{"no principal", policy(allow("s3:GetObject", objects)), "Missing required field Principal"},
		{"no resource", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}}`, "Missing required field Resource"},
		{"unknown element", `{"Version":"2012-10-17","Statements":[]}`, "Unknown field Statements"},
		{"other bucket", policy(allow("s3:GetObject", "arn:aws:s3:::other/*").to(account(other))), "Policy has invalid resource"},
		{"any bucket", policy(allow("s3:GetObject", "arn:aws:s3:::*").to(account(other))), "Policy has invalid resource"},
		{"bucket with a longer name", policy(allow("s3:GetObject", "arn:aws:s3:::checked-2/*").to(account(other))), "Policy has invalid resource"},
		{"unknown action", policy(allow("s3:FetchObject", objects).to(account(other))), "Policy has invalid action"},
		{"other service", policy(allow("sqs:SendMessage", objects).to(account(other))), "Policy has invalid action"},
		{"object action on bucket", policy(allow("s3:GetObject", bucket).to(account(other))), "Action does not apply to any resource(s) in statement"},
		{"bucket action on objects", policy(allow("s3:ListBucket", objects).to(account(other))), "Action does not apply to any resource(s) in statement"},
		{"unknown account", policy(allow("s3:GetObject", objects).to(account("333333333333"))), "Invalid principal in policy"},
		{"unknown user", policy(allow("s3:GetObject", objects).to(account("arn:aws:iam::" + other + ":user/nobody"))), "Invalid principal in policy"},
		{"unknown operator", policy(allow("s3:GetObject", objects).to(account(other)).when("StringSame", "aws:x", "y")), "Condition"},
		{"too large", policy(allow("s3:GetObject", objects).to(account(other)).when("StringEquals", "aws:x", strings.Repeat("x", 20<<10))), "maximum allowed size"},
	}
	for _, test := range tests {
		err := w.putPolicy("checked", test.policy)
		if codeOf(err) != "MalformedPolicy" || !strings.Contains(err.Error(), test.message) {
			t.Errorf("%s: %v, want MalformedPolicy with %q", test.name, err, test.message)
		}
	}
	_, err := w.s3(owner).GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: ptr("checked")})
	w.want(err, "NoSuchBucketPolicy")
}

// A policy that names a user is about that very user: one that is made anew
// under the same name is somebody else, and the policy shows the old one's id.
func TestBucketPolicyRemembersIdentities(t *testing.T) {
	w := newWorld(t)
	w.bucket("memory")
	w.put("memory", "k", "x")
	first := w.user(other, "reader", allow("s3:GetObject", "*"))
	document := policy(allow("s3:GetObject", "arn:aws:s3:::memory/*").to(account("arn:aws:iam::" + other + ":user/reader")))
	w.want(w.putPolicy("memory", document), "")
	_, err := get(t.Context(), first, "memory", "k")
	w.want(err, "")
	shown := func() string {
		out, err := w.s3(owner).GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: ptr("memory")})
		w.want(err, "")
		return *out.Policy
	}
	if got := shown(); got != document {
		t.Errorf("the policy came back as %s", got)
	}
	api := iam.NewFromConfig(w.config(w.root(other), "us-east-1"))
	keys, err := api.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: ptr("reader")})
	w.want(err, "")
	for _, step := range []error{
		func() error {
			_, err := api.DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: ptr("reader"), AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId})
			return err
		}(),
		func() error {
			_, err := api.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: ptr("reader"), PolicyName: ptr("p")})
			return err
		}(),
		func() error {
			_, err := api.DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: ptr("reader")})
			return err
		}(),
	} {
		w.want(step, "")
	}
	second := w.user(other, "reader", allow("s3:GetObject", "*"))
	_, err = get(t.Context(), second, "memory", "k")
	w.want(err, "AccessDenied")
	if got := shown(); !strings.Contains(got, `"AIDA`) || strings.Contains(got, "user/reader") {
		t.Errorf("the policy still names the user: %s", got)
	}
}

func TestPolicyOfOnesOwnBucket(t *testing.T) {
	w := newWorld(t)
	w.bucket("locked-out")
	const arn = "arn:aws:s3:::locked-out"
	w.setPolicy("locked-out", deny("s3:*", []string{arn, arn + "/*"}).to("*"))
	_, err := w.s3(owner).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: ptr("locked-out")})
	w.want(err, "AccessDenied")
	// The root user can always mend it.
	_, err = w.s3(owner).DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: ptr("locked-out")})
	w.want(err, "")
	// Another account cannot be allowed to.
	w.setPolicy("locked-out", allow("s3:*", []string{arn, arn + "/*"}).to(account(other)))
	_, err = w.s3(other).GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: ptr("locked-out")})
	w.want(err, "MethodNotAllowed")
}

// Whatever the sandbox does not do says so, by name, and does nothing.
func TestNotImplemented(t *testing.T) {
	w := newWorld(t)
	w.bucket("limits")
	client, ctx, name := w.s3(owner), t.Context(), ptr("limits")
	_, err := client.PutBucketWebsite(ctx, &s3.PutBucketWebsiteInput{Bucket: name, WebsiteConfiguration: &types.WebsiteConfiguration{IndexDocument: &types.IndexDocument{Suffix: ptr("i")}}})
	w.want(err, "NotImplemented")
	if err == nil || !strings.Contains(err.Error(), "PutBucketWebsite") || statusOf(err) != http.StatusNotImplemented {
		t.Errorf("the refusal does not name the operation: %v", err)
	}
	for what, mutate := range map[string]func(*s3.PutObjectInput){
		"two layers":  func(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKmsDsse },
		"lock":        func(in *s3.PutObjectInput) { in.ObjectLockLegalHoldStatus = "ON" },
		"archive":     func(in *s3.PutObjectInput) { in.StorageClass = types.StorageClassGlacier },
		"redirection": func(in *s3.PutObjectInput) { in.WebsiteRedirectLocation = ptr("/x") },
	} {
		in := &s3.PutObjectInput{Bucket: name, Key: ptr("k"), Body: strings.NewReader("x")}
		mutate(in)
		_, err := client.PutObject(ctx, in)
		if codeOf(err) != "NotImplemented" {
			t.Errorf("%s: %v, want NotImplemented", what, err)
		}
	}
	_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: ptr("locked"), ObjectLockEnabledForBucket: aws.Bool(true)})
	w.want(err, "NotImplemented")
	list, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name})
	w.want(err, "")
	if len(list.Contents) != 0 {
		t.Errorf("refused writes left %d objects", len(list.Contents))
	}
}

// What cannot be configured is reported as not configured.
func TestUnconfigured(t *testing.T) {
	w := newWorld(t)
	w.bucket("plain")
	client, ctx, name := w.s3(owner), t.Context(), ptr("plain")
	_, err := client.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: name})
	w.want(err, "NoSuchCORSConfiguration")
	_, err = client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: name})
	w.want(err, "NoSuchLifecycleConfiguration")
	_, err = client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: name})
	w.want(err, "ObjectLockConfigurationNotFoundError")
	payment, err := client.GetBucketRequestPayment(ctx, &s3.GetBucketRequestPaymentInput{Bucket: name})
	w.want(err, "")
	if payment.Payer != types.PayerBucketOwner {
		t.Errorf("payer %q", payment.Payer)
	}
	logging, err := client.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: name})
	w.want(err, "")
	if logging.LoggingEnabled != nil {
		t.Errorf("logging %+v", logging.LoggingEnabled)
	}
	_, err = w.user(owner, "nobody").GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: name})
	w.want(err, "AccessDenied")
}

// The table knows every operation that the SDK's client has.
func TestTableIsComplete(t *testing.T) {
	known := make(map[string]bool)
	for _, op := range s3api.Operations() {
		known[op.Name] = true
	}
	elsewhere := map[string]bool{
		"ListDirectoryBuckets":   true, // of the S3 Express control endpoint
		"WriteGetObjectResponse": true, // of the Object Lambda endpoint
		"Options":                true, // no operation
	}
	methods := reflect.TypeFor[*s3.Client]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !known[name] && !elsewhere[name] {
			t.Errorf("operation %s is not in the table", name)
		}
	}
}
