package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/template/cfn"
)

func readme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The program stops with an error at whatever does not go as it should; what it
// prints is what the README shows.
func TestStory(t *testing.T) {
	testenv.IsolateAWS(t)
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\nafter\n%s", err, &out)
	}
	if !strings.Contains(readme(t), "```\n"+out.String()+"```\n") {
		t.Errorf("the README shows other lines than the program says:\n%s", &out)
	}
}

// The task that the README shows is the one that the plan has.
func TestReadmeShowsTheTask(t *testing.T) {
	_, shown, ok := strings.Cut(readme(t), "```json\n")
	shown, _, ended := strings.Cut(shown, "\n```\n")
	if !ok || !ended {
		t.Fatal("the README shows no task")
	}
	m, err := grant.Parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := grant.Compile(m, grant.Options{Format: grant.CloudFormation})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, s := range plan.Stacks() {
		body, err := cfn.Write(s.Template)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(body)
	}
	flat := func(s string) string { return strings.Join(strings.Fields(s), "") }
	if !strings.Contains(flat(all.String()), flat(shown)) {
		t.Errorf("the plan does not have\n%s", shown)
	}
}

// What comes out otherwise than it should is an error of the program.
func TestUnexpectedOutcomesFail(t *testing.T) {
	s := &story{out: io.Discard}
	denied := &smithy.GenericAPIError{Code: "AccessDeniedException"}
	for _, test := range []struct {
		name, got string
		want      bool // an error
	}{
		{"refused", codeOf(denied), false},
		{"allowed", codeOf(nil), true},
		{"failed without an answer", codeOf(errors.New("no answer")), true},
	} {
		if err := s.say(test.name, test.got, "AccessDenied"); (err != nil) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestAnonymous(t *testing.T) {
	const message = "User: arn:aws:sts::111111111111:assumed-role/r/AbC is not authorized to perform: a on resource: arn:aws:states:us-east-1:111111111111:stateMachine:m (Service: Sfn, Status Code: 400)"
	const want = "User: arn:aws:sts::111111111111:assumed-role/r/… is not authorized to perform: a on resource: arn:aws:states:us-east-1:111111111111:stateMachine:m"
	if got := anonymous(message); got != want {
		t.Error(got)
	}
}
