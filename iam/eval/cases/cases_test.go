package cases_test

import (
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
