package services

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const reports = "reports"

// ownBucket makes the bucket reports, which admits the other account to its
// objects, and encrypts with a key unless that is empty.
func ownBucket(t *testing.T, admin aws.Config, keyID string, bucketKey bool) *s3.Client {
	t.Helper()
	client := s3.NewFromConfig(admin)
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(reports)}); err != nil {
		t.Fatal(err)
	}
	rule := types.ServerSideEncryptionRule{BucketKeyEnabled: &bucketKey, ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAwsKms}}
	if keyID != "" {
		rule.ApplyServerSideEncryptionByDefault.KMSMasterKeyID = &keyID
	}
	if _, err := client.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: aws.String(reports), ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}}}); err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":["s3:GetObject","s3:PutObject","s3:ListMultipartUploadParts"],"Resource":"arn:aws:s3:::reports/*"}}`
	if _, err := client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(reports), Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	return client
}

func putReport(client *s3.Client, key, body string, change ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	in := &s3.PutObjectInput{Bucket: aws.String(reports), Key: &key, Body: strings.NewReader(body)}
	for _, c := range change {
		c(in)
	}
	return client.PutObject(ctx, in)
}

func getReport(client *s3.Client, key string) (string, error) {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(reports), Key: &key})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return string(body), err
}

// md5Of is the ETag of content that is not encrypted with KMS.
func md5Of(content string) string { return fmt.Sprintf(`"%x"`, md5.Sum([]byte(content))) }

// bucketKeyPolicy lets the owner's account do everything and the other account
// what statement says of it.
func bucketKeyPolicy(actions, condition string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":[` + actions + `],"Resource":"*"` + condition + `}]}`
}

func actionsOn(actions string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}}`
}

// Whoever reads and writes objects encrypted with a key needs permission for the
// key too, of the key's account and of the own one, and is told when it is the
// key that refuses.
func TestBucketAcrossAccountsNeedsBucketAndKeyOnBothSides(t *testing.T) {
	const objects, use = `"s3:GetObject","s3:PutObject"`, `"kms:GenerateDataKey","kms:Decrypt"`
	when := func(context string) string {
		return `,"Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com","kms:EncryptionContext:aws:s3:arn":"` + context + `"}}`
	}
	refusal := func(action, layer string) string {
		return "User: arn:aws:iam::222222222222:user/app is not authorized to perform: kms:" + action + " on resource: KEY because no " + layer + " policy allows the kms:" + action + " action"
	}
	for _, test := range []struct {
		name, key, identity string
		bucketKey           bool
		put, get            string // the message of the refusal
	}{
		{name: "both sides of both", key: bucketKeyPolicy(use, ""), identity: actionsOn(objects + "," + use)},
		{name: "only through S3, for the object", key: bucketKeyPolicy(use, when("arn:aws:s3:::reports/daily")), identity: actionsOn(objects + "," + use)},
		{name: "for another object", key: bucketKeyPolicy(use, when("arn:aws:s3:::reports/weekly")), identity: actionsOn(objects + "," + use), put: refusal("GenerateDataKey", "resource-based"), get: refusal("Decrypt", "resource-based")},
		{name: "for the bucket, with bucket keys", bucketKey: true, key: bucketKeyPolicy(use, when("arn:aws:s3:::reports")), identity: actionsOn(objects + "," + use)},
		{name: "for the object, with bucket keys", bucketKey: true, key: bucketKeyPolicy(use, when("arn:aws:s3:::reports/daily")), identity: actionsOn(objects + "," + use), put: refusal("GenerateDataKey", "resource-based"), get: refusal("Decrypt", "resource-based")},
		{name: "through another service", key: bucketKeyPolicy(use, `,"Condition":{"StringEquals":{"kms:ViaService":"sqs.us-east-1.amazonaws.com"}}`), identity: actionsOn(objects + "," + use), put: refusal("GenerateDataKey", "resource-based"), get: refusal("Decrypt", "resource-based")},
		{name: "no identity policy for the key", key: bucketKeyPolicy(use, ""), identity: actionsOn(objects), put: refusal("GenerateDataKey", "identity-based"), get: refusal("Decrypt", "identity-based")},
		{name: "no key policy for the account", key: "", identity: actionsOn(objects + "," + use), put: refusal("GenerateDataKey", "resource-based"), get: refusal("Decrypt", "resource-based")},
		{name: "a reader", key: bucketKeyPolicy(`"kms:Decrypt"`, ""), identity: actionsOn(objects + "," + use), put: refusal("GenerateDataKey", "resource-based")},
		{name: "a writer", key: bucketKeyPolicy(use, ""), identity: actionsOn(objects + `,"kms:GenerateDataKey"`), get: refusal("Decrypt", "identity-based")},
		{name: "the key without the bucket", key: bucketKeyPolicy(use, ""), identity: actionsOn(use), put: "Access Denied", get: "Access Denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			box := sandboxtest.New(t, owner, friend)
			admin := box.Account(owner).User("admin", allowAll)
			key := newKey(t, kms.NewFromConfig(admin), test.key)
			own := ownBucket(t, admin, key, test.bucketKey)
			if _, err := putReport(own, "daily", "of today"); err != nil {
				t.Fatal(err)
			}
			app := s3.NewFromConfig(box.Account(friend).User("app", test.identity))
			check := func(what string, err error, want string) {
				t.Helper()
				want = strings.ReplaceAll(want, "KEY", key)
				switch {
				case want == "" && err != nil:
					t.Errorf("%s: %v", what, err)
				case want != "" && (err == nil || code(t, err) != "AccessDenied" || !strings.HasSuffix(err.Error(), ": "+want)):
					t.Errorf("%s: %v\nwant %s", what, err, want)
				}
			}
			body, err := getReport(app, "daily")
			check("reading", err, test.get)
			if err == nil && body != "of today" {
				t.Errorf("read %q", body)
			}
			_, err = putReport(app, "daily", "again")
			check("writing", err, test.put)
			// What was refused is not there.
			body, err = getReport(own, "daily")
			if want := map[bool]string{true: "again", false: "of today"}[test.put == ""]; err != nil || body != want {
				t.Errorf("then the owner reads %q, %v; want %q", body, err, want)
			}
		})
	}
}

// Answers say how an object is encrypted, in the same headers for every
// operation; a request may ask for something else than the bucket does.
func TestBucketEncryptionIsSaid(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	keys := kms.NewFromConfig(admin)
	key, other := newKey(t, keys, ""), newKey(t, keys, "")
	client := ownBucket(t, admin, key, true)
	said := func(algorithm types.ServerSideEncryption, id *string, bucketKey *bool) string {
		return fmt.Sprint(algorithm, " ", aws.ToString(id), " ", aws.ToBool(bucketKey))
	}
	kmsWith := func(id string) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) {
			in.ServerSideEncryption = types.ServerSideEncryptionAwsKms
			if id != "" {
				in.SSEKMSKeyId = &id
			}
		}
	}
	described := func(id string) string {
		t.Helper()
		out, err := keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
		if err != nil {
			t.Fatal(err)
		}
		return *out.KeyMetadata.Arn
	}
	if _, err := putReport(client, "first", "x", kmsWith("")); err != nil { // makes aws/s3
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*s3.PutObjectInput)
		want   string
	}{
		{"the bucket's default", func(*s3.PutObjectInput) {}, "aws:kms " + key + " true"},
		{"a key of the request", kmsWith(other), "aws:kms " + other + " true"},
		{"an id of the request", kmsWith(other[strings.LastIndex(other, "/")+1:]), "aws:kms " + other + " true"},
		{"no key in the request", kmsWith(""), "aws:kms " + described("alias/aws/s3") + " true"},
		{"the alias of the managed key", kmsWith("alias/aws/s3"), "aws:kms " + described("alias/aws/s3") + " true"},
		{"no bucket key", func(in *s3.PutObjectInput) { in.BucketKeyEnabled = aws.Bool(false) }, "aws:kms " + key + " false"},
		{"AES256", func(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAes256 }, "AES256  false"},
	} {
		put, err := putReport(client, "report", "of today", test.change)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(reports), Key: aws.String("report")})
		if err != nil {
			t.Fatal(err)
		}
		head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(reports), Key: aws.String("report")})
		if err != nil {
			t.Fatal(err)
		}
		for what, say := range map[string]string{
			"PutObject":  said(put.ServerSideEncryption, put.SSEKMSKeyId, put.BucketKeyEnabled),
			"GetObject":  said(got.ServerSideEncryption, got.SSEKMSKeyId, got.BucketKeyEnabled),
			"HeadObject": said(head.ServerSideEncryption, head.SSEKMSKeyId, head.BucketKeyEnabled),
		} {
			if say != test.want {
				t.Errorf("%s: %s says %q, want %q", test.name, what, say, test.want)
			}
		}
		// Only without KMS the ETag says what the content is.
		if isMD5 := *put.ETag == md5Of("of today"); isMD5 != (test.name == "AES256") || *put.ETag != *got.ETag {
			t.Errorf("%s: ETag %s, then %s", test.name, *put.ETag, *got.ETag)
		}
	}

	shown, err := client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String(reports)})
	if err != nil {
		t.Fatal(err)
	}
	rule := shown.ServerSideEncryptionConfiguration.Rules[0]
	if got := said(rule.ApplyServerSideEncryptionByDefault.SSEAlgorithm, rule.ApplyServerSideEncryptionByDefault.KMSMasterKeyID, rule.BucketKeyEnabled); got != "aws:kms "+key+" true" {
		t.Errorf("GetBucketEncryption says %q", got)
	}
	if _, err := client.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: aws.String(reports)}); err != nil {
		t.Fatal(err)
	}
	put, err := putReport(client, "report", "of today")
	if err != nil || put.ServerSideEncryption != types.ServerSideEncryptionAes256 {
		t.Errorf("after DeleteBucketEncryption: %v, %v", put, err)
	}
}

// What KMS cannot do is an error with KMS's code, for reading and writing alike;
// contradictions are refused before that.
func TestBucketEncryptionErrors(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	keys := kms.NewFromConfig(admin)
	key := newKey(t, keys, "")
	client := ownBucket(t, admin, key, false)
	if _, err := putReport(client, "report", "x"); err != nil {
		t.Fatal(err)
	}
	elsewhere := box.Account(owner).User("abroad", allowAll)
	elsewhere.Region = "eu-west-1"
	foreign := newKey(t, kms.NewFromConfig(elsewhere), "")
	header := func(h map[string]string) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSKeyId, in.SSEKMSEncryptionContext = types.ServerSideEncryption(h["algorithm"]), nil, nil
			if v, ok := h["key"]; ok {
				in.SSEKMSKeyId = &v
			}
			if v, ok := h["context"]; ok {
				in.SSEKMSEncryptionContext = aws.String(base64.StdEncoding.EncodeToString([]byte(v)))
			}
		}
	}
	for _, test := range []struct {
		name string
		with map[string]string
		want string
	}{
		{"a key of another region", map[string]string{"algorithm": "aws:kms", "key": foreign}, "KMS.NotFoundException"},
		{"a key that there is not", map[string]string{"algorithm": "aws:kms", "key": "alias/none"}, "KMS.NotFoundException"},
		{"a key of another account that there is not", map[string]string{"algorithm": "aws:kms", "key": "arn:aws:kms:us-east-1:222222222222:key/none"}, "AccessDenied"},
		{"a key without KMS", map[string]string{"key": key}, "InvalidArgument"},
		{"a key for AES256", map[string]string{"algorithm": "AES256", "key": key}, "InvalidArgument"},
		{"another algorithm", map[string]string{"algorithm": "ROT13"}, "InvalidArgument"},
		{"two layers", map[string]string{"algorithm": "aws:kms:dsse"}, "NotImplemented"},
		{"no context", map[string]string{"algorithm": "aws:kms", "key": key, "context": `["a"]`}, "InvalidArgument"},
		{"S3's own context", map[string]string{"algorithm": "aws:kms", "key": key, "context": `{"aws:s3:arn":"x"}`}, "InvalidArgument"},
	} {
		_, err := putReport(client, "refused", "x", header(test.with))
		if got := code(t, err); got != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	if _, err := keys.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	_, err := getReport(client, "report")
	wantCode(t, err, "KMS.DisabledException")
	_, err = putReport(client, "refused", "x")
	wantCode(t, err, "KMS.DisabledException")
	if _, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(reports), Key: aws.String("report")}); err != nil {
		t.Errorf("HeadObject needs no key: %v", err)
	}
	if _, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(reports), Key: aws.String("refused")}); err == nil {
		t.Error("a refused write left an object")
	}
	if _, err := keys.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	_, err = getReport(client, "report")
	wantCode(t, err, "KMS.KMSInvalidStateException")
	// A checksum is made of the content, and costs the key.
	_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(reports), Key: aws.String("report"), ChecksumMode: types.ChecksumModeEnabled})
	if err == nil {
		t.Error("HeadObject showed the checksum of an object whose key is gone")
	}
}

// Nobody can use a key of KMS without saying who he is, and nobody of another
// account one that AWS manages.
func TestBucketOfAWSManagedKeyCannotBeShared(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	client := ownBucket(t, admin, "", false)
	if _, err := putReport(client, "report", "of today"); err != nil {
		t.Fatal(err)
	}
	if body, err := getReport(client, "report"); err != nil || body != "of today" {
		t.Errorf("the owner reads %q, %v", body, err)
	}
	app := s3.NewFromConfig(box.Account(friend).User("app", allowAll))
	_, err := getReport(app, "report")
	wantCode(t, err, "AccessDenied")
	// It writes with its own account's, which the bucket's owner cannot use.
	if _, err := putReport(app, "given", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := getReport(app, "given"); err != nil {
		t.Errorf("the writer: %v", err)
	}
	_, err = getReport(client, "given")
	wantCode(t, err, "AccessDenied")
	if _, err := client.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: aws.String(reports)}); err != nil {
		t.Fatal(err)
	}
	public := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::reports/*"}}`
	if _, err := client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(reports), Policy: &public}); err != nil {
		t.Fatal(err)
	}
	anonymous := admin.Copy()
	anonymous.Credentials = aws.AnonymousCredentials{}
	_, err = getReport(s3.NewFromConfig(anonymous), "report")
	wantCode(t, err, "InvalidArgument")
	if err == nil || !strings.Contains(err.Error(), "require AWS Signature Version 4") {
		t.Errorf("an unsigned request is told %v", err)
	}
}

// The encryption context of a request is added to S3's own, which policies of
// the key can ask for, and belongs to the object from then on.
func TestBucketEncryptionContext(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	condition := `,"Condition":{"StringEquals":{"kms:EncryptionContext:team":"bi","kms:EncryptionContext:aws:s3:arn":"arn:aws:s3:::reports/report"}}`
	key := newKey(t, kms.NewFromConfig(admin), bucketKeyPolicy(`"kms:GenerateDataKey","kms:Decrypt"`, condition))
	ownBucket(t, admin, key, false)
	app := s3.NewFromConfig(box.Account(friend).User("app", allowAll))
	with := func(context string) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &key
			in.SSEKMSEncryptionContext = aws.String(base64.StdEncoding.EncodeToString([]byte(context)))
		}
	}
	_, err := putReport(app, "report", "x")
	wantCode(t, err, "AccessDenied")
	_, err = putReport(app, "report", "x", with(`{"team":"shop"}`))
	wantCode(t, err, "AccessDenied")
	_, err = putReport(app, "other", "x", with(`{"team":"bi"}`))
	wantCode(t, err, "AccessDenied")
	put, err := putReport(app, "report", "x", with(`{"team":"bi"}`))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := base64.StdEncoding.DecodeString(aws.ToString(put.SSEKMSEncryptionContext)); err != nil || string(said) != `{"team":"bi"}` {
		t.Errorf("the answer has the context %s, %v", said, err)
	}
	if _, err := getReport(app, "report"); err != nil {
		t.Error(err)
	}
}

// A copy needs the source's key to read and the destination's to write.
func TestBucketCopyNeedsBothKeys(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	keys := kms.NewFromConfig(admin)
	from, to := newKey(t, keys, ""), newKey(t, keys, "")
	client := ownBucket(t, admin, from, false)
	if _, err := putReport(client, "report", "of today"); err != nil {
		t.Fatal(err)
	}
	user := func(name, actions, keyARN string) *s3.Client {
		return s3.NewFromConfig(box.Account(owner).User(name, actionsOn(`"s3:*"`), `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[`+actions+`],"Resource":"`+keyARN+`"}}`))
	}
	reader, writer := user("reader", `"kms:Decrypt","kms:GenerateDataKey"`, from), user("writer", `"kms:Decrypt","kms:GenerateDataKey"`, to)
	both := s3.NewFromConfig(box.Account(owner).User("both", actionsOn(`"s3:*"`), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"`+from+`"},{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"`+to+`"}]}`))
	in := &s3.CopyObjectInput{Bucket: aws.String(reports), Key: aws.String("copy"), CopySource: aws.String(reports + "/report"), ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: &to}
	_, err := reader.CopyObject(ctx, in)
	wantCode(t, err, "AccessDenied")
	_, err = writer.CopyObject(ctx, in)
	wantCode(t, err, "AccessDenied")
	out, err := both.CopyObject(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(out.SSEKMSKeyId) != to || out.ServerSideEncryption != types.ServerSideEncryptionAwsKms {
		t.Errorf("the copy is encrypted with %s %s", out.ServerSideEncryption, aws.ToString(out.SSEKMSKeyId))
	}
	if body, err := getReport(client, "copy"); err != nil || body != "of today" {
		t.Errorf("read the copy: %q, %v", body, err)
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.Key = types.ServerSideEncryptionAes256, nil, aws.String("plain")
	plain, err := both.CopyObject(ctx, in)
	if err != nil || *plain.CopyObjectResult.ETag != md5Of("of today") {
		t.Errorf("a copy without KMS: %v, %v", plain, err)
	}
}

// Each bucket's KMS is that of its own region, also when a copy comes from
// elsewhere.
func TestBucketCopyFromAnotherRegion(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	here := box.Account(owner).User("admin", allowAll)
	there := here.Copy()
	there.Region = "eu-west-1"
	via := func(region string) string {
		return `,"Condition":{"StringEquals":{"kms:ViaService":"s3.` + region + `.amazonaws.com"}}`
	}
	policy := func(region string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":["kms:PutKeyPolicy","kms:DescribeKey"],"Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"*"` + via(region) + `}]}`
	}
	from, to := newKey(t, kms.NewFromConfig(there), policy("eu-west-1")), newKey(t, kms.NewFromConfig(here), policy("us-east-1"))
	source, client := s3.NewFromConfig(there), s3.NewFromConfig(here)
	if _, err := source.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("archive"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuWest1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := source.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("archive"), Key: aws.String("report"), Body: strings.NewReader("of today"), ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: &from}); err != nil {
		t.Fatal(err)
	}
	ownBucket(t, here, to, false)
	if _, err := client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String(reports), Key: aws.String("copy"), CopySource: aws.String("archive/report")}); err != nil {
		t.Fatal(err)
	}
	if body, err := getReport(client, "copy"); err != nil || body != "of today" {
		t.Errorf("read %q, %v", body, err)
	}
}

// An upload in parts is started with kms:GenerateDataKey, and its parts are
// written and listed with kms:Decrypt.
func TestBucketMultipartUploadNeedsDecrypt(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	key := newKey(t, kms.NewFromConfig(admin), bucketKeyPolicy(`"kms:GenerateDataKey","kms:Decrypt"`, ""))
	own := ownBucket(t, admin, key, true)
	client := func(name, more string) *s3.Client {
		return s3.NewFromConfig(box.Account(friend).User(name, actionsOn(`"s3:*"`+more)))
	}
	none, starter, full := client("none", ""), client("starter", `,"kms:GenerateDataKey"`), client("full", `,"kms:GenerateDataKey","kms:Decrypt"`)
	start := &s3.CreateMultipartUploadInput{Bucket: aws.String(reports), Key: aws.String("large"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32}
	_, err := none.CreateMultipartUpload(ctx, start)
	wantCode(t, err, "AccessDenied")
	begun, err := starter.CreateMultipartUpload(ctx, start)
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(begun.SSEKMSKeyId) != key || !aws.ToBool(begun.BucketKeyEnabled) {
		t.Errorf("the upload is encrypted with %s, bucket key %v", aws.ToString(begun.SSEKMSKeyId), begun.BucketKeyEnabled)
	}
	part := func(client *s3.Client) (*s3.UploadPartOutput, error) {
		return client.UploadPart(ctx, &s3.UploadPartInput{Bucket: start.Bucket, Key: start.Key, UploadId: begun.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader([]byte("the only part")), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
	}
	_, err = part(starter)
	wantCode(t, err, "AccessDenied")
	uploaded, err := part(full)
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(uploaded.SSEKMSKeyId) != key {
		t.Errorf("the part is encrypted with %s", aws.ToString(uploaded.SSEKMSKeyId))
	}
	list := &s3.ListPartsInput{Bucket: start.Bucket, Key: start.Key, UploadId: begun.UploadId}
	_, err = starter.ListParts(ctx, list)
	wantCode(t, err, "AccessDenied")
	if _, err := full.ListParts(ctx, list); err != nil {
		t.Error(err)
	}
	complete := func(client *s3.Client) (*s3.CompleteMultipartUploadOutput, error) {
		return client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: start.Bucket, Key: start.Key, UploadId: begun.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: uploaded.ETag, ChecksumCRC32: uploaded.ChecksumCRC32}}}})
	}
	_, err = complete(starter)
	wantCode(t, err, "AccessDenied")
	done, err := complete(full)
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(done.SSEKMSKeyId) != key {
		t.Errorf("the object is encrypted with %s", aws.ToString(done.SSEKMSKeyId))
	}
	if body, err := getReport(own, "large"); err != nil || body != "the only part" {
		t.Errorf("read %q, %v", body, err)
	}
	_, err = getReport(starter, "large")
	wantCode(t, err, "AccessDenied")
}

// A bucket policy can demand a key in the request.
func TestBucketPolicyDemandsKey(t *testing.T) {
	box := sandboxtest.New(t, owner, friend)
	admin := box.Account(owner).User("admin", allowAll)
	keys := kms.NewFromConfig(admin)
	key, other := newKey(t, keys, ""), newKey(t, keys, "")
	client := ownBucket(t, admin, key, false)
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::reports/*","Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"` + key + `"}}}}`
	if _, err := client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(reports), Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	with := func(id string) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &id
		}
	}
	_, err := putReport(client, "report", "x", with(other))
	wantCode(t, err, "AccessDenied")
	_, err = putReport(client, "report", "x")
	wantCode(t, err, "AccessDenied")
	_, err = putReport(client, "report", "x", with(key))
	wantCode(t, err, "")
}

func TestBucketStackWithKey(t *testing.T) {
	box := sandboxtest.New(t, owner)
	admin := box.Account(owner).User("admin", allowAll)
	stacks, store := cloudformation.NewFromConfig(admin), s3.NewFromConfig(admin)
	body := func(encryption string) *string {
		return aws.String(`{"Resources":{
			"Key":{"Type":"AWS::KMS::Key","Properties":{"KeyPolicy":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":{"Fn::Sub":"arn:aws:iam::${AWS::AccountId}:root"}},"Action":"kms:*","Resource":"*"}}}},
			"Reports":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"reports"` + encryption + `}}},
			"Outputs":{"Key":{"Value":{"Fn::GetAtt":["Key","Arn"]}}}}`)
	}
	rule := func(byDefault, more string) string {
		return `,"BucketEncryption":{"ServerSideEncryptionConfiguration":[{"ServerSideEncryptionByDefault":` + byDefault + more + `}]}`
	}
	withKey := rule(`{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":{"Fn::GetAtt":["Key","Arn"]}}`, `,"BucketKeyEnabled":true`)
	configured := func() string {
		t.Helper()
		out, err := store.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String(reports)})
		if err != nil {
			t.Fatal(err)
		}
		r := out.ServerSideEncryptionConfiguration.Rules[0]
		return fmt.Sprint(r.ApplyServerSideEncryptionByDefault.SSEAlgorithm, " ", aws.ToString(r.ApplyServerSideEncryptionByDefault.KMSMasterKeyID), " ", *r.BucketKeyEnabled)
	}
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String("storage"), TemplateBody: body(withKey)}); err != nil {
		t.Fatal(err)
	}
	described, err := stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("storage")})
	if err != nil {
		t.Fatal(err)
	}
	if s := described.Stacks[0]; s.StackStatus != cftypes.StackStatusCreateComplete {
		t.Fatalf("%s %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}
	key := *described.Stacks[0].Outputs[0].OutputValue
	if got := configured(); got != "aws:kms "+key+" true" {
		t.Errorf("the bucket encrypts with %q", got)
	}
	for _, step := range []struct{ encryption, want string }{
		{rule(`{"SSEAlgorithm":"AES256"}`, ""), "AES256  false"},
		{withKey, "aws:kms " + key + " true"},
		{"", "AES256  false"},
	} {
		if _, err := stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("storage"), TemplateBody: body(step.encryption)}); err != nil {
			t.Fatal(err)
		}
		if got := configured(); got != step.want {
			t.Errorf("after the update the bucket encrypts with %q, want %q", got, step.want)
		}
	}
	_, err = stacks.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String("storage"), TemplateBody: body(rule(`{"SSEAlgorithm":"AES256","KMSMasterKeyID":"x"}`, ""))})
	if err != nil {
		t.Fatal(err)
	}
	described, err = stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("storage")})
	if err != nil || described.Stacks[0].StackStatus != cftypes.StackStatusUpdateRollbackComplete {
		t.Errorf("a key for AES256: %v, %v", described, err)
	}
}
