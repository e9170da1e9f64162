package world_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam/world"
)

// Principals of all kinds that only a policy names, and exemptions from the
// organisation's policies.
const namedWorld = `{"format": 1,
  "organizations": [{"id": "o-abcdefghij", "management_account": "999999999999", "root": {"id": "r-abcd", "service_control": ["p-FullAWSAccess", "p-nothing1"],
    "accounts": [{"id": "111111111111", "resource_control": ["p-perimeter"]}, {"id": "999999999999"}]}}],
  "control_policies": [
    {"id": "p-nothing1", "type": "SERVICE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "sns:*", "Resource": "*"}}},
    {"id": "p-perimeter", "type": "RESOURCE_CONTROL_POLICY", "document": {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*",
      "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-abcdefghij"}, "BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}}}}],
  "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}, {"id": "999999999999", "complete": ["principals", "resources"]}],
  "providers": [{"arn": "arn:aws:iam::111111111111:oidc-provider/token.example.com"}],
  "roles": [
    {"arn": "arn:aws:iam::111111111111:role/ci", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
      "Principal": {"Federated": "arn:aws:iam::111111111111:oidc-provider/token.example.com"}, "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {"StringEquals": {"token.example.com:aud": "sts.amazonaws.com"}, "StringLike": {"token.example.com:sub": "repo:us/*"}}}}},
    {"arn": "arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
      "Principal": {"Service": "x.amazonaws.com"}, "Action": "sts:AssumeRole"}}, "inline": [{"name": "p", "document": {"Version": "2012-10-17",
      "Statement": {"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}}}]},
    {"arn": "arn:aws:iam::111111111111:role/app", "id": "AROAAPPAPPAPPAPPAPPA", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
      "Principal": {"AWS": "arn:aws:iam::999999999999:root"}, "Action": "sts:AssumeRole"}}, "inline": [{"name": "p", "document": {"Version": "2012-10-17",
      "Statement": {"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}}}]},
    {"arn": "arn:aws:iam::999999999999:role/admin", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "sts:AssumeRole"}},
      "inline": [{"name": "p", "document": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}]}],
  "resources": [
    {"arn": "arn:aws:sns:eu-west-1:111111111111:t"},
    {"arn": "arn:aws:sns:eu-west-1:999999999999:t", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": "*",
      "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}}}},
    {"arn": "arn:aws:sqs:eu-west-1:111111111111:q", "policy": {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": {"AWS": ["AROAAPPAPPAPPAPPAPPA", "AROAGONEGONEGONEGONE", "333333333333"]}, "Action": "sqs:SendMessage", "Resource": "*"},
      {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:events:eu-west-1:111111111111:rule/r"}}}]}}]}`

func TestWhoCanByName(t *testing.T) {
	w := compile(t, namedWorld)
	for _, test := range []struct{ action, resource, want string }{
		{"sts:AssumeRoleWithWebIdentity", "arn:aws:iam::111111111111:role/ci",
			"identity provider arn:aws:iam::111111111111:oidc-provider/token.example.com Depends token.example.com:aud token.example.com:sub"},
		// The SCP denies, but not to the service-linked role; the root user is
		// no exception.
		{"sns:Publish", "arn:aws:sns:eu-west-1:111111111111:t", "principal arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX Allowed"},
		// The management account is exempt from SCPs. Strangers are in another
		// organisation.
		{"sns:Publish", "arn:aws:sns:eu-west-1:999999999999:t", `principal arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX Allowed
			principal arn:aws:iam::999999999999:role/admin Allowed
			principal arn:aws:iam::999999999999:root Allowed`},
		// A unique id is a principal; one of nobody grants nobody anything. The
		// RCP keeps the other account out, and lets services in.
		{"sqs:SendMessage", "arn:aws:sqs:eu-west-1:111111111111:q", `principal arn:aws:iam::111111111111:role/app Allowed
			principal arn:aws:iam::111111111111:root Allowed
			service events.amazonaws.com Depends aws:SourceArn`},
		{"sts:AssumeRole", "arn:aws:iam::111111111111:role/app", "principal arn:aws:iam::999999999999:role/admin Allowed"},
	} {
		found, err := w.WhoCan(world.Question{Action: test.action, Resource: test.resource}, world.WhoCanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			line := string(f.Kind) + " " + f.Principal + " " + f.Verdict.String() + " " + strings.Join(f.Answer().Unknown(), " ")
			got = append(got, strings.TrimSpace(line))
		}
		var want []string
		for _, line := range strings.Split(test.want, "\n") {
			want = append(want, strings.TrimSpace(line))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s on %s: %s", test.action, test.resource, diff)
		}
	}
}

func TestKeyQuestion(t *testing.T) {
	w := compile(t, twoAccounts)
	a, err := w.Can(world.Question{Principal: "arn:aws:iam::222222222222:user/ann", Action: "s3:GetObject", Resource: "arn:aws:s3:::data/x"})
	if err != nil {
		t.Fatal(err)
	}
	q, ok := a.KeyQuestion()
	if !ok || q.Action != "kms:Decrypt" || q.Resource != "arn:aws:kms:eu-west-1:222222222222:key/k1" || q.Principal != a.Question.Principal {
		t.Errorf("%v %+v", ok, q)
	}
	if via, _, _ := q.Context.Lookup("kms:ViaService"); len(via) != 1 || via[0] != "s3.eu-west-1.amazonaws.com" {
		t.Errorf("kms:ViaService is %v", via)
	}
	a, err = w.Can(world.Question{Principal: "arn:aws:iam::222222222222:user/ann", Action: "s3:ListBucket", Resource: "arn:aws:s3:::data"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := a.KeyQuestion(); ok {
		t.Error("listing a bucket decrypts nothing")
	}
}
