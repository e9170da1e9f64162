package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam/eval/cases"
	"github.com/crossaccount/crossaccount/internal/conformance"
)

const (
	principalID = "999900000001"
	resourceID  = "999900000002"
	testRun     = "0123abcd"
)

func sides() conformance.Sides {
	return conformance.Sides{Principal: principalID, Resource: resourceID, Region: "us-east-1", Secure: true}
}

// ourCases reads the engine's conformance cases.
func ourCases(t testing.TB) []cases.Case {
	t.Helper()
	files, err := filepath.Glob("../../iam/eval/cases/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	var all []cases.Case
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		read, err := cases.Read(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, read...)
	}
	return all
}

func planOf(t testing.TB, s conformance.Sides, list []cases.Case) *conformance.Plan {
	t.Helper()
	p, err := conformance.NewPlan(testRun, s, list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltinCases(t *testing.T) {
	list := conformance.Builtin()
	for _, c := range list {
		result, err := c.Run()
		if err != nil {
			t.Fatal(err)
		}
		if c.Expected == nil || !result.OK() {
			t.Errorf("%s: the engine answers %s, expected %v", c.Name, result.Response, c.Expected)
		}
		if !strings.HasPrefix(c.Source, "https://docs.aws.amazon.com/") {
			t.Errorf("%s: source %q is not a page of AWS's documentation", c.Name, c.Source)
		}
	}
	for _, i := range planOf(t, sides(), list).Items {
		if i.Reason != "" {
			t.Errorf("%s is not recordable: %s", i.Name, i.Reason)
		}
	}
}

// Every case is planned or has a reason, and what is planned has only names of
// the run and only the two accounts.
func TestPlanAccountsForEveryCase(t *testing.T) {
	list := ourCases(t)
	p := planOf(t, sides(), list)
	if len(p.Items) != len(list) {
		t.Fatalf("%d items for %d cases", len(p.Items), len(list))
	}
	if n := len(p.Recordable()); n < 50 {
		t.Errorf("only %d of %d cases are recordable", n, len(list))
	}
	for _, i := range p.Recordable() {
		for _, line := range i.Makes() {
			if !strings.Contains(line, conformance.Prefix+"-"+testRun+"-") && !strings.Contains(line, "/"+conformance.Prefix+"/"+testRun+"/") {
				t.Errorf("%s: makes something without the run's name: %s", i.Name, line)
			}
			if !strings.Contains(line, principalID) && !strings.Contains(line, resourceID) {
				t.Errorf("%s: makes something in no known account: %s", i.Name, line)
			}
		}
	}
}

func TestNotRecordable(t *testing.T) {
	const role, obj = `"arn:aws:iam::111122223333:role/reader"`, `{"resource":"arn:aws:s3:::data/a.txt","accountId":"111122223333"}`
	allow := func(more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"` + more + `}]}`
	}
	one := sides()
	one.Resource = ""
	for name, test := range map[string]struct {
		data, want string
		sides      conformance.Sides
	}{
		"user":        {`{"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"s3:GetObject","resource":` + obj + `}}`, "makes only roles", sides()},
		"service":     {`{"request":{"principal":"s3.amazonaws.com","action":"s3:GetObject","resource":` + obj + `}}`, "makes only roles", sides()},
		"action":      {`{"request":{"principal":` + role + `,"action":"ec2:RunInstances","resource":{"resource":"*"}}}`, "cannot call ec2:RunInstances", sides()},
		"SCP":         {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":` + obj + `},"serviceControlPolicies":[{"policies":[]}]}`, "organisation", sides()},
		"unknown":     {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":` + obj + `,"unknown":["aws:SourceIp"]}}`, "unknown context keys", sides()},
		"time":        {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":` + obj + `},"identityPolicies":[` + allow(`,"Condition":{"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}`) + `]}`, "aws:CurrentTime, which the recorder cannot choose", sides()},
		"made up":     {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":` + obj + `,"context":{"s3:VersionId":"1"}},"identityPolicies":[` + allow(`,"Condition":{"StringEquals":{"s3:VersionId":"1"}}`) + `]}`, "cannot give s3:GetObject the context key s3:VersionId", sides()},
		"set by AWS":  {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":` + obj + `},"identityPolicies":[` + allow(`,"Condition":{"Null":{"aws:PrincipalArn":"true"}}`) + `]}`, "it is another question", sides()},
		"half a name": {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":` + obj + `,"context":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/reader"}},"identityPolicies":[` + allow(`,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/read*"}}`) + `]}`, "it is another question", sides()},
		"lock-out":    {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":` + obj + `},"resourcePolicy":{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}}`, "lock the bucket's owner out", sides()},
		"partition":   {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":{"resource":"arn:aws-cn:s3:::data/a.txt","accountId":"111122223333"}}}`, "not what the recorder calls", sides()},
		"one account": {`{"request":{"principal":` + role + `,"action":"s3:GetObject","resource":{"resource":"arn:aws:s3:::data/a.txt","accountId":"444455556666"}}}`, "two accounts and only one is there", one},
		"wildcard":    {`{"request":{"principal":` + role + `,"action":"s3:ListBucket","resource":{"resource":"arn:aws:s3:::data*","accountId":"111122223333"}}}`, "not one bucket", sides()},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := cases.Read(strings.NewReader(test.data))
			if err != nil {
				t.Fatal(err)
			}
			if got := planOf(t, test.sides, list).Items[0].Reason; !strings.Contains(got, test.want) {
				t.Errorf("the reason is %q, want one with %q", got, test.want)
			}
		})
	}
}
