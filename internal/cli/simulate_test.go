package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/iam/eval/cases"
	"github.com/crossaccount/crossaccount/internal/cli"
)

// run runs a command and returns its exit code and output.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// Our conformance cases are decided through the command as they are by the
// package, in the order of the file.
func TestSimulateConformance(t *testing.T) {
	files, err := filepath.Glob("../../iam/eval/cases/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conformance cases found: %v", err)
	}
	total := 0
	for _, file := range files {
		code, out, errs := run(t, "", "simulate", "--json", "-f", file)
		if code != cli.ExitDone {
			t.Errorf("%s: exit code %d\n%s", file, code, errs)
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		written, err := cases.Read(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		var results []cases.Result
		if err := json.Unmarshal([]byte(out), &results); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(results) != len(written) {
			t.Fatalf("%s: %d results for %d cases", file, len(results), len(written))
		}
		for i, c := range written {
			if results[i].Name != c.Name || results[i].Response != c.Expected.Response || results[i].Expected != c.Expected.Response {
				t.Errorf("%s: case %d: got %+v, want %q to be %s", file, i, results[i], c.Name, c.Expected.Response)
			}
		}
		total += len(results)
	}
	if total < 300 {
		t.Errorf("there were %d cases; at least 300 are promised", total)
	}
}

const simulateRequest = `"request":{"principal":"arn:aws:iam::111122223333:user/a","action":"s3:GetObject","resource":{"resource":"arn:aws:s3:::b/k"}}`

// Whatever is wrong with a case, its number, field and line are named.
func TestSimulateRefuses(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"nothing":           {"", "there is nothing in it"},
		"cut off":           {"[\n{" + simulateRequest, "line 2: case 0: the JSON ends too early"},
		"no comma":          {"[{" + simulateRequest + "}\n\n{", "line 3: case 1: "},
		"more after":        {"{" + simulateRequest + "}\n{}", "line 2: there is more"},
		"not an object":     {"[\n{" + simulateRequest + "},\n3]", "standard input:3: case 1: must be an object"},
		"field":             {"{" + simulateRequest + ",\n\"identityPolicy\":[]}", "standard input:2: case 0: identityPolicy: is unknown"},
		"twice":             {"{" + simulateRequest + ",\"identityPolicies\":[],\n\"identityPolicies\":[]}", "standard input:2: case 0: identityPolicies: is there twice"},
		"name":              {"[{\"name\":\"one\"," + simulateRequest + ",\n\"source\":1}]", `standard input:2: case 0 ("one"): source: must be a JSON string, not a number`},
		"principal":         {`{"request":{` + "\n" + `"principal":"alice","action":"a:b","resource":{"resource":"*"}}}`, `standard input:2: case 0: request.principal: principal "alice" is neither`},
		"account":           {`{"request":{"resource":{"resource":"*",` + "\n" + `"accountId":[]}}}`, "standard input:2: case 0: request.resource.accountId: "},
		"context":           {`{"request":{"context":{"a":"b",` + "\n\n" + `"c":{}}}}`, "standard input:3: case 0: request.context.c: a context value must be"},
		"policy":            {"{" + simulateRequest + ",\"identityPolicies\":[{},\n{\"name\":\"p\",\n\"policy\":{\"Statement\":[\n{\"Effect\":\"allow\"}]}}]}", "case 0: identityPolicies["},
		"statement":         {"{" + simulateRequest + ",\"sessionPolicy\":{\"Statement\":[\n{\"Effect\":\"Allow\",\"Actoin\":\"*\",\"Resource\":\"*\"}]}}", "standard input:2: case 0: sessionPolicy.Statement[0]: unknown element \"Actoin\""},
		"principal in SCP":  {"{" + simulateRequest + ",\"serviceControlPolicies\":[{\"policies\":[\n{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":\"*\"}]}]}]}", "standard input:2: case 0: serviceControlPolicies[0].policies[0].Statement[0].Principal: "},
		"level":             {"{" + simulateRequest + ",\"resourceControlPolicies\":[\n{\"polices\":[]}]}", "standard input:2: case 0: resourceControlPolicies[0].polices: is unknown"},
		"expected":          {"{" + simulateRequest + ",\n\"expected\":{\"response\":\"Yes\"}}", `standard input:2: case 0: expected.response: "Yes" is none of`},
		"expected is text":  {"{" + simulateRequest + ",\n\"expected\":\"Allowed\"}", "standard input:2: case 0: expected: must be an object"},
		"nothing requested": {"{\"name\":\"x\",\n\"request\":{\"principal\":\"s3.amazonaws.com\"}}", `standard input:2: case 0 ("x"): request: the request needs an action and a resource`},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := run(t, test.in, "simulate", "-f", "-")
			if code != cli.ExitUsage || !strings.Contains(errs, test.want) {
				t.Errorf("exit code %d, want 2; standard error lacks %q:\n%s", code, test.want, errs)
			}
		})
	}
}

// One malformed case leaves the others where they are.
func TestSimulateMalformedKeepsItsPlace(t *testing.T) {
	in := "[{\"name\":\"first\"," + simulateRequest + "},\n{\"name\":\"second\"},\n{\"name\":\"third\"," + simulateRequest + `,"expected":{"response":"Allowed"}}]`
	code, out, _ := run(t, in, "simulate", "--json", "-f", "-")
	if code != cli.ExitUsage {
		t.Errorf("exit code %d", code)
	}
	var got []struct {
		Name, Response, Error string
		Line                  int
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Error != "" {
			got[i].Error = "yes"
		}
	}
	want := got[:0:0]
	want = append(want, got...)
	want[0].Name, want[0].Response = "first", "ImplicitlyDenied"
	want[1].Name, want[1].Response, want[1].Error, want[1].Line = "second", "", "yes", 2
	want[2].Name, want[2].Response = "third", "ImplicitlyDenied"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Anything may be given to the command; it answers or refuses.
func FuzzSimulate(f *testing.F) {
	f.Add("[{" + simulateRequest + "}]")
	f.Add("{" + simulateRequest + `,"identityPolicies":[{"Version":"2012-10-17"}],"expected":{"response":"Depends"}}`)
	f.Add(`[{"request":null},{"request":{"context":{"a":[1,true]}}}]`)
	f.Fuzz(func(t *testing.T, in string) {
		code, out, errs := run(t, in, "simulate", "--json", "-f", "-")
		if code == cli.ExitDone && !json.Valid([]byte(out)) {
			t.Errorf("the output is no JSON:\n%s", out)
		}
		if code != cli.ExitDone && errs == "" || code > cli.ExitUsage {
			t.Errorf("exit code %d, standard error %q", code, errs)
		}
	})
}
