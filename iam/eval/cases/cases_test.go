package cases_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

// load reads every conformance case.
func load(t testing.TB) []cases.Case {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conformance cases found: %v", err)
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
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, read...)
	}
	return all
}

func TestConformance(t *testing.T) {
	all := load(t)
	if len(all) < 300 {
		t.Errorf("there are %d cases; at least 300 are promised", len(all))
	}
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			if !strings.HasPrefix(c.Source, "https://docs.aws.amazon.com/") {
				t.Errorf("source %q is not a page of AWS's documentation", c.Source)
			}
			if c.Expected == nil {
				t.Fatal("the case expects nothing")
			}
			result, err := c.Run()
			if err != nil {
				t.Fatal(err)
			}
			if !result.OK() {
				in, _ := c.Input()
				t.Errorf("got %s, want %s\n%s", result.Response, result.Expected, eval.Explain(in))
			}
		})
	}
}

// FuzzRun feeds anything to the reader; what it accepts must be decided and
// explained without a panic, and both must say the same.
func FuzzRun(f *testing.F) {
	for i, c := range load(f) {
		if i%20 == 0 {
			data, err := json.Marshal(c)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read, err := cases.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, c := range read {
			in, err := c.Input()
			if err != nil {
				continue
			}
			d, x := eval.Decide(in), eval.Explain(in)
			if d.Verdict != x.Decision.Verdict {
				t.Fatalf("Decide says %s, Explain says %s", d.Verdict, x.Decision.Verdict)
			}
			_ = x.String()
		}
	})
}

// A case that is written and read again is the same question.
func TestRoundTrip(t *testing.T) {
	for _, c := range load(t) {
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := cases.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		result, err := again[0].Run()
		if err != nil {
			t.Fatal(err)
		}
		if !result.OK() || result.Name != c.Name {
			t.Errorf("%s: became %s after a round trip", c.Name, result.Response)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	request := `"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"s3:GetObject","resource":{"resource":"arn:aws:s3:::b/k"}}`
	for name, test := range map[string]struct{ data, want string }{
		"misspelt layer":        {`{` + request + `,"identityPolicy":[]}`, `unknown field "identityPolicy"`},
		"trailing text":         {`{` + request + `} {}`, "after top-level value"},
		"not JSON":              {`cases`, "read case"},
		"unknown principal":     {`{"request":{"principal":"alice","action":"s3:GetObject","resource":{"resource":"*"}}}`, "neither an ARN nor a service"},
		"unknown type":          {`{"request":{"principal":{"type":"Robot","arn":"arn:aws:iam::111122223333:user/a"}}}`, `type "Robot" is unknown`},
		"null in the context":   {`{"request":{"principal":"states.amazonaws.com","context":{"a":{}}}}`, "must be a string or a list"},
		"policy with a problem": {`{` + request + `,"identityPolicies":[{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Actoin":"*"}]}]}`, "identityPolicies[0]"},
		"principal in identity": {`{` + request + `,"identityPolicies":[{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}]}`, "cannot have a Principal"},
		"expected is no answer": {`{` + request + `,"expected":{"response":"Yes"}}`, `"Yes" is none of`},
	} {
		t.Run(name, func(t *testing.T) {
			read, err := cases.Read(strings.NewReader(test.data))
			if err == nil {
				_, err = read[0].Run()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// Other tools write more into a case, or null for what there is not.
func TestReadIsTolerant(t *testing.T) {
	const allow = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	request := `"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"s3:GetObject","resource":{"resource":"arn:aws:s3:::b/k"}}`
	for name, data := range map[string]string{
		"comments":            `{"comment":"why","only":true,` + request + `,"identityPolicies":[{"name":"p","arn":"…","policy":` + allow + `}]}`,
		"null for everything": `{"name":null,"source":null,` + request + `,"identityPolicies":[null,` + allow + `],"resourcePolicy":null,"permissionBoundaries":null,"sessionPolicy":null,"serviceControlPolicies":null,"resourceControlPolicies":null,"endpointPolicies":null,"expected":null}`,
		"no layers":           `{` + request + `,"identityPolicies":[` + allow + `],"permissionBoundaries":[],"serviceControlPolicies":[],"resourceControlPolicies":[],"endpointPolicies":[]}`,
		"just the ARN":        `{"request":{"principal":{"arn":"arn:aws:iam::111122223333:user/a","tags":[]},"action":"S3:GETOBJECT","resource":"arn:aws:s3:::b/k","context":{"a":null},"unknown":null},"identityPolicies":[` + allow + `]}`,
		"short account ids":   `{"request":{"principal":"arn:aws:iam::88888:role/a","action":"s3:GetObject","resource":{"resource":"arn:aws:s3:::b/k","accountId":"12345"}},"identityPolicies":[` + allow + `],"resourcePolicy":{"Statement":{"Effect":"Allow","Principal":{"AWS":"88888"},"Action":"s3:GetObject","Resource":"*"}}}`,
		"boundaries of different versions": `{` + request + `,"identityPolicies":[` + allow + `],"permissionBoundaries":[
			{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}/*"}},` + allow + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			read, err := cases.Read(strings.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			result, err := read[0].Run()
			if err != nil {
				t.Fatal(err)
			}
			if result.Response != "Allowed" {
				t.Errorf("got %s", result.Response)
			}
		})
	}
}

// A policy of the old version has no variables, also when it is read as one
// layer with others.
func TestOldVersionsHaveNoVariables(t *testing.T) {
	const data = `{"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"s3:GetObject","resource":"arn:aws:s3:::a/k","context":{"aws:username":"a"}},
		"identityPolicies":[{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}],
		"permissionBoundaries":[{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*"}},
			{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}/*"}}]}`
	for from, want := range map[string]cases.Response{"2008-10-17": "ImplicitlyDenied", "2012-10-17": "Allowed"} {
		read, err := cases.Read(strings.NewReader(strings.Replace(data, "2008-10-17", from, 1)))
		if err != nil {
			t.Fatal(err)
		}
		result, err := read[0].Run()
		if err != nil {
			t.Fatal(err)
		}
		if result.Response != want {
			t.Errorf("version %s: got %s", from, result.Response)
		}
	}
}

// AWS reads a layer of several boundaries nowhere, other engines' cases do.
func TestSeveralBoundariesAreOneLayer(t *testing.T) {
	const data = `{"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"s3:GetObject","resource":{"resource":"arn:aws:s3:::b/k"}},
		"identityPolicies":[{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}],
		"permissionBoundaries":[{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*"}},
			{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}]}`
	read, err := cases.Read(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	result, err := read[0].Run()
	if err != nil {
		t.Fatal(err)
	}
	if result.Response != "Allowed" {
		t.Errorf("got %s", result.Response)
	}
}
