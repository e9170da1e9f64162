package stsfaults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/bench/stsfaults"
	"github.com/crossaccount/crossaccount/broker"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const role = "arn:aws:iam::222222222222:role/Vendor"

func clientOf(region string, transport http.RoundTripper, endpoint string) *sts.Client {
	c := aws.Config{
		Region: region, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("AKIABASE000000000000", "base", ""),
	}
	if endpoint != "" {
		c.BaseEndpoint = &endpoint
	}
	return sts.NewFromConfig(c, func(o *sts.Options) { o.Retryer = aws.NopRetryer{} })
}

func assume(ctx context.Context, c *sts.Client) (aws.Credentials, error) {
	out, err := c.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("test"), DurationSeconds: aws.Int32(900)})
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{
		AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey,
		SessionToken: *out.Credentials.SessionToken, Expires: *out.Credentials.Expiration,
	}, nil
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Each fault looks to the SDK as AWS's does.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stsfaults.New(nil)
		c := clientOf("eu-west-1", s, "")
		got, err := assume(t.Context(), c)
		if err != nil || time.Until(got.Expires) != 15*time.Minute || len(got.SessionToken) != stsfaults.TokenLength {
			t.Fatalf("%+v, %v", got, err)
		}
		if err := stsfaults.Check(got, role, time.Now()); err != nil {
			t.Error(err)
		}
		if stsfaults.Check(got, role+"x", time.Now()) == nil || stsfaults.Check(got, role, time.Now().Add(15*time.Minute)) == nil {
			t.Error("credentials of another role, or expired ones, pass for good")
		}
		for code, f := range map[string]stsfaults.Fault{
			"AccessDenied": stsfaults.Denied, "Throttling": stsfaults.Throttled, "ServiceUnavailable": stsfaults.Unavailable,
		} {
			s.Always(f)
			if _, err := assume(t.Context(), c); codeOf(err) != code {
				t.Errorf("%v instead of %s", err, code)
			}
		}
		s.Always(stsfaults.Fault{Down: true})
		if _, err := assume(t.Context(), c); err == nil || codeOf(err) != "" {
			t.Errorf("a broken connection is %v", err)
		}
		s.Always(stsfaults.Fault{Latency: time.Second, Skew: -time.Hour, Lifetime: 2 * time.Hour})
		asked := time.Now()
		if got, err := assume(t.Context(), c); err != nil || time.Since(asked) != time.Second || time.Until(got.Expires) != time.Hour {
			t.Errorf("%v after %s, until %s", err, time.Since(asked), got.Expires)
		}
		s.Always(stsfaults.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		asked = time.Now()
		if _, err := assume(ctx, c); err == nil || time.Since(asked) != time.Hour {
			t.Errorf("a call that hangs ends with %v after %s", err, time.Since(asked))
		}
		s.Reset()
		var all sync.WaitGroup
		for range 7 {
			all.Go(func() {
				if _, err := assume(context.Background(), c); err == nil {
					t.Error("a call that hangs succeeded")
				}
			})
		}
		synctest.Wait()
		s.Close()
		all.Wait()
		if n := s.Counts(); n.Calls != 7 || n.Peak != 7 || n.ByRegion["eu-west-1"] != 7 {
			t.Errorf("%+v", n)
		}
	})
}

func TestServes(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "")
	s := stsfaults.New(nil)
	server := httptest.NewServer(s)
	defer server.Close()
	c := clientOf("us-west-2", http.DefaultTransport, server.URL)
	if _, err := assume(t.Context(), c); err != nil {
		t.Error(err)
	}
	s.Always(stsfaults.Throttled)
	if _, err := assume(t.Context(), c); codeOf(err) != "Throttling" {
		t.Error(err)
	}
	s.Always(stsfaults.Fault{Down: true})
	if _, err := assume(t.Context(), c); err == nil || codeOf(err) != "" {
		t.Error(err)
	}
	if n := s.Counts().ByRegion["us-west-2"]; n != 3 {
		t.Errorf("%d calls", n)
	}
}

// In front of the sandbox, whose trust policies decide: a broker keeps working
// while its home region is down, and a refusal of the sandbox comes through.
func TestBeforeTheSandbox(t *testing.T) {
	const vendor, customer = "111111111111", "222222222222"
	box := sandboxtest.New(t, vendor, customer)
	base := box.Account(vendor).User("broker", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	arn := box.Account(customer).Role("Vendor", fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"right"}}}}`, vendor), nil)
	s := stsfaults.New(box.RoundTripper())
	base.HTTPClient = &http.Client{Transport: s}
	b, err := broker.New(broker.Config{AWSConfig: base, Regions: []string{"us-east-1", "eu-west-1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(context.Background()) }()
	ask := func(customer, externalID string) error {
		h, err := b.For(broker.Request{Customer: customer, Chain: []broker.Role{{ARN: arn, ExternalID: externalID, SessionName: "test"}}})
		if err == nil {
			_, err = h.Retrieve(t.Context())
		}
		return err
	}
	if err := ask("acme", "right"); err != nil {
		t.Fatal(err)
	}
	if err := ask("mallory", "wrong"); broker.CodeOf(err) != broker.CodeRefused {
		t.Error(err)
	}
	s.Reset()
	s.Do(func(c stsfaults.Call) stsfaults.Fault {
		return stsfaults.Fault{Down: c.Region == "us-east-1"}
	})
	for i := range 20 {
		if err := ask(fmt.Sprint("customer-", i), "right"); err != nil {
			t.Error(err)
		}
	}
	if n := s.Counts().ByRegion; n["us-east-1"] < 5 || n["us-east-1"] > 10 || n["eu-west-1"] != 20 {
		t.Errorf("calls by region: %v", n)
	}
}
