package sandboxtest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

const (
	vendorID   = "111111111111"
	customerID = "222222222222"
)

// storyEnvironment serves a sandbox with a broker and the role of a customer
// that it may assume, and returns the broker's environment.
func storyEnvironment(t *testing.T) []string {
	t.Helper()
	box := sandboxtest.New(t, vendorID, customerID)
	broker := box.Account(vendorID).UserCredentials("broker", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	role := box.Account(customerID).Role("guarded", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"Story-0123456789abcdef"}}}}`,
		[]string{`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`})
	return append(box.Environment(box.Serve(), broker), "ROLE="+role, "EXTERNAL_ID=Story-0123456789abcdef")
}

func TestAWSCommand(t *testing.T) {
	if err := exec.CommandContext(t.Context(), testenv.Tool(t, "aws"), "--version").Run(); err != nil {
		testenv.Missing(t, "aws", "the aws command does not run")
	}
	script, err := filepath.Abs("testdata/story.sh")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "sh", script)
	command.Env = storyEnvironment(t)
	command.Stderr = &testLog{t: t}
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `user: arn:aws:iam::111111111111:user/broker
no external ID: AccessDenied
session: arn:aws:sts::222222222222:assumed-role/guarded/story
make_bucket: story-bucket
copied in parts
read: hello
listed: 2
not allowed: AccessDenied
`
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestBoto3(t *testing.T) {
	python := testenv.Python(t, "boto3")
	box := sandboxtest.New(t, vendorID, customerID)
	keys := map[string][]string{}
	for _, id := range []string{vendorID, customerID} {
		root := box.Account(id).Root()
		keys[id] = []string{root.AccessKeyID, root.SecretAccessKey}
	}
	input, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "testdata/story.py")
	command.Env = box.Environment(box.Serve(), sandbox.Credentials{})
	command.Stdin = strings.NewReader(string(input))
	command.Stderr = &testLog{t: t}
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `root: arn:aws:iam::111111111111:root
trust: arn:aws:iam::111111111111:root
list: [('a b/c+d.txt', 5), ('large', 9000000)]
presigned: hello
no external ID: AccessDenied 403
wrong external ID: AccessDenied 403
malformed external ID: ValidationError 400
session: arn:aws:sts::222222222222:assumed-role/guarded/story
read: hello
write: AccessDenied 403
wrong token: InvalidClientTokenId 403
wrong secret: SignatureDoesNotMatch 403
unknown key: InvalidAccessKeyId 403
stack: arn:aws:iam::222222222222:role arn:aws:sts::222222222222:assumed-role
`
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestJavaScriptSDK(t *testing.T) {
	const folder = "testdata/javascript"
	node := testenv.Tool(t, "node")
	installed := func() bool {
		_, err := os.Stat(folder + "/node_modules/@aws-sdk/client-sts/package.json")
		return err == nil
	}
	if os.Getenv("CI") == "true" && !installed() {
		install := exec.CommandContext(t.Context(), testenv.Tool(t, "npm"), "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = folder
		if out, err := install.CombinedOutput(); err != nil {
			testenv.Missing(t, "npm", "npm cannot install the packages of "+folder+": "+string(out))
		}
	}
	if !installed() {
		testenv.Missing(t, "node", "the AWS SDK for JavaScript is not there; run npm install in sandbox/sandboxtest/"+folder)
	}
	script, err := filepath.Abs(folder + "/story.cjs")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), node, script)
	command.Env = storyEnvironment(t)
	command.Stderr = &testLog{t: t}
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `user: arn:aws:iam::111111111111:user/broker
no external ID: AccessDenied 403
malformed external ID: ValidationError 400
session: arn:aws:sts::222222222222:assumed-role/guarded/story
read: hello plain
read: some chunks plain
list: a b/c+d, stream
missing: NoSuchKey 404
wrong secret: SignatureDoesNotMatch 403
`
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A testLog writes a program's error output into the test's log.
type testLog struct{ t *testing.T }

func (l *testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", strings.TrimRight(string(b), "\n"))
	return len(b), nil
}
