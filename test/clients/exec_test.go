package clients_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/internal/cli"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// TestExecAcrossExpiries lets a program of boto3's run for several sessions under
// crossaccount exec, which gets them from a credentials endpoint. The program
// renews them by itself, knows nothing but the address and token of exec, and no
// request of its meets an expired session.
func TestExecAcrossExpiries(t *testing.T) {
	python := testenv.Python(t, "boto3")
	c := newContainer(t)
	for _, entry := range c.environment(t, "acme", true) {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "PYTHON") {
			t.Setenv(name, value)
		}
	}
	t.Setenv("BUCKET", c.Bucket)
	t.Setenv("KEY", c.Readable)
	t.Setenv("SESSIONS", fmt.Sprint(sessionsCrossed))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(c.token), 0o600); err != nil {
		t.Fatal(err)
	}
	exec := func(customer string, command ...string) (code int, out, problems string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		args := append([]string{"exec", customer, "--region", c.Region, "--endpoint", c.credentials, "--token-file", token, "--"}, command...)
		code = cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
		return code, stdout.String(), stderr.String()
	}
	code, out, problems := exec("acme", python, "testdata/containers/cross.py")
	var got crossing
	if err := json.Unmarshal([]byte(out), &got); code != cli.ExitDone || err != nil {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, problems)
	}
	if want := "arn:aws:sts::" + customerID + ":assumed-role/reader/container"; got.Identity != want || got.Body != content {
		t.Errorf("got %q and %q, want %q and %q", got.Identity, got.Body, want, content)
	}
	if got.Sessions < sessionsCrossed || c.sessions() < sessionsCrossed {
		t.Errorf("the program used %d sessions and AWS saw %d, want %d", got.Sessions, c.sessions(), sessionsCrossed)
	}
	c.mu.Lock()
	if c.refused > 0 {
		t.Errorf("%d requests came with a session that had expired", c.refused)
	}
	c.mu.Unlock()
	t.Logf("%d calls with %d sessions", got.Calls, c.sessions())

	// The token that may not be seen is not, and what it is not for does not begin.
	code, out, problems = exec("acme", "env")
	if code != cli.ExitDone || strings.Contains(out, c.token) || strings.Contains(out, token) || !strings.Contains(out, "AWS_CONTAINER_AUTHORIZATION_TOKEN=") {
		t.Errorf("exit code %d, %s\n%s", code, problems, strings.ReplaceAll(out, c.token, "THE TOKEN"))
	}
	for customer, want := range map[string]string{"gone": "no longer in use", "globex": "the token is not for this customer"} {
		if code, out, problems := exec(customer, "echo", "ran"); code != cli.ExitNo || strings.Contains(out, "ran") || !strings.Contains(problems, want) {
			t.Errorf("%s: exit code %d, %s%s", customer, code, out, problems)
		}
	}
}
