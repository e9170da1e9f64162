package templates

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// everything is a variant with all that a stack can have, and with texts that
// try to be something else.
func everything() variant {
	var all variant
	for _, v := range grid() {
		switch v.name {
		case "text that means something to templates":
			v.options, v.tags, v.boundary, v.narrowed = all.options, all.tags, all.boundary, all.narrowed
			all = v
		case "boundary of the customer":
			all.options, all.boundary = append(all.options, v.options...), v.boundary
		case "tags":
			all.options, all.tags = append(all.options, v.options...), v.tags
		case "broker and probe role":
			all.options, all.narrowed = append(all.options, v.options...), v.narrowed
		}
	}
	all.name = "everything"
	return all
}

// A customer is an account of a sandbox served over HTTP, with a folder in
// which programs run that know nothing but it.
type customer struct {
	config aws.Config
	env    []string
	dir    string
}

func newCustomer(t *testing.T, v variant) *customer {
	t.Helper()
	box := sandboxtest.New(t, vendorAccount, customerAccount)
	account := box.Account(customerAccount)
	c := &customer{config: account.Config(), env: box.Environment(box.Serve(), account.Root()), dir: t.TempDir()}
	if name, ok := strings.CutPrefix(v.boundary, "arn:aws:iam::"+customerAccount+":policy/boundaries/"); ok {
		createBoundary(t, c.config, name)
	}
	return c
}

// run runs a program and returns what it prints.
func (c *customer) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, problems.String())
	}
	return string(out)
}

func (c *customer) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The script creates with the aws CLI what CloudFormation creates, changes it,
// and leaves nothing behind.
func TestScript(t *testing.T) {
	testenv.Tool(t, "aws")
	v := everything()
	c := newCustomer(t, v)
	c.write(t, "connect.sh", v.write(t, crossaccount.FormatScript))
	now := func(printed string) account {
		t.Helper()
		outputs := map[string]string{}
		for line := range strings.Lines(printed) {
			if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
				outputs[name] = value
			}
		}
		found := accountNow(t, c.config, outputs["RoleArn"])
		found.Outputs = outputs
		return found
	}
	v.check(t, now(c.run(t, "sh", "connect.sh", "--external-id", externalID)), "", true)
	done := c.run(t, "sh", "connect.sh", "--external-id", externalID, "--previous-external-id", "acme-previous", "--setup-phase", "false")
	v.check(t, now(done), "acme-previous", false)
	if got := c.run(t, "sh", "connect.sh", "remove"); got != "Removed.\n" {
		t.Errorf("remove printed %q", got)
	}
	nothingLeft(t, c.config)
	if _, err := os.Stat(filepath.Join(c.dir, "pwned")); err == nil {
		t.Error("a text became a command")
	}
}
