package clients_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
)

// An awsCommand goes through the scenario with the aws command. It is a program
// and not a library, so its steps are command lines and are written here.
type awsCommand struct {
	*scenario
	t      *testing.T
	path   string
	dir    string
	config string
	seen   []observation
}

func runAWSCommand(t *testing.T, s *scenario) []observation {
	t.Helper()
	c := &awsCommand{scenario: s, t: t, path: testenv.Tool(t, "aws"), dir: t.TempDir()}
	// In us-east-1 version 1 of the command presigns with signature version 2
	// unless told otherwise, which S3 does not accept for buckets created since
	// June 2020.
	c.config = filepath.Join(c.dir, "config")
	if err := os.WriteFile(c.config, []byte("[default]\ns3 =\n  signature_version = s3v4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	session := c.assuming()
	c.wrongCredentials(session)
	c.objects(session)
	c.stacks()
	return c.seen
}

var errorCode = regexp.MustCompile(`An error occurred \(([A-Za-z0-9.]+)\)`)

// aws runs one command line and returns its output or the error's code.
func (c *awsCommand) aws(as credentials, args ...string) (value, code string) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(c.t.Context(), c.path, args...)
	command.Dir = c.dir
	command.Env = append(c.box.Environment(c.Endpoint, sandbox.Credentials(as)),
		"AWS_CONFIG_FILE="+c.config, "AWS_DEFAULT_OUTPUT=text", "LC_ALL=C.UTF-8", "PYTHONUTF8=1")
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		if m := errorCode.FindSubmatch(stderr.Bytes()); m != nil {
			return "", string(m[1])
		}
		return "", err.Error() + ": " + stderr.String()
	}
	return strings.TrimSuffix(stdout.String(), "\n"), ""
}

// step reports what a command line printed.
func (c *awsCommand) step(name string, as credentials, args ...string) {
	c.t.Helper()
	value, code := c.aws(as, args...)
	c.report(name, value, code)
}

func (c *awsCommand) report(name, value, code string) {
	c.seen = append(c.seen, observation{Step: name, Value: value, Code: code})
}

// lines separates what text output separates with tabs and page ends.
func lines(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\t' || r == '\n' }), "\n")
}

func (c *awsCommand) assuming() credentials {
	assume := func(more ...string) []string {
		return append([]string{"sts", "assume-role", "--role-arn", c.Role, "--role-session-name", "scenario",
			"--query", "[AssumedRoleUser.Arn, Credentials.AccessKeyId, Credentials.SecretAccessKey, Credentials.SessionToken]"}, more...)
	}
	c.step("identity of the user", c.Broker, "sts", "get-caller-identity", "--query", "Arn")
	c.step("assume without external ID", c.Broker, assume()...)
	c.step("assume with a wrong external ID", c.Broker, assume("--external-id", strings.ToUpper(c.ExternalID))...)
	c.step("assume with a malformed external ID", c.Broker, assume("--external-id", "with a space")...)
	c.step("assume for longer than the role allows", c.Broker, assume("--external-id", c.ExternalID, "--duration-seconds", "7200")...)
	value, code := c.aws(c.Broker, assume("--external-id", c.ExternalID)...)
	fields := strings.Fields(value)
	if len(fields) != 4 {
		c.t.Fatalf("aws sts assume-role: %s %q", code, value)
	}
	c.report("assume with the external ID", fields[0], code)
	session := credentials{fields[1], fields[2], fields[3]}
	c.step("identity of the session", session, "sts", "get-caller-identity", "--query", "Arn")
	c.get("get", session, c.Readable)
	c.get("get outside the prefix", session, c.Secret)
	c.step("put", session, "s3api", "put-object", "--bucket", c.Bucket, "--key", c.Readable, "--body", c.Large)
	return session
}

// get writes an object into a file and reports the file.
func (c *awsCommand) get(name string, as credentials, key string) {
	c.t.Helper()
	_, code := c.aws(as, "s3api", "get-object", "--bucket", c.Bucket, "--key", key, "got")
	value := ""
	if code == "" {
		data, err := os.ReadFile(filepath.Join(c.dir, "got"))
		if err != nil {
			c.t.Fatal(err)
		}
		value = string(data)
	}
	c.report(name, value, code)
}

func (c *awsCommand) wrongCredentials(session credentials) {
	wrong, madeUp := session, session
	wrong.SecretAccessKey = wrong.SecretAccessKey[:len(wrong.SecretAccessKey)-1] + "!"
	madeUp.SessionToken = "made up"
	for name, as := range map[string]credentials{"wrong secret": wrong, "made-up token": madeUp, "expired token": c.Expired} {
		c.step(name+", STS", as, "sts", "get-caller-identity")
		c.get(name+", S3", as, c.Readable)
	}
	c.step("operation the sandbox lacks", c.Admin, "iam", "list-saml-providers")
}

func (c *awsCommand) objects(session credentials) {
	c.get("get what is not there", c.Admin, "missing")
	for _, upload := range []struct{ step, key, file string }{
		{"upload and download", "large", c.Large},
		{"upload and download in parts", "larger", c.Larger},
	} {
		address := "s3://" + c.Bucket + "/" + upload.key
		value, code := c.aws(c.Admin, "s3", "cp", "--quiet", upload.file, address)
		if code == "" {
			value, code = c.aws(c.Admin, "s3", "cp", "--quiet", address, upload.key)
		}
		if code == "" {
			value = sha256Of(filepath.Join(c.dir, upload.key))
		}
		c.report(upload.step, value, code)
	}
	value, code := c.aws(c.Admin, "s3api", "list-objects-v2", "--bucket", c.Bucket, "--prefix", c.Many, "--page-size", "2", "--query", "Contents[].Key")
	c.report("list objects in pages", lines(value), code)
	c.step(presigned, session, "s3", "presign", "s3://"+c.Bucket+"/"+c.Readable)
}

func (c *awsCommand) stacks() {
	value, code := c.aws(c.Admin, "iam", "list-roles", "--path-prefix", c.Team, "--page-size", "2", "--query", "Roles[].RoleName")
	c.report("list roles in pages", lines(value), code)

	with := func(command string, more ...string) []string {
		return append(append([]string{"cloudformation"}, strings.Fields(command)...), append([]string{"--stack-name", "scenario"}, more...)...)
	}
	source := []string{"--template-body", c.Template, "--parameters", "ParameterKey=Vendor,ParameterValue=" + c.VendorID, "--query", "StackId"}
	named := append([]string{"--capabilities", "CAPABILITY_NAMED_IAM"}, source...)
	// then runs commands until one fails and reports the last one.
	then := func(name string, commands ...[]string) {
		for i, args := range commands {
			value, code := c.aws(c.Admin, args...)
			if code != "" || i == len(commands)-1 {
				c.report(name, value, code)
				return
			}
		}
	}
	then("create stack without capability", with("create-stack", source...))
	then("create stack and wait", with("create-stack", named...), with("wait stack-create-complete"), with("describe-stacks", "--query", "Stacks[0].StackStatus"))
	then("output of the stack", with("describe-stacks", "--query", "Stacks[0].Outputs[?OutputKey=='RoleArn'].OutputValue"))
	value, code = c.aws(c.Admin, "iam", "get-role", "--role-name", "made-by-stack", "--query", "Role.AssumeRolePolicyDocument.Statement[0].Principal.AWS")
	if fields := strings.Split(value, ":"); len(fields) > 4 {
		value = fields[4]
	}
	c.report("trust of the stack's role", value, code)
	then("update stack with nothing", with("update-stack", named...))
	then("delete stack and wait", with("delete-stack"), with("wait stack-delete-complete"))
	then("describe deleted stack", with("describe-stacks"))
}
