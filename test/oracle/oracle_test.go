package oracle

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/crossaccount/crossaccount/iam/eval/cases"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// An answer is what the other engine says.
type answer struct {
	Name     string   `json:"name"`
	Response string   `json:"response"`
	Error    string   `json:"error"`
	Ignored  []string `json:"ignored"` // context keys it does not know for the action
}

// ask installs the engine if need be and puts the cases to it.
func ask(t *testing.T, questions []cases.Case) []answer {
	t.Helper()
	node, npm := testenv.Tool(t, "node"), testenv.Tool(t, "npm")
	if _, err := os.Stat("node_modules/@cloud-copilot/iam-simulate/package.json"); err != nil {
		install := exec.CommandContext(t.Context(), npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
		if out, err := install.CombinedOutput(); err != nil {
			testenv.Missing(t, "npm", "npm cannot install the packages of test/oracle/package.json: "+string(out))
		}
	}
	input, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	run := exec.CommandContext(t.Context(), node, "simulate.mjs")
	run.Stdin, run.Stdout, run.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := run.Run(); err != nil {
		t.Fatalf("run simulate.mjs: %v\n%s", err, stderr.Bytes())
	}
	var answers []answer
	if err := json.Unmarshal(stdout.Bytes(), &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != len(questions) {
		t.Fatalf("asked %d questions, got %d answers", len(questions), len(answers))
	}
	return answers
}

// A difference is one that is known and explained.
type difference struct {
	Case   string `json:"case"`
	Theirs string `json:"theirs"` // its answer, or "error" if it refuses the question
	Why    string `json:"why"`
}

// TestConformanceCases asks the other engine all of our conformance cases.
func TestConformanceCases(t *testing.T) {
	files, err := filepath.Glob("../../iam/eval/cases/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conformance cases: %v", err)
	}
	var questions []cases.Case
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
		questions = append(questions, read...)
	}
	data, err := os.ReadFile("differences.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []difference
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	known := make(map[string]difference)
	for _, d := range list {
		if d.Why == "" {
			t.Errorf("%s: the difference is not explained", d.Case)
		}
		known[d.Case] = d
	}

	agreed := 0
	for i, theirs := range ask(t, questions) {
		ours, err := questions[i].Run()
		if err != nil {
			t.Fatal(err)
		}
		response := theirs.Response
		if theirs.Error != "" {
			response = "error"
		}
		d, explained := known[theirs.Name]
		delete(known, theirs.Name)
		switch {
		case response == string(ours.Response) && explained:
			t.Errorf("%s: both say %s; take it out of differences.json", theirs.Name, response)
		case response == string(ours.Response):
			agreed++
		case !explained:
			t.Errorf("%s: ours %s, theirs %s %s %v", theirs.Name, ours.Response, response, theirs.Error, theirs.Ignored)
		case d.Theirs != response:
			t.Errorf("%s: differences.json says that they answer %s, but they answer %s", theirs.Name, d.Theirs, response)
		}
	}
	for name := range known {
		t.Errorf("differences.json names %q, which is no case", name)
	}
	t.Logf("%d of %d cases agree, %d differences are explained", agreed, len(questions), len(list))
}

// TestDifferencesAreDocumented looks for every reason in docs/evaluation.md.
func TestDifferencesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/evaluation.md")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("differences.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []difference
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	reasons := []string{withoutTrustPolicy, userAndBoundary, sessionAndPolicy}
	for _, d := range list {
		reasons = append(reasons, d.Why)
	}
	for _, why := range reasons {
		if !bytes.Contains(page, []byte(why)) {
			t.Errorf("docs/evaluation.md does not explain %q", why)
		}
	}
}
