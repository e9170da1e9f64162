package script_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/internal/stacktest"
	"github.com/crossaccount/crossaccount/template/script"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestWriteGolden(t *testing.T) {
	got, err := script.Write(stacktest.Full())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "full.sh")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
	}
}

// fakeAWS stands in for the aws CLI. It appends its arguments, each ended by
// NUL and the call by a further one, to the file "calls"; knows who is calling;
// and has nothing of what the script looks for, unless FAKE_FAIL names an
// operation that must fail.
const fakeAWS = `#!/bin/sh
for argument in "$@"; do printf '%s\000' "$argument" >>calls; done
printf '\000' >>calls
case "$2" in
  "$FAKE_FAIL") echo 'An error occurred (AccessDenied)' >&2; exit 254 ;;
  get-caller-identity) echo "arn:$FAKE_PARTITION:iam::$FAKE_ACCOUNT:user/admin" ;;
  get-role|get-policy) echo 'An error occurred (NoSuchEntity) when calling' >&2; exit 254 ;;
esac
`

// A machine is a folder with a fake aws CLI in which scripts run.
type machine struct {
	dir    string
	values map[string]string
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "aws"), []byte(fakeAWS), 0o755); err != nil {
		t.Fatal(err)
	}
	return &machine{dir: dir, values: stacktest.Values()}
}

// run runs a script with sh and returns the calls it made.
func (m *machine) run(text []byte, env []string, args ...string) (calls [][]string, stdout string, err error) {
	if err := os.WriteFile(filepath.Join(m.dir, "script.sh"), text, 0o644); err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(filepath.Join(m.dir, "calls"), nil, 0o644); err != nil {
		return nil, "", err
	}
	cmd := exec.Command("sh", append([]string{"script.sh"}, args...)...)
	cmd.Dir = m.dir
	cmd.Env = append([]string{
		"PATH=" + filepath.Join(m.dir, "bin") + ":/usr/bin:/bin",
		"FAKE_PARTITION=" + m.values["AWS::Partition"], "FAKE_ACCOUNT=" + m.values["AWS::AccountId"],
		"AWS_REGION=" + m.values["AWS::Region"], "FAKE_FAIL=-",
	}, env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, out.String(), fmt.Errorf("%w: %s", err, problems.String())
	}
	if problems.Len() > 0 {
		return nil, out.String(), fmt.Errorf("the script complains: %s", problems.String())
	}
	data, err := os.ReadFile(filepath.Join(m.dir, "calls"))
	if err != nil {
		return nil, "", err
	}
	for _, call := range strings.Split(strings.TrimSuffix(string(data), "\x00\x00"), "\x00\x00") {
		calls = append(calls, strings.Split(call, "\x00"))
	}
	return calls, out.String(), nil
}

// operations are the calls of one IAM operation, decoded.
func operations(t testing.TB, calls [][]string, name string) []map[string]any {
	t.Helper()
	var inputs []map[string]any
	for _, call := range calls {
		if call[1] != name {
			continue
		}
		if len(call) != 4 || call[0] != "iam" || call[2] != "--cli-input-json" {
			t.Fatalf("unexpected call %q", call)
		}
		var input map[string]any
		if err := json.Unmarshal([]byte(call[3]), &input); err != nil {
			t.Fatalf("input of %s: %v\n%s", name, err, call[3])
		}
		inputs = append(inputs, input)
	}
	return inputs
}

// No text of a stack becomes a command, and every text arrives as it is.
func TestScriptsMeanTheSame(t *testing.T) {
	m := newMachine(t)
	rapid.Check(t, func(rt *rapid.T) {
		stack, values := stacktest.Hostile(rt)
		text, err := script.Write(stack)
		if err != nil {
			rt.Fatal(err)
		}
		want, err := stack.Resolve(values)
		if err != nil {
			rt.Fatal(err)
		}
		var args []string
		if value, ok := values["Value"]; ok {
			args = []string{"--value", value}
		}
		calls, stdout, err := m.run(text, nil, args...)
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		entries, err := os.ReadDir(m.dir)
		if err != nil {
			rt.Fatal(err)
		}
		for _, e := range entries {
			if !slices.Contains([]string{"bin", "calls", "script.sh"}, e.Name()) {
				rt.Fatalf("a text became a command: it made %q\n%s", e.Name(), text)
			}
		}
		compare(t, calls, want)
		var lines strings.Builder
		for _, o := range want.Outputs {
			fmt.Fprintf(&lines, "%s: %s\n", o.ID, o.Value)
		}
		if diff := cmp.Diff(lines.String(), stdout); diff != "" {
			rt.Fatalf("outputs: %s", diff)
		}
	})
}

// compare compares the calls that create with the resolved stack.
func compare(t testing.TB, calls [][]string, want *template.Stack) {
	t.Helper()
	document := func(v any) string {
		p, err := iam.ParsePolicy([]byte(v.(string)))
		if err != nil {
			t.Fatalf("%v\n%s", err, v)
		}
		return string(p.Canonical())
	}
	got, expected := map[string]any{}, map[string]any{}
	for _, input := range operations(t, calls, "create-role") {
		input["AssumeRolePolicyDocument"] = document(input["AssumeRolePolicyDocument"])
		got["role "+input["RoleName"].(string)] = input
	}
	for _, input := range operations(t, calls, "put-role-policy") {
		got["inline "+input["PolicyName"].(string)] = document(input["PolicyDocument"])
	}
	for _, input := range operations(t, calls, "create-policy") {
		input["PolicyDocument"] = document(input["PolicyDocument"])
		got["policy "+input["PolicyName"].(string)] = input
	}
	var attached, expectedAttached []string
	for _, input := range operations(t, calls, "attach-role-policy") {
		attached = append(attached, fmt.Sprint(input["RoleName"], " ", input["PolicyArn"]))
	}
	values := stacktest.Values()
	for _, r := range want.Resources {
		switch k := r.Kind.(type) {
		case *template.Role:
			input := map[string]any{"RoleName": k.Name, "AssumeRolePolicyDocument": string(k.Trust.Canonical())}
			for name, text := range map[string]string{"Path": k.Path, "Description": k.Description, "PermissionsBoundary": k.PermissionsBoundary} {
				if text != "" {
					input[name] = text
				}
			}
			if k.MaxSessionDuration != 0 {
				input["MaxSessionDuration"] = float64(k.MaxSessionDuration)
			}
			var tags []any
			for _, tag := range k.Tags {
				tags = append(tags, map[string]any{"Key": tag.Key, "Value": tag.Value})
			}
			if tags != nil {
				input["Tags"] = tags
			}
			expected["role "+k.Name] = input
			for _, p := range k.Inline {
				expected["inline "+p.Name] = string(p.Document.Canonical())
			}
			for _, arn := range k.ManagedPolicyARNs {
				expectedAttached = append(expectedAttached, k.Name+" "+arn)
			}
		case *template.ManagedPolicy:
			input := map[string]any{"PolicyName": k.Name, "PolicyDocument": string(k.Document.Canonical()), "Path": k.Path}
			if k.Description != "" {
				input["Description"] = k.Description
			}
			expected["policy "+k.Name] = input
			for _, id := range k.Roles {
				role, _ := want.Resource(id)
				arn := fmt.Sprintf("arn:%s:iam::%s:policy%s%s", values["AWS::Partition"], values["AWS::AccountId"], k.Path, k.Name)
				expectedAttached = append(expectedAttached, role.Kind.(*template.Role).Name+" "+arn)
			}
		}
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Fatalf("-resolved stack +calls:\n%s", diff)
	}
	if diff := cmp.Diff(expectedAttached, attached); diff != "" {
		t.Fatalf("-resolved stack +attachments:\n%s", diff)
	}
}

func TestFullScriptMeansTheSame(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		change map[string]string
	}{
		"defaults": {[]string{"apply"}, nil},
		"rotation": {[]string{"--previous", "older-id"}, map[string]string{"Previous": "older-id"}},
		"done":     {[]string{"--phase", "it's done", "--limit", "5"}, map[string]string{"Phase": "it's done", "Limit": "5"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			maps.Copy(m.values, test.change)
			text, err := script.Write(stacktest.Full())
			if err != nil {
				t.Fatal(err)
			}
			calls, _, err := m.run(text, nil, append(test.args, "--external-id", m.values["ExternalId"])...)
			if err != nil {
				t.Fatal(err)
			}
			want, err := stacktest.Full().Resolve(m.values)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, calls, want)
		})
	}
}

func TestScriptRefusesIllegalValues(t *testing.T) {
	m := newMachine(t)
	text, err := script.Write(stacktest.Full())
	if err != nil {
		t.Fatal(err)
	}
	id := []string{"--external-id", "ok-id"}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no external id":       {nil, "--external-id is required"},
		"pattern":              {[]string{"--external-id", "secret;id"}, "--external-id must be 2 to 64 letters"},
		"a legal second line":  {[]string{"--external-id", "secret;\nid"}, "control character"},
		"too short":            {[]string{"--external-id", "x"}, "2 to 64 characters"},
		"empty":                {[]string{"--external-id", ""}, "2 to 64 characters"},
		"too long":             {[]string{"--external-id", strings.Repeat("secret", 20)}, "2 to 64 characters"},
		"not an allowed value": {append(id, "--phase", "secret"), "--phase must be one of setup, it's done, neither"},
		"not a number":         {append(id, "--limit", "secret"), "--limit must be"},
		"no value":             {append(id, "--phase"), "--phase needs a value"},
		"unknown option":       {append(id, "--secret"), "usage:"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, stdout, err := m.run(text, nil, test.args...)
			if err == nil {
				t.Fatalf("the script accepts it and makes %d calls", len(calls))
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want it to say %q", err, test.says)
			}
			if strings.Contains(err.Error()+stdout, "secret") {
				t.Errorf("the value is repeated: %v", err)
			}
			if made, _ := os.ReadFile(filepath.Join(m.dir, "calls")); len(made) > 0 {
				t.Errorf("it calls aws before it has checked everything: %q", made)
			}
		})
	}
}

// A script must not say that something is gone because it may not look.
func TestScriptStopsWhenAWSFails(t *testing.T) {
	m := newMachine(t)
	text, err := script.Write(stacktest.Full())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]string{
		"get-policy":                  {"remove"},
		"get-role":                    {"remove"},
		"get-caller-identity":         {"remove"},
		"create-role":                 {"apply", "--external-id", "ok-id"},
		"list-attached-role-policies": {"apply", "--external-id", "ok-id"},
		"attach-role-policy":          {"apply", "--external-id", "ok-id"},
	}
	for operation, args := range tests {
		t.Run(operation, func(t *testing.T) {
			_, stdout, err := m.run(text, []string{"FAKE_FAIL=" + operation}, args...)
			if err == nil {
				t.Errorf("the script ends well although %s fails", operation)
			}
			if stdout != "" {
				t.Errorf("it says %q", stdout)
			}
		})
	}
}

func TestHelpAndRemoveNeedNoExternalID(t *testing.T) {
	m := newMachine(t)
	text, err := script.Write(stacktest.Full())
	if err != nil {
		t.Fatal(err)
	}
	if _, stdout, err := m.run(text, nil, "--help"); err != nil || !strings.Contains(stdout, "--external-id VALUE  Yours (required)") {
		t.Errorf("--help: %v\n%s", err, stdout)
	}
	if _, stdout, err := m.run(text, nil, "remove"); err != nil || stdout != "Removed.\n" {
		t.Errorf("remove: %v, %q", err, stdout)
	}
}

func TestWriteRefusesAnIllegalStack(t *testing.T) {
	s := stacktest.Full()
	s.Resources = nil
	var e *template.Error
	if _, err := script.Write(s); !errors.As(err, &e) {
		t.Errorf("error %v, want a *template.Error", err)
	}
}

// FuzzText puts one text everywhere a text can be.
func FuzzText(f *testing.F) {
	for _, s := range []string{"$(touch pwned)", "'; touch pwned; '", "`touch pwned`", "\\", "a\nb", "-", "file:///etc/passwd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		stack := stacktest.Full()
		stack.Description = s
		stack.Metadata.Version = s
		stack.Parameters[1].Description = s
		stack.Parameters[2].AllowedValues = append(stack.Parameters[2].AllowedValues, s)
		stack.Resources[0].Kind.(*template.Role).Description = s
		stack.Resources[1].Kind.(*template.ManagedPolicy).Document.Statements[0].Resource = []string{"arn:aws:s3:::" + s}
		stack.Outputs[1].Value = s + "x"
		text, err := script.Write(stack)
		if err != nil {
			t.Skip() // not a legal stack
		}
		m := newMachine(t)
		calls, _, err := m.run(text, nil, "--external-id", m.values["ExternalId"])
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want, err := stack.Resolve(m.values)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, calls, want)
		if _, err := os.Stat(filepath.Join(m.dir, "pwned")); err == nil {
			t.Fatalf("a text became a command\n%s", text)
		}
	})
}
