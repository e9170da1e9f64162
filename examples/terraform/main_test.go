package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

var update = flag.Bool("update", false, "write the module in customer/example again")

const (
	vendorAccount = "111122223333"
	acmeAccount   = "444455556666"
	bucket        = "example-templates"
	report        = "quarter,revenue\n2026Q3,42\n"

	trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"sts:AssumeRole"}]}`

	brokerPolicy = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::` + vendorAccount + `:role/probe"},
		{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*","Condition":{"StringLike":{"sts:ExternalId":"?*"}}},
		{"Effect":"Allow","Action":["sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"},
		{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::` + bucket + `/*"}]}`
	probePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}]}`
)

// TestTheStory is the README's, with terraform itself and no AWS account: the
// vendor starts, the customer applies, the vendor verifies and uses the role, the
// customer removes the setup permissions and then everything, and the vendor
// notices.
func TestTheStory(t *testing.T) {
	terraform := testenv.Tool(t, "terraform")
	plugins := testenv.TerraformProviders(t)
	testenv.IsolateAWS(t)
	customer := t.TempDir()
	if err := os.CopyFS(customer, os.DirFS("customer")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // for the vendor's database and keys

	box := sandboxtest.New(t, vendorAccount, acmeAccount)
	account := box.Account(vendorAccount)
	broker := account.User("broker", brokerPolicy)
	probe := account.Role("probe", fmt.Sprintf(trust, "arn:aws:iam::"+vendorAccount+":user/broker"), []string{probePolicy})
	canary := account.Role("canary", fmt.Sprintf(trust, probe), nil)
	administrator, err := crossaccount.New(&crossaccount.Config{
		ServiceName: "Example", ServiceAccountID: vendorAccount, AWSConfig: account.Config(), TemplateS3Bucket: bucket,
	}, crossaccount.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := administrator.PrepareTemplateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	acme := s3.NewFromConfig(box.Account(acmeAccount).Config())
	if _, err := acme.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("acme-reports")}); err != nil {
		t.Fatal(err)
	}
	if _, err := acme.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("acme-reports"), Key: aws.String("q3.csv"), Body: strings.NewReader(report)}); err != nil {
		t.Fatal(err)
	}

	settings := map[string]string{
		"SERVICE_ACCOUNT_ID": vendorAccount, "TEMPLATE_S3_BUCKET": bucket, "PROBE_ROLE_ARN": probe, "CANARY_ROLE_ARN": canary,
	}
	vendor := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), args, func(name string) string { return settings[name] }, broker, &out)
		return out.String(), err
	}
	expect := func(want string, args ...string) {
		t.Helper()
		if out, err := vendor(args...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("%v: want %q, got %v\n%s", args, want, err, out)
		}
	}
	environment := append(box.Environment(box.Serve(), box.Account(acmeAccount).Root()), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	apply := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), terraform, args...)
		command.Dir, command.Env = customer, environment
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("terraform %v: %v\n%s", args, err, out)
		}
		return string(out)
	}

	variables, err := vendor("start", "acme")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	if err := json.Unmarshal([]byte(variables), &values); err != nil {
		t.Fatal(err)
	}
	if again, err := vendor("start", "acme"); err != nil || again != variables {
		t.Errorf("asked again, the vendor says %q, %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(customer, "terraform.tfvars.json"), []byte(variables), 0o600); err != nil {
		t.Fatal(err)
	}
	apply("init", "-input=false", "-no-color", "-plugin-dir="+plugins)
	printed := apply("apply", "-auto-approve", "-input=false", "-no-color")
	role := strings.TrimSpace(apply("output", "-raw", "role_arn"))
	expect("setup permission FindBuckets: present", "complete", "acme", role)
	expect(report, "read", "acme", "acme-reports", "q3.csv")

	printed += apply("apply", "-auto-approve", "-input=false", "-no-color", "-var", "setup_phase=false")
	expect("setup permission FindBuckets: removed", "check", "acme")
	expect(report, "read", "acme", "acme-reports", "q3.csv")

	printed += apply("destroy", "-auto-approve", "-input=false", "-no-color")
	out, err := vendor("check", "acme")
	if crossaccount.CodeOf(err) != crossaccount.CodeRoleRefused || !strings.Contains(out, "failed") {
		t.Errorf("after the end the vendor says %v\n%s", err, out)
	}
	if out, err := vendor("read", "acme", "acme-reports", "q3.csv"); err == nil {
		t.Errorf("after the end the vendor still reads %q", out)
	}
	if strings.Contains(printed, values["external_id"]) {
		t.Error("terraform printed the external ID")
	}
}

// The module in customer/example is what the vendor's program prints.
func TestModuleIsCurrent(t *testing.T) {
	const name = "customer/example/main.tf.json"
	had, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var out bytes.Buffer
	err = run(t.Context(), []string{"template"}, func(name string) string {
		return map[string]string{"SERVICE_ACCOUNT_ID": vendorAccount}[name]
	}, aws.Config{}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(folder, name), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(had, out.Bytes()) {
		t.Error("customer/example is not what the program prints; run go test -update")
	}
}

func TestUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{nil, {"nonsense"}, {"start"}, {"start", "a", "b"}, {"complete", "acme"}} {
		err := run(t.Context(), args, os.Getenv, aws.Config{}, new(bytes.Buffer))
		if err == nil || err.Error() != usage {
			t.Errorf("%q: %v", args, err)
		}
	}
	if _, err := os.Stat("crossaccount.db"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("wrong usage made a database: %v", err)
	}
}
