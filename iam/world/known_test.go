package world_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/world"
)

// A world of which one account is listed completely and the other is not, with a
// policy for each way to name principals.
const halfKnown = `{"format": 1,
  "accounts": [{"id": "111111111111", "complete": ["principals", "resources"]}, {"id": "222222222222"}],
  "users": [{"arn": "arn:aws:iam::111111111111:user/u"}, {"arn": "arn:aws:iam::111111111111:user/v"}],
  "roles": [{"arn": "arn:aws:iam::111111111111:role/r", "id": "AROARRRRRRRRRRRRRRRR", "trust": {"Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}}],
  "resources": [
    {"arn": "arn:aws:s3:::but-u", "account": "111111111111", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
      "NotPrincipal": {"AWS": "arn:aws:iam::111111111111:user/u"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::but-u/*"}}},
    {"arn": "arn:aws:s3:::session", "account": "111111111111", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
      "Principal": {"AWS": "arn:aws:sts::111111111111:assumed-role/r/s"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::session/*"}}},
    {"arn": "arn:aws:s3:::own", "account": "111111111111", "policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow",
      "Principal": {"AWS": "arn:aws:iam::111111111111:role/r"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::own/*",
      "Condition": {"StringLike": {"aws:userid": "AROARRRRRRRRRRRRRRRR:*"}}}}}]}`

// Who is found is not only whom a Principal element names.
func TestWhoCanFindsThoseNotNamed(t *testing.T) {
	w := compile(t, halfKnown)
	for _, test := range []struct{ action, resource, want string }{
		{"s3:GetObject", "arn:aws:s3:::but-u/a", `
			principal arn:aws:iam::111111111111:role/r Allowed
			principal arn:aws:iam::111111111111:root Allowed
			principal arn:aws:iam::111111111111:user/v Allowed
			principal arn:aws:iam::222222222222:root Allowed
			external account 222222222222 Depends
			any AWS principal * Depends
			anonymous anonymous Allowed`},
		// One session may, so that it hangs on the session whether the role may.
		{"s3:GetObject", "arn:aws:s3:::session/a", `
			principal arn:aws:iam::111111111111:role/r Depends
			principal arn:aws:iam::111111111111:root Allowed
			principal arn:aws:sts::111111111111:assumed-role/r/s Allowed`},
		{"sts:GetCallerIdentity", "*", `
			principal arn:aws:iam::111111111111:role/r Allowed
			principal arn:aws:iam::111111111111:root Allowed
			principal arn:aws:iam::111111111111:user/u Allowed
			principal arn:aws:iam::111111111111:user/v Allowed
			principal arn:aws:iam::222222222222:root Allowed`},
	} {
		found, err := w.WhoCan(world.Question{Action: test.action, Resource: test.resource}, world.WhoCanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range found {
			got.WriteString("\n\t\t\t" + string(f.Kind) + " " + f.Principal + " " + f.Verdict.String())
		}
		if diff := cmp.Diff(test.want, got.String()); diff != "" {
			t.Errorf("%s on %s: %s", test.action, test.resource, diff)
		}
	}
}

// A principal that is not in the world does not exist only where the world lists
// them all.
func TestPrincipalsOfIncompleteAccounts(t *testing.T) {
	w := compile(t, halfKnown)
	q := world.Question{Principal: "arn:aws:iam::222222222222:role/other", Action: "s3:GetObject", Resource: "arn:aws:s3:::own/a"}
	if _, err := w.Can(q); err != nil {
		t.Errorf("the account's principals are not all listed: %v", err)
	}
	q.Principal = "arn:aws:iam::111111111111:role/other"
	if _, err := w.Can(q); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("the account's principals are all listed: %v", err)
	}
}

// The aws:userid of a session is the role's unique id, a colon and the session's
// name.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
func TestUserIDOfSessions(t *testing.T) {
	w := compile(t, halfKnown)
	a, err := w.Can(world.Question{Principal: "arn:aws:sts::111111111111:assumed-role/r/s", Action: "s3:GetObject", Resource: "arn:aws:s3:::own/a"})
	if err != nil {
		t.Fatal(err)
	}
	if id, _, _ := a.Input().Request.Context.Lookup("aws:userid"); a.Verdict() != eval.Allowed || len(id) != 1 || id[0] != "AROARRRRRRRRRRRRRRRR:s" {
		t.Errorf("%v with aws:userid %v", a.Verdict(), id)
	}
}

// A federated user has what both a user and session policies allow, and the ARN
// names neither.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html
func TestFederatedUsers(t *testing.T) {
	w := compile(t, twoAccounts)
	q := world.Question{Principal: "arn:aws:sts::222222222222:federated-user/fred", Action: "s3:GetObject", Resource: "arn:aws:s3:::data/a"}
	a, err := w.Can(q)
	if err != nil {
		t.Fatal(err)
	}
	layers := make(map[eval.Layer]bool)
	for _, r := range a.Requirements() {
		layers[r.Layer] = r.Missing != ""
	}
	if a.Verdict() != eval.Depends || !layers[eval.LayerIdentity] || !layers[eval.LayerSession] {
		t.Errorf("%v, hanging on %v", a.Verdict(), a.Requirements())
	}
}

// What is asked about the key is asked of the key's own account, and what the
// question says about the request stays.
func TestKeyQuestionKeepsWhatWasSaid(t *testing.T) {
	w := compile(t, twoAccounts)
	ask := func(q world.Question) (world.Question, bool) {
		q.Principal = "arn:aws:iam::222222222222:user/ann"
		a, err := w.Can(q)
		if err != nil {
			t.Fatal(err)
		}
		return a.KeyQuestion()
	}
	var q world.Question
	q.Action, q.Resource, q.ResourceAccount = "s3:GetObject", "arn:aws:s3:::data/x", "222222222222"
	q.Context.Set("kms:ViaService", "lambda.eu-west-1.amazonaws.com")
	key, ok := ask(q)
	if via, _, _ := key.Context.Lookup("kms:ViaService"); !ok || key.ResourceAccount != "" || len(via) != 1 || via[0] != "lambda.eu-west-1.amazonaws.com" {
		t.Errorf("%v %+v via %v", ok, key, via)
	}
	if _, _, state := q.Context.Lookup("kms:ViaService"); state != iam.KeyGiven {
		t.Error("the question was changed")
	}
	if key, ok := ask(world.Question{Action: "s3:GetObject", Resource: "arn:aws:s3:::public/x"}); ok {
		t.Errorf("no key is known of the bucket, but %+v is asked", key)
	}
}
