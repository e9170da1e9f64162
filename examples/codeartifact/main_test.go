package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/internal/testenv"
)

// TestScenario is the README's, with the real aws command, npm and pip. The
// program stops with an error at the first step that does not go as it should.
func TestScenario(t *testing.T) {
	for _, tool := range []string{"aws", "node", "npm"} {
		testenv.Tool(t, tool)
	}
	testenv.Python(t, "pip")
	testenv.IsolateAWS(t)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\nafter\n%s", err, &out)
	}
	if !strings.Contains(string(readme), "```\n"+out.String()+"```\n") {
		t.Errorf("the README shows other lines than the program says:\n%s", &out)
	}
}

// What should be refused and is not fails the scenario, and so does what fails
// for another reason.
func TestUnexpectedOutcomesFail(t *testing.T) {
	w := &world{out: io.Discard}
	failure := errors.New("An error occurred (AccessDenied)")
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"done", w.ok(nil, "step"), true},
		{"failed", w.ok(failure, "step"), false},
		{"refused", w.refused(failure, "AccessDenied", "step"), true},
		{"refused for another reason", w.refused(failure, "E403", "step"), false},
		{"allowed", w.refused(nil, "AccessDenied", "step"), false},
	} {
		if (test.err == nil) != test.want {
			t.Errorf("%s: %v", test.name, test.err)
		}
	}
}
