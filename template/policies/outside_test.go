package policies_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/crossaccount/crossaccount/iam/lint"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/template/policies"
)

func archive(t *testing.T, name string) map[string][]byte {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range a.Files {
		files[f.Name] = f.Data
	}
	return files
}

// planFindings is what is wrong in testdata/plan.txtar. Its other resources are
// good, and the bucket's policy, which nobody wrote, is not missed.
const planFindings = `GX-T02 aws_iam_role.vendor Statement[0].Principal.AWS[0]
GX-A02 aws_iam_role.vendor Statement[0].Action[0]
GX-P10 aws_lambda_permission.s3 Statement[0].Principal.Service[0]
GX-P01 aws_s3_bucket_policy.fixed Statement[0].Principal
GX-P10 module.queue.aws_sqs_queue.q Statement[0].Principal.Service[0]
`

func checkPlan(t *testing.T, plan []byte) {
	t.Helper()
	d, err := policies.Read("plan.json", plan, policies.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range d.Lint(lint.Options{}) {
		fmt.Fprintln(&got, f.ID, f.Where, f.Path)
	}
	if diff := cmp.Diff(planFindings, got.String()); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if d.Format != policies.FormatTerraformPlan || len(d.Unread) != 1 || d.Unread[0].Where != "aws_iam_policy.late" {
		t.Errorf("read as %s, unread %+v; want only aws_iam_policy.late", d.Format, d.Unread)
	}
}

func TestTerraformPlan(t *testing.T) { checkPlan(t, archive(t, "plan.txtar")["plan.json"]) }

// Terraform on this machine makes a plan of the same configuration.
func TestTerraformItself(t *testing.T) {
	terraform := testenv.Tool(t, "terraform")
	plugins := testenv.TerraformProviders(t)
	testenv.IsolateAWS(t)
	t.Setenv("TF_CLI_CONFIG_FILE", os.DevNull)
	t.Setenv("CHECKPOINT_DISABLE", "1")
	directory := t.TempDir()
	for name, data := range archive(t, "plan.txtar") {
		if strings.HasSuffix(name, ".tf") {
			if err := os.MkdirAll(filepath.Join(directory, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(directory, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	run := func(args ...string) []byte {
		t.Helper()
		c := exec.CommandContext(t.Context(), terraform, args...)
		c.Dir = directory
		var stderr strings.Builder
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("terraform %s: %v\n%s", args[0], err, stderr.String())
		}
		return out
	}
	run("init", "-backend=false", "-input=false", "-plugin-dir="+plugins)
	run("plan", "-input=false", "-refresh=false", "-out=plan")
	checkPlan(t, run("show", "-json", "plan"))
}

func TestReadAssembly(t *testing.T) {
	files := archive(t, "cdk.txtar")
	read := func(name string) ([]byte, error) {
		if data, ok := files[name]; ok {
			return data, nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	templates, err := policies.ReadAssembly(read)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, template := range templates {
		d, err := policies.Read(template.File, files[template.File], policies.Options{Constructs: template.Constructs})
		if err != nil {
			t.Fatalf("%s: %v", template.File, err)
		}
		fmt.Fprintln(&got, template.File, template.Stack, template.Account)
		for _, f := range d.Lint(lint.Options{Account: template.Account}) {
			fmt.Fprintln(&got, " ", f.ID, f.Construct)
		}
	}
	// The role of the stage trusts its own account, which is no mistake.
	want := `Access.template.json Access 111122223333
  GX-T02 Access/Vendor/Resource
AccessInner0E118969.nested.template.json Access 111122223333
  GX-A02 Access/Inner/Read/Resource
assembly-Prod/ProdAccessF6F3EC8D.template.json Prod/Access 999988887777
assembly-Prod/ProdAccessInner36CEA095.nested.template.json Prod/Access 999988887777
  GX-A02 Prod/Access/Inner/Read/Resource
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	for name, manifest := range map[string]string{
		"leads out":   `{"version": "1", "artifacts": {"a": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "../../etc/passwd"}}}}`,
		"absolute":    `{"version": "1", "artifacts": {"a": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "/etc"}}}}`,
		"itself":      `{"version": "1", "artifacts": {"a": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "."}}}}`,
		"missing":     `{"version": "1", "artifacts": {"a": {"type": "cdk:asset-manifest", "properties": {"file": "gone.json"}}}}`,
		"not JSON":    `{`,
		"another one": `{"version": 1, "name": "web application"}`,
	} {
		files = map[string][]byte{"manifest.json": []byte(manifest)}
		if _, err := policies.ReadAssembly(read); err == nil {
			t.Errorf("%s: no error", name)
		} else if errors.Is(err, policies.ErrNoAssembly) != (name == "another one") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
