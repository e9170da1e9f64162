package directory_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/sandbox/internal/directory"
)

func TestResolvePrincipals(t *testing.T) {
	d := newDirectory(t, 0)
	role := createRole(t, d, start, customer, "/app/", "Reader")
	user := createUser(t, d, start, "alice")
	for _, tc := range []struct{ principal, stored, refused string }{
		{`"*"`, `"*"`, ""},
		{`{"AWS":"*"}`, `{"AWS":"*"}`, ""},
		{`{"AWS":"111122223333"}`, `{"AWS":"arn:aws:iam::111122223333:root"}`, ""},
		{`{"AWS":"arn:aws:iam::111122223333:root"}`, `{"AWS":"arn:aws:iam::111122223333:root"}`, ""},
		{`{"AWS":"arn:aws:iam::444455556666:role/app/Reader"}`, `{"AWS":"` + role.ID + `"}`, ""},
		{`{"AWS":["arn:aws:iam::111122223333:user/alice","111122223333"]}`, `{"AWS":["` + user.ID + `","arn:aws:iam::111122223333:root"]}`, ""},
		{`{"AWS":"` + role.ID + `"}`, `{"AWS":"` + role.ID + `"}`, ""},
		{`{"AWS":"arn:aws:sts::444455556666:assumed-role/Reader/anything"}`, `{"AWS":"arn:aws:sts::444455556666:assumed-role/Reader/anything"}`, ""},
		{`{"AWS":"arn:aws:sts::444455556666:federated-user/bob"}`, `{"AWS":"arn:aws:sts::444455556666:federated-user/bob"}`, ""},
		{`{"Service":"states.amazonaws.com"}`, `{"Service":"states.amazonaws.com"}`, ""},
		{`{"Federated":"arn:aws:iam::444455556666:oidc-provider/token.example.com"}`, `{"Federated":"arn:aws:iam::444455556666:oidc-provider/token.example.com"}`, ""},

		{`{"AWS":"999999999999"}`, "", `"AWS":"999999999999"`},
		{`{"AWS":"arn:aws:iam::999999999999:root"}`, "", `"AWS":"arn:aws:iam::999999999999:root"`},
		{`{"AWS":"arn:aws-cn:iam::111122223333:root"}`, "", `"AWS":"arn:aws-cn:iam::111122223333:root"`},
		{`{"AWS":"arn:aws:iam::444455556666:role/Reader"}`, "", `"AWS":"arn:aws:iam::444455556666:role/Reader"`}, // the path is missing
		{`{"AWS":"arn:aws:iam::444455556666:role/app/reader"}`, "", `"AWS":"arn:aws:iam::444455556666:role/app/reader"`},
		{`{"AWS":"arn:aws:iam::444455556666:role/app/*"}`, "", `"AWS":"arn:aws:iam::444455556666:role/app/*"`},
		{`{"AWS":["111122223333","arn:aws:iam::111122223333:user/bob"]}`, "", `"AWS":"arn:aws:iam::111122223333:user/bob"`},
		{`{"AWS":"arn:aws:sts::444455556666:assumed-role/None/s"}`, "", `"AWS":"arn:aws:sts::444455556666:assumed-role/None/s"`},
		{`{"AWS":"arn:aws:sts::444455556666:assumed-role/Reader/*"}`, "", `"AWS":"arn:aws:sts::444455556666:assumed-role/Reader/*"`},
		{`{"AWS":"AROAAAAAAAAAAAAAAAAAA"}`, "", `"AWS":"AROAAAAAAAAAAAAAAAAAA"`},
		{`{"AWS":"arn:aws:iam::444455556666:group/g"}`, "", `"AWS":"arn:aws:iam::444455556666:group/g"`},
		{`{"AWS":"arn:aws:s3:::bucket"}`, "", `"AWS":"arn:aws:s3:::bucket"`},
		{`{"AWS":""}`, "", `"AWS":""`},
		{`{"Service":"states"}`, "", `"SERVICE":"states"`},
		{`{"Service":"*.amazonaws.com"}`, "", `"SERVICE":"*.amazonaws.com"`},
		{`{"Federated":"example.com"}`, "", `"FEDERATED":"example.com"`},
	} {
		policy := parsePolicy(t, tc.principal)
		before, _ := policy.MarshalJSON()
		resolved, err := d.Latest().ResolvePrincipals(policy)
		if tc.refused != "" {
			var invalid *directory.InvalidPrincipalError
			if !errors.As(err, &invalid) || err.Error() != "Invalid principal in policy: "+tc.refused {
				t.Errorf("%s: error %v, want one about %s", tc.principal, err, tc.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.principal, err)
			continue
		}
		want, _ := parsePolicy(t, tc.stored).MarshalJSON()
		if got, _ := resolved.MarshalJSON(); string(got) != string(want) {
			t.Errorf("%s is stored as %s, want %s", tc.principal, got, want)
		}
		if after, _ := policy.MarshalJSON(); string(after) != string(before) {
			t.Errorf("%s: the argument was changed to %s", tc.principal, after)
		}
	}
}

func parsePolicy(t rapid.TB, principal string) *iam.Policy {
	t.Helper()
	p, err := iam.ParsePolicy([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What a trust policy shows when its principal is there, gone, and made anew.
func TestTextOfDocuments(t *testing.T) {
	d := newDirectory(t, 0)
	role := createRole(t, d, start, vendor, "/", "broker")
	const arn = "arn:aws:iam::111122223333:role/broker"
	text := `{ "Version": "2012-10-17",  "Statement": [{"Effect":"Allow","Principal":{"AWS":["` + arn + `"]},"Action":"sts:AssumeRole"}] }`
	document, err := d.Latest().NewResourceDocument(text, iam.KindTrust, "trust")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Latest().Text(document); got != text {
		t.Errorf("the document reads %s, want it as it was written", got)
	}
	if err := d.DeleteRole(start, vendor, "broker"); err != nil {
		t.Fatal(err)
	}
	if got := d.Latest().Text(document); !strings.Contains(got, `"AWS":"`+role.ID+`"`) || strings.Contains(got, arn) {
		t.Errorf("after the role was deleted the document reads %s, want its id", got)
	}
	createRole(t, d, start, vendor, "/", "broker")
	if got := d.Latest().Text(document); !strings.Contains(got, role.ID) || strings.Contains(got, arn) {
		t.Errorf("after the role was made anew the document reads %s, want the old id", got)
	}

	account := trust(t, d, `{"AWS":"111122223333"}`)
	if got := d.Latest().Text(account); !strings.Contains(got, `"arn:aws:iam::111122223333:root"`) {
		t.Errorf("an account id reads %s, want the root user's ARN", got)
	}
}

func TestNewDocument(t *testing.T) {
	const head = `{"Version":"2012-10-17","Statement":[`
	for _, tc := range []struct {
		kind       iam.Kind
		text, want string // want: beginning of the message, "" for none
	}{
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`, ""},
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:*"}]}`, ""},
		{iam.KindIdentity, head + `{"Effect":"Allow","NotAction":"*","NotResource":"*"}]}`, ""},
		{iam.KindIdentity, `not json`, "This policy contains invalid Json"},
		{iam.KindIdentity, `[]`, "Syntax errors in policy."},
		{iam.KindIdentity, `{"Version":"2012-10-18","Statement":[]}`, "Syntax errors in policy."},
		{iam.KindIdentity, head + `]}`, "Syntax errors in policy."},
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}]}`, "Policy document should not specify a principal."},
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":"s3:*"}]}`, "Policy statement must contain resources."},
		{iam.KindIdentity, head + `{"Effect":"Allow","Resource":"*"}]}`, "Policy statement must contain actions."},
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":[],"Resource":"*"}]}`, "Policy statement must contain actions."},
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":"GetObject","Resource":"*"}]}`, "Actions/Conditions must be prefaced by a vendor"},
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}]}`, `Resource bucket must be in ARN format or "*".`},
		{iam.KindIdentity, head + `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"SringEquals":{"a:b":"c"}}}]}`, "Syntax errors in policy."},
		{iam.KindIdentity, head + `{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`, "Statement IDs (SID) in a single policy must be unique."},
		{iam.KindIdentity, head + `{"Sid":"a b","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`, "Statement IDs (SID) must be alpha-numeric."},
		{iam.KindTrust, head + `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"111122223333"}}]}`, ""},
		{iam.KindTrust, head + `{"Effect":"Allow","Action":"sts:AssumeRole"}]}`, "Missing required field Principal"},
		{iam.KindTrust, head + `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}]}`, "Has prohibited field Resource"},
		{iam.KindTrust, head + `{"Effect":"Allow","Action":"s3:GetObject","Principal":"*"}]}`, "AssumeRole policy may only specify STS AssumeRole actions."},
		{iam.KindTrust, head + `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"999999999999"}}]}`, `Invalid principal in policy: "AWS":"999999999999"`},
	} {
		var err error
		if tc.kind == iam.KindTrust {
			_, err = newDirectory(t, 0).Latest().NewResourceDocument(tc.text, tc.kind, "test")
		} else {
			_, err = directory.NewDocument(tc.text, tc.kind, "test")
		}
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.text, err)
		case tc.want != "" && (code(err) != "MalformedPolicyDocument" || !strings.HasPrefix(err.Error(), "MalformedPolicyDocument: "+tc.want)):
			t.Errorf("%s:\ngot  %v\nwant %s", tc.text, err, tc.want)
		}
	}
}

func TestAWSManagedPolicies(t *testing.T) {
	d := newDirectory(t, 0)
	for _, arn := range []string{
		"arn:aws:iam::aws:policy/AdministratorAccess",
		"arn:aws:iam::aws:policy/ReadOnlyAccess",
		"arn:aws:iam::aws:policy/SecurityAudit",
		"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
		"arn:aws-us-gov:iam::aws:policy/ReadOnlyAccess",
	} {
		p, ok := d.Latest().ManagedPolicy(arn)
		if !ok {
			t.Errorf("%s does not exist", arn)
			continue
		}
		if p.ARN() != arn || p.DefaultDocument() == nil || p.DefaultDocument().Size > 6144 {
			t.Errorf("%s: %+v", arn, p)
		}
	}
}
