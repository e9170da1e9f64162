package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// lintTemplate has an error, a warning, an accepted finding and something that
// cannot be read.
const lintTemplate = `Resources:
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - {Sid: Größe, Effect: Allow, Action: "s3:GetObjekt", Resource: "*"}
          # crossaccount:ignore GX-T09 only for tests
          - {Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}
  Later:
    Type: AWS::IAM::ManagedPolicy
    Properties: {PolicyDocument: !Ref Document}
`

func runLint(t *testing.T, args ...string) (code int, out, errors string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(context.Background(), append([]string{"lint"}, args...), Streams{In: strings.NewReader(lintTemplate), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestLintSARIFMatchesTheSchema(t *testing.T) {
	python := testenv.Python(t, "jsonschema")
	directory := t.TempDir()
	for name, data := range map[string]string{"a template, 50% done.yaml": lintTemplate, "broken.json": `{"Statement": [{"Effect": "Allow", "Action": ]}`, "unknown.json": "{}"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, _ := runLint(t, "--format", "sarif", directory, filepath.Join(directory, "unknown.json"))
	if code != ExitUsage {
		t.Errorf("exit code %d, want %d, as unknown.json was named and is nothing to lint", code, ExitUsage)
	}
	log := filepath.Join(directory, "log.sarif")
	if err := os.WriteFile(log, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	const program = `
import json, sys, jsonschema
schema, log = (json.load(open(name)) for name in sys.argv[1:])
errors = list(jsonschema.Draft4Validator(schema).iter_errors(log))
for e in errors: print(list(e.absolute_path), e.message[:300])
sys.exit(bool(errors))`
	if message, err := exec.CommandContext(t.Context(), python, "-c", program, "testdata/sarif-schema-2.1.0.json", log).CombinedOutput(); err != nil {
		t.Errorf("not SARIF 2.1.0: %v\n%s", err, message)
	}

	var report sarifLog
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	run := report.Runs[0]
	accepted, notes := 0, len(run.Invocations[0].Notifications)
	for _, r := range run.Results {
		if rule := run.Tool.Driver.Rules[r.RuleIndex]; rule.ID != r.RuleID || rule.Help.Markdown == "" {
			t.Errorf("result of %s names the rule %+v", r.RuleID, rule)
		}
		for _, s := range r.Suppressions {
			accepted++
			if s.Kind != "inSource" || s.Justification != "only for tests" {
				t.Errorf("accepted as %+v", s)
			}
		}
		if uri := r.Locations[0].Physical.Artifact.URI; strings.Contains(uri, " ") || !strings.HasPrefix(uri, "file:///") {
			t.Errorf("the location is %q", uri)
		}
	}
	if accepted != 1 || notes != 2 || run.Invocations[0].Successful {
		t.Errorf("%d accepted, %d notes, successful %t; want 1, 2 and false", accepted, notes, run.Invocations[0].Successful)
	}
}

// Columns are counted in characters, so that editors find the place.
func TestLintColumns(t *testing.T) {
	_, out, _ := runLint(t, "--json", "-")
	var report struct {
		Findings []struct {
			ID       string
			Position struct{ Line, Column int }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	line := strings.Split(lintTemplate, "\n")[7]
	want := len([]rune(line[:strings.Index(line, `"s3:GetObjekt"`)])) + 1
	for _, f := range report.Findings {
		if f.ID == "GX-A02" && f.Position.Line == 8 && f.Position.Column == want {
			return
		}
	}
	t.Errorf("nothing found at 8:%d: %+v", want, report.Findings)
}

// The same files give the same bytes, however many workers there are.
func TestLintIsDeterministic(t *testing.T) {
	directory := t.TempDir()
	for i := range 40 {
		name := filepath.Join(directory, strings.Repeat("x", i%7)+string(rune('a'+i%26))+".yaml")
		if err := os.WriteFile(name, []byte(lintTemplate), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, first, _ := runLint(t, "--format", "json", directory)
	for range 5 {
		if _, again, _ := runLint(t, "--format", "json", directory); again != first {
			t.Fatal("the output differs from run to run")
		}
	}
}

func TestFileSuppressionConcerns(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "a/b.yaml", true},
		{"*.yaml", "a/b.yaml", true},
		{"b.yaml", "a/b.yaml", true},
		{"a/*.yaml", "x/a/b.yaml", true},
		{"a/*.yaml", "b.yaml", false},
		{"*.json", "a/b.yaml", false},
	} {
		if got := (&fileSuppression{file: test.pattern}).concerns(test.name); got != test.want {
			t.Errorf("%q concerns %q: %t, want %t", test.pattern, test.name, got, test.want)
		}
	}
}

// Many findings in one line are counted from where the last one was, also when
// they go back.
func TestColumnsGoForwardAndBack(t *testing.T) {
	c := newColumns([]byte("ßa€b\nxé"))
	for _, test := range []struct{ line, column, want int }{
		{1, 3, 2}, {1, 4, 3}, {1, 7, 4}, {1, 3, 2}, {2, 2, 2}, {1, 4, 3}, {2, 4, 3}, {2, 99, 3}, {9, 5, 5}, {0, 0, 0},
	} {
		if got := c.inCharacters(iam.Position{Line: test.line, Column: test.column}); got.Column != test.want {
			t.Errorf("byte %d of line %d is column %d, want %d", test.column, test.line, got.Column, test.want)
		}
	}
}

// An interrupted run ends at once and prints no half of a report.
func TestLintIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe() // the worker waits for it
	defer writer.Close()
	var stdout bytes.Buffer
	done := make(chan int)
	go func() {
		done <- Main(ctx, []string{"lint", "-"}, Streams{In: reader, Out: &stdout, Err: io.Discard})
	}()
	if _, err := writer.Write([]byte("{")); err != nil { // it is being read
		t.Fatal(err)
	}
	cancel()
	if code := <-done; code != ExitUndetermined || stdout.Len() > 0 {
		t.Errorf("exit code %d and %q, want %d and nothing", code, stdout.String(), ExitUndetermined)
	}
}
