package smoke

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// Every action that a kind of resource can give has a row, so that probes say
// why they do not try one.
func TestEveryActionHasARow(t *testing.T) {
	for _, name := range grant.Kinds() {
		k, _ := grant.Describe(name)
		for _, a := range k.Access {
			for _, action := range slices.Concat(a.Actions, a.Consumer) {
				if action == "sts:AssumeRole" {
					continue
				}
				resource := "arn:aws:x:us-east-1:111111111111:table/t"
				if a.Word == "stream" {
					resource += "/stream/2026"
				}
				if callOf(action, &target{resource: resource}) == nil {
					t.Errorf("%s of %s has no row", action, name)
				}
			}
		}
	}
}

// Rows are about actions that exist, and neighbours are rows that nobody has to
// ask for.
func TestRowsAreActions(t *testing.T) {
	for prefix, s := range services {
		for _, c := range s.calls {
			if _, ok := reference.LookupAction(c.action); !ok {
				t.Errorf("%s is no action", c.action)
			}
			if !strings.HasPrefix(c.action, prefix+":") {
				t.Errorf("%s is among those of %s", c.action, prefix)
			}
		}
		for _, other := range s.others {
			c := callOf(other, &target{})
			switch {
			case c == nil:
				t.Errorf("the neighbour %s has no row", other)
			case c.writes && other != "kinesis:PutRecord" && other != "codeartifact:PublishPackageVersion":
				t.Errorf("the neighbour %s writes", other)
			}
		}
	}
}

// Each service says no in its own way, and only no is a refusal.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name, header string
		status       int
		body         string
		code         string
		denied, busy bool
	}{
		{"JSON", "", 400, `{"__type":"com.amazonaws.kms#AccessDeniedException","Message":"no"}`, "AccessDeniedException", true, false},
		{"JSON with a prefix", "", 400, `{"__type":"AccessDeniedException:http://internal.amazon.com/coral/","message":"no"}`, "AccessDeniedException", true, false},
		{"XML of S3", "", 403, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, "AccessDenied", true, false},
		{"XML of queries", "", 403, `<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>no</Message></Error></ErrorResponse>`, "AuthorizationError", true, false},
		{"API Gateway", "AccessDeniedException", 403, `{"Message":"User: x is not authorized"}`, "AccessDeniedException", true, false},
		{"Lambda", "AccessDeniedException", 403, `{"Message":"no"}`, "AccessDeniedException", true, false},
		{"a signature", "", 403, `{"__type":"InvalidSignatureException"}`, "InvalidSignatureException", false, false},
		{"no credentials", "", 403, `{"__type":"UnrecognizedClientException"}`, "UnrecognizedClientException", false, false},
		{"no token", "MissingAuthenticationTokenException", 403, `{"message":"Missing Authentication Token"}`, "MissingAuthenticationTokenException", false, false},
		{"a backend's own 403", "", 403, `forbidden`, "", false, false},
		{"throttled", "", 400, `{"__type":"ThrottlingException"}`, "ThrottlingException", false, true},
		{"a fault", "", 500, ``, "", false, true},
		{"not implemented", "", 501, `{"__type":"NotImplemented"}`, "NotImplemented", false, false},
		{"nothing", "", 403, ``, "", false, false},
		{"a list", "", 400, `["AccessDenied"]`, "", false, false},
	} {
		a := newAnswer(&http.Response{StatusCode: test.status, Header: http.Header{"X-Amzn-Errortype": {test.header}}}, []byte(test.body))
		if a.code != test.code || a.denied() != test.denied || a.busy() != test.busy {
			t.Errorf("%s: %q, denied %v, busy %v", test.name, a.code, a.denied(), a.busy())
		}
	}
}

// Objects' keys are sent as they are signed, and buckets with dots are no host
// names.
func TestBucketsAndKeys(t *testing.T) {
	owner := grant.Place{Region: "eu-central-1", Partition: "aws"}
	for _, test := range []struct{ arn, host, path, local string }{
		{"arn:aws:s3:::data", "data.s3.eu-central-1", "/", "/data"},
		{"arn:aws:s3:::data/a b/ü+$.txt", "data.s3.eu-central-1", "/a%20b/%C3%BC%2B%24.txt", "/data"},
		{"arn:aws:s3:::data.example/x", "s3.eu-central-1", "/data.example/x", ""},
	} {
		r := (&target{resource: test.arn, arn: parts(test.arn), only: &grant.Narrowing{}, owner: owner, known: &known{}}).s3(http.MethodGet, url.Values{})
		if r.host != test.host || r.path != test.path || r.local != test.local {
			t.Errorf("%s: %s %s %s", test.arn, r.host, r.path, r.local)
		}
	}
}

func TestMatchesPrincipals(t *testing.T) {
	for _, test := range []struct {
		identity, principal string
		want                bool
	}{
		{"arn:aws:sts::111111111111:assumed-role/reader/s", "arn:aws:iam::111111111111:role/reader", true},
		{"arn:aws:sts::111111111111:assumed-role/reader/s", "arn:aws:iam::111111111111:role/team/reader", true},
		{"arn:aws:sts::111111111111:assumed-role/reader2/s", "arn:aws:iam::111111111111:role/reader", false},
		{"arn:aws:sts::222222222222:assumed-role/reader/s", "arn:aws:iam::111111111111:role/reader", false},
		{"arn:aws:iam::111111111111:user/reader", "arn:aws:iam::111111111111:role/reader", false},
		{"arn:aws:iam::111111111111:user/anna", "arn:aws:iam::111111111111:root", true},
		{"arn:aws:iam::222222222222:user/anna", "arn:aws:iam::111111111111:root", false},
		{"", "arn:aws:iam::111111111111:root", false},
	} {
		if got := matches(test.identity, test.principal); got != test.want {
			t.Errorf("%s is %s: %v", test.identity, test.principal, got)
		}
	}
}

func TestFlip(t *testing.T) {
	if got := flip("Shop-3fA"); got != "sHOP-3Fa" {
		t.Error(got)
	}
}
