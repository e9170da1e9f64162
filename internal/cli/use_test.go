package cli

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
	"github.com/crossaccount/crossaccount/broker"
)

// A fakeServer issues sessions of an hour and renews them half an hour before.
type fakeServer struct {
	asked atomic.Int32
	fails error
	hangs bool
	last  *api.Credentials
}

func (f *fakeServer) ask(ctx context.Context) (*api.Credentials, error) {
	f.asked.Add(1)
	if f.hangs {
		<-ctx.Done()
		return nil, crossaccount.NewError(crossaccount.CodeCancelled, "too slow", "", ctx.Err())
	}
	if f.fails != nil {
		return nil, f.fails
	}
	if f.last == nil || time.Until(f.last.ExpiresAt) < 30*time.Minute {
		expires := time.Now().Add(time.Hour)
		f.last = &api.Credentials{AccessKeyID: "ASIA" + expires.Format("1504"), SecretAccessKey: "s", SessionToken: "t", ExpiresAt: expires, CustomerID: "acme"}
	}
	return f.last, nil
}

// Whatever happens around it, a command that runs for a day never gets what has
// expired, and loses access when the server says so.
func TestCredentialsOfLongCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := new(fakeServer)
		source := &roleSource{ask: server.ask, now: time.Now}
		if _, err := source.issued(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		for range 24 * 60 {
			time.Sleep(time.Minute) // of the bubble's clock
			got, err := source.RetrieveLasting(t.Context(), 15*time.Minute)
			if err != nil || time.Until(got.Expires) < 15*time.Minute {
				t.Fatalf("after %s: %v until %s", time.Now(), err, got.Expires)
			}
			keys[got.AccessKeyID] = true
		}
		if len(keys) < 40 || len(keys) > 50 {
			t.Errorf("%d sessions in a day", len(keys))
		}

		// Within a minute the server is not asked again.
		before := server.asked.Load()
		for range 100 {
			if _, err := source.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := server.asked.Load() - before; n != 0 {
			t.Errorf("asked %d times", n)
		}

		// An outage is ridden out until the session expires, and not longer.
		server.fails = crossaccount.NewError(api.CodeNotReady, "away", "", nil)
		expires := source.held.ExpiresAt
		for time.Now().Before(expires.Add(-time.Second)) {
			time.Sleep(time.Minute)
			got, err := source.Retrieve(t.Context())
			if expired := !time.Now().Before(expires); (err != nil) != expired || err == nil && !got.Expires.After(time.Now()) {
				t.Fatalf("%s before the end: %v", time.Until(expires), err)
			}
		}
		if _, err := source.Retrieve(t.Context()); !hasCode(err, broker.CodeUnavailable) {
			t.Errorf("after the end: %v", err)
		}
		server.fails = nil
		if _, err := source.Retrieve(t.Context()); err != nil {
			t.Errorf("after the outage: %v", err)
		}

		// A server that hangs holds nobody up who has something.
		server.hangs = true
		time.Sleep(2 * time.Minute)
		began := time.Now()
		if _, err := source.Retrieve(t.Context()); err != nil || time.Since(began) > askWait {
			t.Errorf("waited %s, %v", time.Since(began), err)
		}
		time.Sleep(askTimeout)
		synctest.Wait()
		server.hangs = false

		// No is no, at once, although the session is valid.
		server.fails = crossaccount.NewError(crossaccount.CodeNotVerified, "revoked", "", nil)
		time.Sleep(2 * time.Minute)
		for range 2 {
			if _, err := source.Retrieve(t.Context()); !hasCode(err, broker.CodeRevoked) {
				t.Errorf("after the integration was revoked: %v", err)
			}
		}
	})
}

func hasCode(err error, code broker.Code) bool {
	var known *broker.Error
	return errors.As(err, &known) && known.Code == code
}

// The token of exec is for its customer and purpose alone, and nobody reaches the
// endpoint through a browser, a proxy or another name.
func TestEndpointOfExec(t *testing.T) {
	server := new(fakeServer)
	source := &roleSource{ask: server.ask, now: time.Now}
	u := &roleUser{request: api.CredentialsRequest{CustomerID: "acme", Purpose: "inventory"}}
	endpoint, err := u.serveCredentials(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.close(t.Context())
	if !strings.HasPrefix(endpoint.url, "http://127.0.0.1:") {
		t.Fatalf("it is at %s", endpoint.url)
	}
	other, err := u.serveCredentials(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close(t.Context())
	base := strings.TrimSuffix(endpoint.url, "/credentials/acme/inventory")
	for name, tt := range map[string]struct {
		url, token, header, value string
		want                      int
	}{
		"its own":          {url: endpoint.url, token: endpoint.token, want: 200},
		"whole role":       {url: base + "/credentials/acme", token: endpoint.token, want: 403},
		"another customer": {url: base + "/credentials/globex/inventory", token: endpoint.token, want: 403},
		"another purpose":  {url: base + "/credentials/acme/other", token: endpoint.token, want: 403},
		"another's token":  {url: endpoint.url, token: other.token, want: 401},
		"no token":         {url: endpoint.url, want: 401},
		"another name":     {url: endpoint.url, token: endpoint.token, header: "Host", value: "rebound.example", want: 403},
		"browser":          {url: endpoint.url, token: endpoint.token, header: "Origin", value: "http://127.0.0.1", want: 403},
		"proxy":            {url: endpoint.url, token: endpoint.token, header: "X-Forwarded-For", value: "127.0.0.1", want: 403},
		"other proxy":      {url: endpoint.url, token: endpoint.token, header: "Forwarded", value: "for=127.0.0.1", want: 403},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.token != "" {
			request.Header.Set("Authorization", tt.token)
		}
		if tt.header == "Host" {
			request.Host = tt.value
		} else if tt.header != "" {
			request.Header.Set(tt.header, tt.value)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != tt.want {
			t.Errorf("%s: %s, want %d", name, response.Status, tt.want)
		}
	}
}

func TestEnvironmentOfCommands(t *testing.T) {
	got := childEnvironment([]string{
		"PATH=/bin", "HOME=/home/x", "AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=x", "AWS_SESSION_TOKEN=x", "AWS_SECURITY_TOKEN=x",
		"AWS_PROFILE=p", "AWS_DEFAULT_PROFILE=p", "AWS_ROLE_ARN=r", "AWS_WEB_IDENTITY_TOKEN_FILE=f", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=f", "AWS_CONFIG_FILE=mine", "AWS_SHARED_CREDENTIALS_FILE=mine", "AWS_CREDENTIAL_FILE=f",
		"aws_access_key_id=AKIA", "AMAZON_ACCESS_KEY_ID=AKIA", "CROSSACCOUNT_OPERATOR_TOKEN=x", "CROSSACCOUNT_KEYS=x", "CROSSACCOUNT_SERVER=x",
		"AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_MAX_ATTEMPTS=5", "AWS_REGION=us-west-1", "no_proxy=internal", "EMPTY=",
	}, map[string]string{"AWS_REGION": "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:2/credentials/acme"})
	slices.Sort(got)
	want := []string{
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:2/credentials/acme", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_MAX_ATTEMPTS=5", "AWS_REGION=eu-west-1", "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"EMPTY=", "HOME=/home/x", "NO_PROXY=127.0.0.1", "PATH=/bin", "no_proxy=internal,127.0.0.1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestScopesOfHosts(t *testing.T) {
	for host, want := range map[string]string{
		"a1b2.execute-api.eu-west-1.amazonaws.com":               "execute-api eu-west-1",
		"a1b2-vpce-0a.execute-api.eu-west-1.amazonaws.com":       "execute-api eu-west-1",
		"a1b2.execute-api.cn-north-1.amazonaws.com.cn":           "execute-api cn-north-1",
		"abc.lambda-url.us-east-2.on.aws":                        "lambda us-east-2",
		"lambda.us-east-2.amazonaws.com:443":                     "lambda us-east-2",
		"reports.s3.us-east-1.amazonaws.com":                     "s3 us-east-1",
		"my.dotted.reports.s3.eu-west-1.amazonaws.com":           "s3 eu-west-1",
		"s3.dualstack.eu-west-1.amazonaws.com":                   "s3 eu-west-1",
		"reports.s3.amazonaws.com":                               "s3 us-east-1",
		"ap-444455556666.s3-accesspoint.eu-west-1.amazonaws.com": "s3 eu-west-1",
		"search-x-1a.us-east-1.es.amazonaws.com":                 "es us-east-1",
		"abc.us-east-1.aoss.amazonaws.com":                       "aoss us-east-1",
		"abc.appsync-api.us-east-1.amazonaws.com":                "appsync us-east-1",
		"svc-0a.7d67968.vpc-lattice-svcs.us-west-2.on.aws":       "vpc-lattice-svcs us-west-2",
		"api.ecr.us-east-1.amazonaws.com":                        "ecr us-east-1",
		"bedrock-runtime.us-east-1.amazonaws.com":                "bedrock us-east-1",
		"sqs-fips.us-east-1.amazonaws.com":                       "sqs us-east-1",
		"SQS.US-EAST-1.amazonaws.com.":                           "sqs us-east-1",
		"ec2.us-east-1.api.aws":                                  "ec2 us-east-1",
		"iam.amazonaws.com":                                      "iam us-east-1",
		"sts.us-gov-west-1.amazonaws.com":                        "sts us-gov-west-1",
		"example.com":                                            "not AWS's",
		"sqs.us-east-1.amazonaws.com.example.com":                "not AWS's",
		"sqs.us-east-1.evilamazonaws.com":                        "not AWS's",
		"amazonaws.com":                                          "not AWS's",
		"127.0.0.1:8080":                                         "not AWS's",
		"d111.cloudfront.net":                                    "not AWS's",
		"s3.us-east-1.amazonaws.com@example.com":                 "not AWS's",
		"reports.s3.us-east-1.amazonaws.com%2eexample.com":       "not AWS's",
	} {
		scope, ours := scopeOfHost(host)
		got := scope.service + " " + scope.region
		if !ours {
			got = "not AWS's"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
