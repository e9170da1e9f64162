package eval_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
	"github.com/crossaccount/crossaccount/iam/eval/cases"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestExplanations compares the text and the JSON of the cases in
// testdata/explain with the golden files beside them and in its folder json.
// Programs read the JSON: a field may be added, none may change.
func TestExplanations(t *testing.T) {
	files, err := filepath.Glob("testdata/explain/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			read, err := cases.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			in, err := read[0].Input()
			if err != nil {
				t.Fatal(err)
			}
			x := eval.Explain(in)
			compareGolden(t, strings.TrimSuffix(file, ".json")+".txt", x.String())
			data, err := json.MarshalIndent(x, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, filepath.Join("testdata/explain/json", filepath.Base(file)), string(data)+"\n")
		})
	}
}

func compareGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: the explanation changed (-want +got); run with -update if it is better:\n%s", golden, diff)
	}
}

// External IDs are shared secrets; explanations end up in tickets and logs.
func TestExternalIDsNeverShow(t *testing.T) {
	const secret, wrong = "vendor-5e1f0c9d", "vendor-00000000"
	trust := mustCompile(t, iam.KindTrust, "trust", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"`+secret+`"}}},
		{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{"StringLike":{"STS:externalid":["`+secret+`-*","${sts:ExternalId}x"]},"Bool":{"aws:SecureTransport":"true"}}},
		{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"ForAnyValue:StringEquals":{"sts:ExternalId":"`+secret+`-old"}}}]}`)
	identity := mustCompile(t, iam.KindIdentity, "admin", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	for name, set := range map[string]func(*iam.Context){
		"wrong":   func(c *iam.Context) { c.Set("sts:ExternalId", wrong) },
		"right":   func(c *iam.Context) { c.Set("sts:ExternalId", secret) },
		"denied":  func(c *iam.Context) { c.Set("sts:ExternalId", secret+"-old") },
		"multi":   func(c *iam.Context) { c.SetMulti("sts:ExternalId", wrong, secret) },
		"missing": func(*iam.Context) {},
		"unknown": func(c *iam.Context) { c.SetUnknown("sts:ExternalId") },
	} {
		t.Run(name, func(t *testing.T) {
			r := &iam.Request{Principal: callers[1], Action: "sts:AssumeRole", Resource: "arn:aws:iam::444455556666:role/target"}
			set(&r.Context)
			x := eval.Explain(&eval.Input{Request: r, Identity: []*eval.Policy{identity}, Resource: trust})
			data, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			text := x.String() + string(data)
			for _, c := range x.Changes {
				text += c.String()
			}
			if strings.Contains(text, "vendor-") {
				t.Errorf("the explanation shows an external ID:\n%s", text)
			}
			stranger := *r
			stranger.Principal.ARN, stranger.Principal.Account = "arn:aws:iam::777788889999:role/other", "777788889999"
			x = eval.Explain(&eval.Input{Request: &stranger, Identity: []*eval.Policy{identity}, Resource: trust})
			if data, err = json.Marshal(x); err != nil {
				t.Fatal(err)
			}
			if name == "right" && (len(x.Changes) != 1 || x.Changes[0].Edit == nil) {
				t.Errorf("no edit is suggested that makes the trust policy name another role:\n%s", data)
			}
			if text := x.String() + string(data); strings.Contains(text, "vendor-") {
				t.Errorf("the explanation for a stranger shows an external ID:\n%s", text)
			}
			x = eval.Explain(&eval.Input{Request: r, Identity: []*eval.Policy{identity}, Resource: trust})
			if name == "wrong" && !strings.Contains(x.String(), "(hidden)") {
				t.Errorf("the explanation does not say that something is hidden:\n%s", x)
			}
		})
	}
}

// The statement to add is meant for this request only, even if the name of an
// object looks like a pattern.
func TestChangesAreExact(t *testing.T) {
	r := &iam.Request{Principal: callers[1], Action: "s3:GetObject", Resource: "arn:aws:s3:::data/${x}/*?", ResourceAccount: account}
	x := eval.Explain(&eval.Input{Request: r})
	if len(x.Changes) != 1 {
		t.Fatalf("%d changes, want 1\n%s", len(x.Changes), x)
	}
	data, err := json.Marshal(x.Changes[0])
	if err != nil {
		t.Fatal(err)
	}
	var change struct {
		Text   string
		Policy json.RawMessage
	}
	if err := json.Unmarshal(data, &change); err != nil {
		t.Fatal(err)
	}
	in := &eval.Input{Request: r, Identity: []*eval.Policy{mustCompile(t, iam.KindIdentity, "new", string(change.Policy))}}
	if d := eval.Decide(in); d.Verdict != eval.Allowed {
		t.Errorf("%s: got %s", data, d.Verdict)
	}
	for _, other := range []string{"arn:aws:s3:::data/${x}/ab", "arn:aws:s3:::data/${x}/*b", "arn:aws:s3:::data//*?"} {
		wider := *r
		wider.Resource = other
		in.Request = &wider
		if d := eval.Decide(in); d.Verdict != eval.ImplicitlyDenied {
			t.Errorf("the change also covers %s: %s", other, d.Verdict)
		}
	}
	if want := "in the principal's account, allow s3:GetObject on arn:aws:s3:::data/${$}{x}/${*}${?} in the identity policy"; change.Text != want {
		t.Errorf("text %q, want %q", change.Text, want)
	}
}
