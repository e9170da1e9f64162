package world_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

// An account of the world that is in none of its organisations may be in
// another, and what lies in a resource has the policy of the nearest thing
// around it that has one.
const loose = `{"format": 1,
  "organizations": [{"id": "o-worldone", "root": {"id": "r-root", "accounts": [{"id": "111111111111"}]}}],
  "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}, {"id": "222222222222"}],
  "endpoints": [{"id": "vpce-1", "account": "111111111111", "vpc": "vpc-1"}],
  "roles": [
    {"arn": "arn:aws:iam::111111111111:role/r", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}},
      "inline": [{"name": "i", "document": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["sns:Publish", "sts:AssumeRole"], "Resource": "*"},
        {"Sid": "Insecure", "Effect": "Deny", "Action": "sns:Publish", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}}]},
    {"arn": "arn:aws:iam::222222222222:role/r", "trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}},
      "inline": [{"name": "i", "document": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:*", "sqs:*"], "Resource": "*"}}}]}],
  "resources": [
    {"arn": "arn:aws:sns:eu-west-1:111111111111:t"},
    {"arn": "arn:aws:s3:::members", "account": "111111111111", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*",
      "Action": "s3:GetObject", "Resource": "arn:aws:s3:::members/*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-worldone"}}}}},
    {"arn": "arn:aws:s3:::members/open", "account": "111111111111"},
    {"arn": "arn:aws:s3:::network", "account": "111111111111", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:role/r"},
      "Action": "s3:GetObject", "Resource": "arn:aws:s3:::network/*", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}}}]}`

func TestWhatFollowsFromTheWorld(t *testing.T) {
	w := compile(t, loose)
	const member, other = "arn:aws:iam::111111111111:role/r", "arn:aws:iam::222222222222:role/r"
	for _, test := range []struct {
		principal, action, resource, vpce string
		closed                            bool
		want                              eval.Verdict
	}{
		// The second account may be in the organisation after all; a closed
		// question says that it is in none.
		{other, "s3:GetObject", "arn:aws:s3:::members/a", "", false, eval.Depends},
		{other, "s3:GetObject", "arn:aws:s3:::members/a", "", true, eval.ImplicitlyDenied},
		{member, "s3:GetObject", "arn:aws:s3:::members/a", "", true, eval.Allowed},
		// A thing without a policy does not hide the policy of the bucket.
		{member, "s3:GetObject", "arn:aws:s3:::members/open/a", "", true, eval.Allowed},
		// The VPC follows from the endpoint.
		{member, "s3:GetObject", "arn:aws:s3:::network/a", "vpce-1", true, eval.Allowed},
		{member, "s3:GetObject", "arn:aws:s3:::network/a", "", true, eval.ImplicitlyDenied},
		// What an incompletely listed account does not list may exist and have a
		// policy, unless the question is closed.
		{other, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:222222222222:q", "", false, eval.Depends},
		{other, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:222222222222:q", "", true, eval.Allowed},
		{member, "sts:AssumeRole", "arn:aws:iam::222222222222:role/x", "", false, eval.Depends},
		{member, "sts:AssumeRole", "arn:aws:iam::222222222222:role/x", "", true, eval.ImplicitlyDenied},
	} {
		q := world.Question{Principal: test.principal, Action: test.action, Resource: test.resource, Closed: test.closed}
		if test.vpce != "" {
			q.Context.Set("aws:SourceVpce", test.vpce)
		}
		a, err := w.Can(q)
		if err != nil {
			t.Fatal(err)
		}
		if a.Verdict() != test.want {
			t.Errorf("%+v: %v\n%s", test, a.Verdict(), a.Explain())
		}
	}
}

// An Allow that matches settles the other Allows of its layer, and not a Deny.
func TestUndecidedDenyIsARequirement(t *testing.T) {
	a, err := compile(t, loose).Can(world.Question{Principal: "arn:aws:iam::111111111111:role/r", Action: "sns:Publish", Resource: "arn:aws:sns:eu-west-1:111111111111:t"})
	if err != nil {
		t.Fatal(err)
	}
	if r := a.Requirements(); len(r) != 1 || r[0].Effect != "Deny" || strings.Join(a.Unknown(), " ") != "aws:SecureTransport" {
		t.Errorf("%v: %v", a.Verdict(), r)
	}
}

// Each principal of one search has its own tags only. The order of principals is
// random, so that it is asked for every tag.
func TestTagsOfOthersDoNotLeak(t *testing.T) {
	const roles = 12
	var list, statements []string
	for i := range roles {
		list = append(list, fmt.Sprintf(`{"arn": "arn:aws:iam::111111111111:role/r%d", "tags": {"k%d": "x"}, "attached": ["arn:aws:iam::111111111111:policy/tags"],
			"trust": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}}`, i, i))
		statements = append(statements, fmt.Sprintf(`{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:eu-west-1:111111111111:q%d",
			"Condition": {"StringEquals": {"aws:PrincipalTag/k%d": "x"}}}`, i, i))
	}
	w := compile(t, `{"format": 1, "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}], "roles": [`+strings.Join(list, ",")+`],
		"policies": [{"arn": "arn:aws:iam::111111111111:policy/tags", "document": {"Version": "2012-10-17", "Statement": [`+strings.Join(statements, ",")+`]}}]}`)
	for i := range roles {
		found, err := w.WhoCan(world.Question{Action: "sqs:SendMessage", Resource: fmt.Sprintf("arn:aws:sqs:eu-west-1:111111111111:q%d", i)}, world.WhoCanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			got = append(got, f.Principal+" "+f.Verdict.String())
		}
		want := []string{fmt.Sprintf("arn:aws:iam::111111111111:role/r%d Allowed", i), "arn:aws:iam::111111111111:root Allowed"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}
