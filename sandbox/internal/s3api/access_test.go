package s3api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestCrossAccountNeedsBothSides(t *testing.T) {
	w := newWorld(t)
	w.bucket("shared")
	w.put("shared", "k", "x")
	const objects = "arn:aws:s3:::shared/*"
	reader := w.user(other, "reader", allow("s3:GetObject", objects))
	idle := w.user(other, "idle")
	read := func(client *s3.Client) error {
		_, err := get(t.Context(), client, "shared", "k")
		return err
	}
	w.want(read(reader), "AccessDenied") // its own side alone
	w.setPolicy("shared", allow("s3:GetObject", objects).to(account(other)))
	w.want(read(reader), "")
	w.want(read(idle), "AccessDenied") // the bucket's side alone
	if err := read(idle); strings.Contains(err.Error(), "arn:aws") {
		t.Errorf("another account is told more than Access Denied: %v", err)
	}
	w.setPolicy("shared", allow("s3:GetObject", objects).to(account("arn:aws:iam::"+other+":user/reader")))
	w.want(read(reader), "")
	w.setPolicy("shared",
		allow("s3:GetObject", objects).to(account(other)),
		deny("s3:*", objects).to("*").when("Bool", "aws:SecureTransport", "false"),
	)
	w.want(read(reader), "") // https
	plain := s3.New(reader.Options(), func(o *s3.Options) { o.BaseEndpoint = aws.String("http://s3.us-east-1.amazonaws.com") })
	w.want(read(plain), "AccessDenied")
}

func TestMissingOrForbidden(t *testing.T) {
	w := newWorld(t)
	w.bucket("hidden")
	w.put("hidden", "k", "x")
	getter := w.user(owner, "getter", allow("s3:GetObject", "arn:aws:s3:::hidden/*"))
	lister := w.user(owner, "lister", allow("s3:GetObject", "arn:aws:s3:::hidden/*"), allow("s3:ListBucket", "arn:aws:s3:::hidden"))
	nobody := w.user(owner, "nobody")
	for _, test := range []struct {
		name           string
		client         *s3.Client
		key, get, head string
	}{
		{"getter", getter, "k", "", ""},
		{"getter", getter, "missing", "AccessDenied", "Forbidden"},
		{"lister", lister, "missing", "NoSuchKey", "NotFound"},
		{"nobody", nobody, "k", "AccessDenied", "Forbidden"},
		{"nobody", nobody, "missing", "AccessDenied", "Forbidden"},
	} {
		_, err := get(t.Context(), test.client, "hidden", test.key)
		w.want(err, test.get)
		_, err = test.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: ptr("hidden"), Key: &test.key})
		if got := codeOf(err); got != test.head {
			t.Errorf("HeadObject %s by %s: %q, want %q", test.key, test.name, got, test.head)
		}
	}
	_, err := get(t.Context(), nobody, "no-such-bucket-at-all", "k")
	w.want(err, "NoSuchBucket")
	_, err = nobody.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: ptr("hidden")})
	w.want(err, "Forbidden")
	_, err = lister.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: ptr("hidden")})
	w.want(err, "")
}

// Every action is asked about with its own name, resource and condition keys:
// the policy allows exactly one thing, and the neighbours stay closed.
func TestExactActionsAndKeys(t *testing.T) {
	const bucket, objects = "arn:aws:s3:::exact", "arn:aws:s3:::exact/*"
	ctx := t.Context()
	list := func(prefix string) func(*s3.Client) error {
		return func(c *s3.Client) error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: ptr("exact"), Prefix: &prefix})
			return err
		}
	}
	read := func(c *s3.Client) error { _, err := get(ctx, c, "exact", "tagged"); return err }
	readVersion := func(c *s3.Client) error {
		_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: ptr("exact"), Key: ptr("tagged"), VersionId: ptr("null")})
		return err
	}
	put := func(mutate func(*s3.PutObjectInput)) func(*s3.Client) error {
		return func(c *s3.Client) error {
			in := &s3.PutObjectInput{Bucket: ptr("exact"), Key: ptr("new"), Body: strings.NewReader("x")}
			mutate(in)
			_, err := c.PutObject(ctx, in)
			return err
		}
	}
	plainPut := put(func(*s3.PutObjectInput) {})
	taggedPut := put(func(in *s3.PutObjectInput) { in.Tagging = ptr("team=a") })
	createPut := put(func(in *s3.PutObjectInput) { in.IfNoneMatch = ptr("*"); in.Key = ptr("fresh") })
	tests := []struct {
		name   string
		policy []statement
		does   func(*s3.Client) error
		want   string
	}{
		{"list needs the bucket's ARN", []statement{allow("s3:ListBucket", objects)}, list(""), "AccessDenied"},
		{"list", []statement{allow("s3:ListBucket", bucket)}, list(""), ""},
		{"prefix", []statement{allow("s3:ListBucket", bucket).when("StringEquals", "s3:prefix", "home/")}, list("home/"), ""},
		{"other prefix", []statement{allow("s3:ListBucket", bucket).when("StringEquals", "s3:prefix", "home/")}, list("root/"), "AccessDenied"},
		{"version needs its own action", []statement{allow("s3:GetObject", objects)}, readVersion, "AccessDenied"},
		{"version", []statement{allow("s3:GetObjectVersion", objects)}, readVersion, ""},
		{"version id", []statement{allow("s3:GetObjectVersion", objects).when("StringEquals", "s3:VersionId", "null")}, readVersion, ""},
		{"existing tag", []statement{allow("s3:GetObject", objects).when("StringEquals", "s3:ExistingObjectTag/team", "a")}, read, ""},
		{"other existing tag", []statement{allow("s3:GetObject", objects).when("StringEquals", "s3:ExistingObjectTag/team", "b")}, read, "AccessDenied"},
		{"resource account", []statement{allow("s3:GetObject", objects).when("StringEquals", "s3:ResourceAccount", owner)}, read, ""},
		{"other resource account", []statement{allow("s3:GetObject", objects).when("StringEquals", "s3:ResourceAccount", other)}, read, "AccessDenied"},
		{"TLS", []statement{allow("s3:GetObject", objects).when("NumericGreaterThanEquals", "s3:TlsVersion", "1.2")}, read, ""},
		{"signed in the header", []statement{allow("s3:GetObject", objects).when("StringEquals", "s3:authType", "REST-HEADER")}, read, ""},
		{"not presigned", []statement{allow("s3:GetObject", objects).when("StringEquals", "s3:authType", "REST-QUERY-STRING")}, read, "AccessDenied"},
		{"put", []statement{allow("s3:PutObject", objects)}, plainPut, ""},
		{"put with tags needs both", []statement{allow("s3:PutObject", objects)}, taggedPut, "AccessDenied"},
		{"put with tags", []statement{allow([]string{"s3:PutObject", "s3:PutObjectTagging"}, objects)}, taggedPut, ""},
		{"request tag", []statement{allow([]string{"s3:PutObject", "s3:PutObjectTagging"}, objects).when("StringEquals", "s3:RequestObjectTag/team", "b")}, taggedPut, "AccessDenied"},
		{"creating only", []statement{allow("s3:PutObject", objects).when("Null", "s3:if-none-match", "false")}, plainPut, "AccessDenied"},
		{"creating", []statement{allow("s3:PutObject", objects).when("Null", "s3:if-none-match", "false")}, createPut, ""},
		{"an ACL asked for", []statement{allow("s3:PutObject", objects).when("StringEquals", "s3:x-amz-acl", "bucket-owner-full-control")},
			put(func(in *s3.PutObjectInput) { in.ACL = types.ObjectCannedACLBucketOwnerFullControl }), ""},
		{"no ACLs", []statement{allow("s3:*", objects)}, put(func(in *s3.PutObjectInput) { in.ACL = types.ObjectCannedACLPublicRead }), "AccessControlListNotSupported"},
		{"buckets of the account", []statement{allow("s3:ListAllMyBuckets", "arn:aws:s3:::*")}, func(c *s3.Client) error {
			_, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
			return err
		}, ""},
		{"buckets of the account, any resource", []statement{allow("s3:ListAllMyBuckets", "*")}, func(c *s3.Client) error {
			_, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
			return err
		}, ""},
		{"encryption has an action of another name", []statement{allow("s3:GetBucketEncryption", bucket)}, func(c *s3.Client) error {
			_, err := c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: ptr("exact")})
			return err
		}, "AccessDenied"},
		{"encryption", []statement{allow("s3:GetEncryptionConfiguration", bucket)}, func(c *s3.Client) error {
			_, err := c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: ptr("exact")})
			return err
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.bucket("exact")
			_, err := w.s3(owner).PutObject(ctx, &s3.PutObjectInput{Bucket: ptr("exact"), Key: ptr("tagged"), Body: strings.NewReader("x"), Tagging: ptr("team=a")})
			w.want(err, "")
			w.want(test.does(w.user(owner, "user", test.policy...)), test.want)
		})
	}
}

func TestAnonymousAndBlockPublicAccess(t *testing.T) {
	w := newWorld(t)
	w.bucket("public")
	w.put("public", "k", "x")
	ctx := t.Context()
	everybody := policy(allow("s3:GetObject", "arn:aws:s3:::public/*").to("*"))
	read := func(c *s3.Client) error { _, err := get(ctx, c, "public", "k"); return err }
	foreigner := w.user(other, "foreigner", allow("s3:*", "*"))

	w.want(read(w.anonymous()), "AccessDenied")
	w.want(w.putPolicy("public", everybody), "AccessDenied") // BlockPublicPolicy, on in new buckets
	w.open("public")
	w.want(w.putPolicy("public", everybody), "")
	w.want(read(w.anonymous()), "")
	w.want(read(foreigner), "")
	status, err := w.s3(owner).GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: ptr("public")})
	w.want(err, "")
	if !*status.PolicyStatus.IsPublic {
		t.Error("the policy is not called public")
	}
	_, err = w.anonymous().GetObject(ctx, &s3.GetObjectInput{Bucket: ptr("public"), Key: ptr("k"), ResponseContentType: ptr("text/html")})
	w.want(err, "InvalidRequest")
	_, err = w.anonymous().ListBuckets(ctx, &s3.ListBucketsInput{})
	w.want(err, "AccessDenied")

	// RestrictPublicBuckets takes effect on the policy that is there.
	_, err = w.s3(owner).PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: ptr("public"), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{RestrictPublicBuckets: ptr(true)}})
	w.want(err, "")
	w.want(read(w.anonymous()), "AccessDenied")
	w.want(read(foreigner), "AccessDenied")
	w.want(read(w.user(owner, "local", allow("s3:GetObject", "*"))), "")

	// Signed-in identities of any account, but nobody anonymous.
	w.open("public")
	w.setPolicy("public", allow("s3:GetObject", "arn:aws:s3:::public/*").to("*").when("Null", "aws:PrincipalArn", "false"))
	w.want(read(foreigner), "")
	w.want(read(w.anonymous()), "AccessDenied")
}

func TestExpectedBucketOwner(t *testing.T) {
	w := newWorld(t)
	w.bucket("owned")
	head := func(account string) error {
		_, err := w.s3(owner).GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: ptr("owned"), ExpectedBucketOwner: &account})
		return err
	}
	w.want(head(owner), "")
	w.want(head(other), "AccessDenied")
	w.want(head("somebody"), "InvalidArgument")
}

func TestRegionsAndHostStyles(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	west := s3.NewFromConfig(w.config(w.root(owner), "eu-west-1"))
	_, err := west.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: ptr("in.europe"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}})
	w.want(err, "")
	_, err = west.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: ptr("unsaid")})
	w.want(err, "IllegalLocationConstraintException")
	_, err = w.s3(owner).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: ptr("nowhere"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "moon-1"}})
	w.want(err, "InvalidLocationConstraint")

	_, err = w.s3(owner).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: ptr("in.europe")})
	w.want(err, "PermanentRedirect")
	if got := headerOf(err, "X-Amz-Bucket-Region"); got != "eu-west-1" {
		t.Errorf("the redirect names region %q", got)
	}
	location, err := w.s3(owner).GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: ptr("in.europe")})
	w.want(err, "")
	if location.LocationConstraint != "eu-west-1" {
		t.Errorf("location %q", location.LocationConstraint)
	}

	w.bucket("styles")
	w.open("styles")
	w.setPolicy("styles", allow("s3:GetObject", "arn:aws:s3:::styles/*").to("*"))
	w.put("styles", "dir/a b", "x")
	for _, test := range []struct {
		url    string
		status int
	}{
		{"https://styles.s3.us-east-1.amazonaws.com/dir/a%20b", 200},
		{"https://styles.s3.amazonaws.com/dir/a%20b", 200},
		{"https://s3.amazonaws.com/styles/dir/a%20b", 200},
		{"https://s3.us-east-1.amazonaws.com/styles/dir/a%20b", 200},
		{"https://styles.s3.dualstack.us-east-1.amazonaws.com/dir/a%20b", 200},
		{"https://styles.s3.us-east-1.amazonaws.com/dir/missing", 403},
		{"https://styles.s3.eu-west-1.amazonaws.com/dir/a%20b", 301},
		{"https://s3.cn-north-1.amazonaws.com.cn/styles/dir/a%20b", 404}, // another partition has other buckets
	} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, body := w.do(r); status != test.status {
			t.Errorf("%s: status %d, want %d: %s", test.url, status, test.status, body)
		}
	}
}
