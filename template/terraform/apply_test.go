package terraform_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/internal/stacktest"
	"github.com/crossaccount/crossaccount/template/terraform"
)

// Terraform itself must read every text as it is meant: as the template of an
// attribute, and between the quotes of an expression.
func TestTerraformReadsEveryTextAsItIs(t *testing.T) {
	program := testenv.Tool(t, "terraform")
	plugins := testenv.TerraformProviders(t)
	const account, value = "444455556666", `${x} %{y} "quoted" \ $$ %%`
	stack := &template.Stack{
		Parameters: []template.Parameter{{ID: "Value", SizeHint: 40}},
		Conditions: []template.Condition{{ID: "Given", Expr: template.Not{Expr: template.Equals{A: template.Ref("Value"), B: ""}}}},
		Resources: []template.Resource{{ID: "Policy", Kind: &template.ManagedPolicy{Name: "policy", Document: &iam.Policy{
			Version:    iam.Version2012,
			Statements: []iam.Statement{{Effect: iam.Allow, Action: []string{"s3:GetObject"}, Resource: []string{"*"}}},
		}}}},
	}
	for i := range 200 {
		text := stacktest.Text().Example(i)
		if i%2 == 1 {
			text = template.If("Given", text, "not given")
		}
		stack.Outputs = append(stack.Outputs, template.Output{ID: fmt.Sprintf("Output%d", i), Value: text})
	}
	data, err := terraform.Write(stack)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	box := sandboxtest.New(t, account)
	env := append(box.Environment(box.Serve(), box.Account(account).Root()), "CHECKPOINT_DISABLE=1", "TF_VAR_value="+value)
	var printed []byte
	for _, args := range [][]string{
		{"init", "-input=false", "-no-color", "-plugin-dir=" + plugins}, {"apply", "-auto-approve", "-input=false", "-no-color"}, {"output", "-json"},
	} {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Env = dir, env
		if printed, err = cmd.Output(); err != nil {
			t.Fatalf("terraform %s: %v\n%s", args[0], err, printed)
		}
	}
	var got map[string]struct{ Value string }
	if err := json.Unmarshal(printed, &got); err != nil {
		t.Fatal(err)
	}
	want, err := stack.Resolve(map[string]string{
		"Value": value, "AWS::AccountId": account, "AWS::Region": sandboxtest.Region, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range want.Outputs {
		if found := got[template.SnakeCase(o.ID)].Value; found != o.Value {
			t.Errorf("Terraform reads %q, want %q (%v)", found, o.Value, template.Parts(stack.Outputs[i].Value))
		}
	}
}
