package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/internal/testenv"
)

// The program stops with an error at whatever does not go as it should; what it
// prints is what the README shows.
func TestStory(t *testing.T) {
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

// The code that the README shows is the code.
func TestReadmeShowsTheCode(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("ways.go")
	if err != nil {
		t.Fatal(err)
	}
	_, functions, ok := strings.Cut(string(code), "// byRole is")
	if !ok || !strings.Contains(string(readme), "```go\n// byRole is"+functions+"```\n") {
		t.Error("README.md does not show the functions of ways.go as they are")
	}
}

// What should be refused and is not is an error of the program, and so is what is
// refused for another reason.
func TestUnexpectedOutcomesFail(t *testing.T) {
	denied := &smithy.GenericAPIError{Code: "AccessDenied", Message: "User: a is not authorized to perform: b on resource: arn:aws:iam::111111111111:role/r"}
	for _, test := range []struct {
		name string
		step func(*story)
		want bool // an error
	}{
		{"works", func(s *story) { s.works("step", func() (string, error) { return "done", nil }) }, false},
		{"fails", func(s *story) { s.works("step", func() (string, error) { return "", denied }) }, true},
		{"refused", func(s *story) { s.refused("step", "AccessDenied", func() error { return denied }) }, false},
		{"refused for another reason", func(s *story) { s.refused("step", "NotFoundException", func() error { return denied }) }, true},
		{"failed without an answer", func(s *story) { s.refused("step", "AccessDenied", func() error { return errors.New("no answer") }) }, true},
		{"allowed", func(s *story) { s.refused("step", "AccessDenied", func() error { return nil }) }, true},
	} {
		s := &story{out: io.Discard}
		test.step(s)
		if (s.err != nil) != test.want {
			t.Errorf("%s: %v", test.name, s.err)
		}
	}
}
