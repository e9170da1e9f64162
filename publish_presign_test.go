package crossaccount

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A presigned URL is good for no longer than the credentials that signed it,
// and leads to S3 itself even if we reach S3 by an endpoint of our own.
func TestPresignedLife(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name        string
		credentials aws.Credentials
		want        time.Time
	}{
		{"long-term key", aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "s"}, now.Add(12 * time.Hour)},
		{"session", aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "s", SessionToken: "t", CanExpire: true, Expires: now.Add(time.Hour)}, now.Add(time.Hour)},
		{"long session", aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "s", SessionToken: "t", CanExpire: true, Expires: now.Add(24 * time.Hour)}, now.Add(12 * time.Hour)},
	} {
		p := &publisher{now: func() time.Time { return now }, config: func(context.Context) (aws.Config, error) {
			return aws.Config{
				Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:4566"),
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return test.credentials, nil }),
			}, nil
		}}
		link, until, err := p.presign(t.Context(), publishedTemplate{Bucket: "b-1", Key: "acme/x/template.json", Region: "cn-north-1"}, 12*time.Hour)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if !until.Equal(test.want) {
			t.Errorf("%s: until %s, want %s", test.name, until, test.want)
		}
		u, err := url.Parse(link)
		if err != nil || u.Scheme != "https" || u.Host != "b-1.s3.cn-north-1.amazonaws.com.cn" || u.Path != "/acme/x/template.json" {
			t.Errorf("%s: link %s, %v", test.name, link, err)
		}
		if got := u.Query().Get("X-Amz-Expires"); got != "43200" {
			t.Errorf("%s: X-Amz-Expires %s", test.name, got)
		}
	}
}
