package world_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

func compile(t testing.TB, text string) *world.World {
	t.Helper()
	s, err := world.Read(strings.NewReader(text))
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	w, err := world.Compile(s)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return w
}

// twoAccounts is a small world: a vendor's account and a customer's, in the
// customer's organisation, and a stranger that only policies name.
const twoAccounts = `{
  "format": 1,
  "organizations": [{"id": "o-customer01", "management_account": "999999999999", "root": {
    "id": "r-root", "service_control": ["p-FullAWSAccess"],
    "units": [{"id": "ou-root-workload", "service_control": ["p-FullAWSAccess", "p-region00"],
      "accounts": [{"id": "222222222222"}]}],
    "accounts": [{"id": "999999999999"}]}}],
  "control_policies": [{"id": "p-region00", "type": "SERVICE_CONTROL_POLICY", "document": {"Version": "2012-10-17",
    "Statement": {"Sid": "NoSQS", "Effect": "Deny", "Action": "sqs:*", "Resource": "*"}}}],
  "accounts": [
    {"id": "111111111111", "name": "vendor", "complete": ["principals", "resources"]},
    {"id": "222222222222", "name": "customer", "complete": ["principals", "resources"]},
    {"id": "999999999999", "name": "management", "complete": ["principals", "resources"]}],
  "policies": [
    {"arn": "arn:aws:iam::222222222222:policy/cap", "document": {"Version": "2012-10-17",
      "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}}],
  "users": [
    {"arn": "arn:aws:iam::222222222222:user/ann", "id": "AIDAANNANNANNANNANNA", "groups": ["readers"], "tags": {"team": "red"}},
    {"arn": "arn:aws:iam::222222222222:user/bob", "attached": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}],
  "groups": [{"arn": "arn:aws:iam::222222222222:group/people/readers", "inline": [{"name": "read", "document":
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:GetObject", "sqs:ReceiveMessage"], "Resource": "*"}}}]}],
  "roles": [
    {"arn": "arn:aws:iam::111111111111:role/app/broker", "id": "AROABROKERBROKERBROK", "trust": {"Version": "2012-10-17",
       "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}},
     "inline": [{"name": "assume", "document": {"Version": "2012-10-17",
       "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/vendor-*"}}}]},
    {"arn": "arn:aws:iam::222222222222:role/vendor-access", "id": "AROAVENDORVENDORVEND", "trust": {"Version": "2012-10-17",
       "Statement": [{"Sid": "Vendor", "Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole",
         "Condition": {"StringEquals": {"sts:ExternalId": "sesame"}}},
        {"Sid": "Stranger", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::333333333333:root"}, "Action": "sts:AssumeRole"}]},
     "inline": [{"name": "read", "document": {"Version": "2012-10-17",
       "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"}}}],
     "boundary": "arn:aws:iam::222222222222:policy/cap"}],
  "resources": [
    {"arn": "arn:aws:s3:::data", "account": "222222222222", "kms_key": "arn:aws:kms:eu-west-1:222222222222:key/k1"},
    {"arn": "arn:aws:s3:::shared", "account": "222222222222", "policy": {"Version": "2012-10-17", "Statement": [
       {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/*",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-customer01"}}}]}},
    {"arn": "arn:aws:s3:::public", "account": "222222222222", "policy": {"Version": "2012-10-17", "Statement": [
       {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::public/*"}]}},
    {"arn": "arn:aws:sqs:eu-west-1:222222222222:jobs"}]
}`

func TestCan(t *testing.T) {
	w := compile(t, twoAccounts)
	for _, test := range []struct {
		principal, action, resource string
		context                     string // "key=value key=value"; "closed" closes the world
		want                        eval.Verdict
		unknown                     string
	}{
		{"arn:aws:iam::222222222222:user/ann", "s3:GetObject", "arn:aws:s3:::data/a", "", eval.Allowed, ""},
		{"arn:aws:iam::222222222222:user/ann", "s3:PutObject", "arn:aws:s3:::data/a", "", eval.ImplicitlyDenied, ""},
		{"arn:aws:iam::222222222222:user/ann", "sqs:ReceiveMessage", "arn:aws:sqs:eu-west-1:222222222222:jobs", "", eval.ExplicitlyDenied, ""},
		{"arn:aws:iam::222222222222:user/bob", "s3:GetObject", "arn:aws:s3:::data/a", "", eval.Depends, ""},
		{"arn:aws:iam::222222222222:role/vendor-access", "s3:GetObject", "arn:aws:s3:::data/a", "", eval.Allowed, ""},
		{"arn:aws:sts::222222222222:assumed-role/vendor-access/s", "s3:GetObject", "arn:aws:s3:::data/a", "", eval.Allowed, ""},
		{"arn:aws:iam::111111111111:role/app/broker", "sts:AssumeRole", "arn:aws:iam::222222222222:role/vendor-access", "", eval.Depends, "sts:ExternalId"},
		{"arn:aws:iam::111111111111:role/app/broker", "sts:AssumeRole", "arn:aws:iam::222222222222:role/vendor-access", "sts:ExternalId=sesame", eval.Allowed, ""},
		{"arn:aws:iam::111111111111:role/app/broker", "sts:AssumeRole", "arn:aws:iam::222222222222:role/vendor-access", "sts:ExternalId=Sesame", eval.ImplicitlyDenied, ""},
		{"arn:aws:iam::111111111111:role/app/broker", "sts:AssumeRole", "arn:aws:iam::222222222222:role/vendor-access", "closed", eval.ImplicitlyDenied, ""},
		{"333333333333", "sts:AssumeRole", "arn:aws:iam::222222222222:role/vendor-access", "", eval.Depends, ""},
		{"arn:aws:iam::333333333333:role/x", "sts:AssumeRole", "arn:aws:iam::222222222222:role/vendor-access", "closed", eval.Depends, ""},
		{"ec2.amazonaws.com", "sts:AssumeRole", "arn:aws:iam::111111111111:role/app/broker", "", eval.Allowed, ""},
		{"lambda.amazonaws.com", "sts:AssumeRole", "arn:aws:iam::111111111111:role/app/broker", "", eval.ImplicitlyDenied, ""},
		{"anonymous", "s3:GetObject", "arn:aws:s3:::public/x", "", eval.Allowed, ""},
		{"anonymous", "s3:GetObject", "arn:aws:s3:::shared/x", "", eval.ImplicitlyDenied, ""},
		{"*", "s3:GetObject", "arn:aws:s3:::public/x", "", eval.Depends, ""},
		{"*", "s3:GetObject", "arn:aws:s3:::shared/x", "", eval.ImplicitlyDenied, ""},
		{"arn:aws:iam::222222222222:user/bob", "s3:GetObject", "arn:aws:s3:::shared/x", "", eval.Depends, ""},
		{"arn:aws:iam::222222222222:root", "s3:DeleteBucket", "arn:aws:s3:::data", "", eval.Allowed, ""},
		{"arn:aws:iam::222222222222:root", "sqs:DeleteQueue", "arn:aws:sqs:eu-west-1:222222222222:jobs", "", eval.ExplicitlyDenied, ""},
	} {
		q := world.Question{Principal: test.principal, Action: test.action, Resource: test.resource}
		for _, word := range strings.Fields(test.context) {
			if key, value, ok := strings.Cut(word, "="); ok {
				q.Context.Set(key, value)
			} else {
				q.Closed = true
			}
		}
		a, err := w.Can(q)
		if err != nil {
			t.Errorf("%s %s %s: %v", test.principal, test.action, test.resource, err)
			continue
		}
		if a.Verdict() != test.want || strings.Join(a.Unknown(), " ") != test.unknown {
			t.Errorf("%s %s %s %q: %v, unknown %v; want %v, %q\n%s", test.principal, test.action, test.resource, test.context,
				a.Verdict(), a.Unknown(), test.want, test.unknown, a.Explain())
		}
	}
}

func TestWhoCan(t *testing.T) {
	w := compile(t, twoAccounts)
	for _, test := range []struct {
		action, resource string
		chains           bool
		want             string
	}{
		{"s3:GetObject", "arn:aws:s3:::data/a", false, `
			principal arn:aws:iam::222222222222:role/vendor-access Allowed
			principal arn:aws:iam::222222222222:root Allowed
			principal arn:aws:iam::222222222222:user/ann Allowed
			principal arn:aws:iam::222222222222:user/bob Depends`},
		{"s3:GetObject", "arn:aws:s3:::data/a", true, `
			principal arn:aws:iam::111111111111:role/app/broker Depends via arn:aws:iam::222222222222:role/vendor-access
			principal arn:aws:iam::222222222222:role/vendor-access Allowed
			principal arn:aws:iam::222222222222:root Allowed
			principal arn:aws:iam::222222222222:user/ann Allowed
			principal arn:aws:iam::222222222222:user/bob Depends
			external account 333333333333 Depends via arn:aws:iam::222222222222:role/vendor-access
			service ec2.amazonaws.com Depends via arn:aws:iam::111111111111:role/app/broker arn:aws:iam::222222222222:role/vendor-access`},
		{"sts:AssumeRole", "arn:aws:iam::222222222222:role/vendor-access", false, `
			principal arn:aws:iam::111111111111:role/app/broker Depends
			external account 333333333333 Depends`},
		{"s3:GetObject", "arn:aws:s3:::public/a", false, `
			principal arn:aws:iam::222222222222:role/vendor-access Allowed
			principal arn:aws:iam::222222222222:root Allowed
			principal arn:aws:iam::222222222222:user/ann Allowed
			principal arn:aws:iam::222222222222:user/bob Depends
			principal arn:aws:iam::111111111111:root Allowed
			principal arn:aws:iam::999999999999:root Allowed
			any AWS principal * Depends
			anonymous anonymous Allowed`},
	} {
		found, err := w.WhoCan(world.Question{Action: test.action, Resource: test.resource}, world.WhoCanOptions{Chains: test.chains})
		if err != nil {
			t.Errorf("%s %s: %v", test.action, test.resource, err)
			continue
		}
		got := make(map[string]bool)
		for _, f := range found {
			line := string(f.Kind) + " " + f.Principal + " " + f.Verdict.String()
			if len(f.Via) > 0 {
				line += " via " + strings.Join(f.Via, " ")
			}
			got[line] = true
		}
		for _, line := range strings.Split(strings.TrimSpace(test.want), "\n") {
			if line = strings.TrimSpace(line); !got[line] {
				t.Errorf("%s %s: missing %q", test.action, test.resource, line)
			}
			delete(got, line)
		}
		for line := range got {
			t.Errorf("%s %s: unexpected %q", test.action, test.resource, line)
		}
	}
}

// A * narrowed to an organisation means its members, also those of which nothing
// else is known, and not strangers.
func TestWhoCanFindsMembersOfTheOrganization(t *testing.T) {
	w := compile(t, `{"format": 1,
		"organizations": [{"id": "o-worldone", "root": {"id": "r-root", "accounts": [{"id": "222222222222"}, {"id": "555555555555"}]}}],
		"accounts": [{"id": "222222222222", "complete": ["principals", "resources"]}, {"id": "666666666666"}],
		"resources": [{"arn": "arn:aws:s3:::two", "account": "222222222222", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
			"Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::two/*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-worldone"}}}}}]}`)
	found, err := w.WhoCan(world.Question{Action: "s3:GetObject", Resource: "arn:aws:s3:::two/x", Closed: true}, world.WhoCanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, string(f.Kind)+" "+f.Principal+" "+f.Verdict.String())
	}
	want := []string{"principal arn:aws:iam::222222222222:root Allowed", "external account 555555555555 Depends"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// An answer that hangs on policy variables names their keys too, or whoever gives
// the keys it names is asked again.
func TestUnknownHasTheKeysOfVariables(t *testing.T) {
	w := compile(t, `{"format": 1, "accounts": [{"id": "444455556666", "complete": ["principals", "resources"]}],
		"resources": [{"arn": "arn:aws:s3:::data", "account": "444455556666", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
			"Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/${aws:PrincipalTag/team}/*",
			"Condition": {"StringEquals": {"s3:ExistingObjectTag/x": "${aws:SourceIdentity}", "aws:RequestedRegion": "eu-west-1"}}}}}]}`)
	a, err := w.Can(world.Question{Principal: "arn:aws:iam::111122223333:role/reader", Action: "s3:GetObject", Resource: "arn:aws:s3:::data/red/a"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"aws:RequestedRegion", "aws:principaltag/team", "aws:sourceidentity", "s3:ExistingObjectTag/x"}
	if diff := cmp.Diff(want, a.Unknown()); diff != "" {
		t.Error(diff)
	}
}
