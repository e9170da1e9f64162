package s3api

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// What another service asks for on a caller's behalf is done and refused as if
// the caller had asked.
func TestCallsFromInside(t *testing.T) {
	d := directory.New(directory.Options{Random: rand.Reader})
	engine := authz.New(d, 100)
	s := New(Options{Directory: d, Random: rand.Reader})
	root := func(account iam.AccountID) *authz.Call {
		a, ok := d.Account(account)
		if !ok {
			var err error
			if a, err = d.CreateAccount(account, "aws"); err != nil {
				t.Fatal(err)
			}
		}
		return engine.NewCall(authz.Call{
			Context: t.Context(), Service: "cloudformation", Region: "eu-west-1", Now: time.Now(), Secure: true,
			Caller: authz.Caller{Principal: iam.Principal{Type: iam.PrincipalRootUser, ARN: a.RootARN(), Account: account}},
		}).Forward("cloudformation.amazonaws.com")
	}
	mine, theirs := root("111111111111"), root("222222222222")
	code := func(err error) string {
		if err == nil {
			return ""
		}
		return wire.AsError(err).Code
	}
	steps := []struct {
		name string
		err  error
		want string
	}{
		{"create", s.CreateBucket(mine, "stack-bucket", map[string]string{"a": "1"}), ""},
		{"create another's", s.CreateBucket(theirs, "stack-bucket", nil), "BucketAlreadyExists"},
		{"versioning", s.PutBucketVersioning(mine, "stack-bucket", "Enabled"), ""},
		{"versioning of another's", s.PutBucketVersioning(theirs, "stack-bucket", "Suspended"), "AccessDenied"},
		{"tags", s.PutBucketTagging(mine, "stack-bucket", map[string]string{"b": "2"}), ""},
		{"reserved tag", s.PutBucketTagging(mine, "stack-bucket", map[string]string{"aws:x": "2"}), "InvalidTag"},
		{"public access", s.PutPublicAccessBlock(mine, "stack-bucket", PublicAccessBlock{BlockPublicPolicy: true}), ""},
		{"public policy", s.PutBucketPolicy(mine, "stack-bucket", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::stack-bucket/*"}}`), "AccessDenied"},
		{"policy", s.PutBucketPolicy(mine, "stack-bucket", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::stack-bucket/*"}}`), ""},
		{"broken policy", s.PutBucketPolicy(mine, "stack-bucket", `{}`), "MalformedPolicy"},
	}
	for _, step := range steps {
		if got := code(step.err); got != step.want {
			t.Errorf("%s: %v, want %q", step.name, step.err, step.want)
		}
	}
	want := [][]string{{"111111111111", "eu-west-1", "stack-bucket", "0 (0 bytes)", "Enabled", "1 statements", "BlockPublicPolicy"}}
	if diff := cmp.Diff(want, s.Overview()[0].Rows); diff != "" {
		t.Errorf("overview (-want +got):\n%s", diff)
	}
	if err := s.DeleteBucketPolicy(mine, "stack-bucket"); err != nil {
		t.Error(err)
	}
	if got := code(s.DeleteBucket(theirs, "stack-bucket")); got != "AccessDenied" {
		t.Errorf("deleting another's bucket: %q", got)
	}
	if err := s.DeleteBucket(mine, "stack-bucket"); err != nil {
		t.Error(err)
	}
	if rows := s.Overview()[0].Rows; len(rows) != 0 {
		t.Errorf("left over: %v", rows)
	}
}
