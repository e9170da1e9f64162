package grant_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/template"
)

// Terraform and its AWS provider accept what is written. All stacks are modules
// of one configuration, because every terraform init takes a while.
func TestTerraformValidates(t *testing.T) {
	program := testenv.Tool(t, "terraform")
	plugins := testenv.TerraformProviders(t)
	root := t.TempDir()
	modules := map[string]map[string]string{}
	for _, file := range append(kindFiles(t), "starter.yaml") {
		kind := strings.TrimSuffix(filepath.Base(file), ".yaml")
		m, err := grant.Parse(read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		p, err := grant.Compile(m, grant.Options{Format: grant.Terraform})
		if err != nil {
			continue // it creates resources, which is CloudFormation's, or has secrets without suffix
		}
		for n, s := range p.Stacks() {
			if kind == "role-for-pods" && strings.HasSuffix(s.Name, "-integrations") {
				continue // target roles need version 6 of the provider, which may not be here
			}
			files, err := p.Files()
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%s_%d", kind, n)
			for _, f := range files {
				if f.Path == s.Directory+"/main.tf.json" {
					if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(root, name, "main.tf.json"), f.Data, 0o644); err != nil {
						t.Fatal(err)
					}
					modules[name] = map[string]string{"source": "./" + name}
					for _, in := range s.Inputs {
						modules[name][template.SnakeCase(in.Parameter)] = "value"
					}
				}
			}
		}
	}
	if len(modules) < 20 {
		t.Fatalf("only %d modules", len(modules))
	}
	data, err := json.Marshal(map[string]any{"module": modules})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "main.tf.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-input=false", "-no-color", "-plugin-dir=" + plugins}, {"validate", "-no-color"}} {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CHECKPOINT_DISABLE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %s: %v\n%s", args[0], err, out)
		}
	}
}

// A plan whose configuration only a newer provider can validate says so.
func TestTerraformPlansNameTheProvider(t *testing.T) {
	const needed = "version 6 or later of Terraform's AWS provider"
	for file, want := range map[string]bool{"testdata/kinds/role-for-pods.yaml": true, "testdata/kinds/role.yaml": false} {
		if got := strings.Contains(strings.Join(compile(t, read(t, file), grant.Terraform).Before, "\n"), needed); got != want {
			t.Errorf("%s: says that it needs %s: %v, want %v", file, needed, got, want)
		}
		if strings.Contains(strings.Join(compile(t, read(t, file), grant.CloudFormation).Before, "\n"), needed) {
			t.Errorf("%s: CloudFormation needs no provider", file)
		}
	}
}

// Everything that Terraform can tag has the tags of the convention, as in
// CloudFormation.
func TestTerraformTagsEverything(t *testing.T) {
	taggable := map[string]bool{
		"aws_iam_role": true, "aws_iam_policy": true, "aws_iam_openid_connect_provider": true, "aws_eks_pod_identity_association": true,
		"aws_ssm_parameter": true, "aws_sfn_state_machine": true,
	}
	seen := map[string]bool{}
	for _, file := range kindFiles(t) {
		m, err := grant.Parse(read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		p, err := grant.Compile(m, grant.Options{Format: grant.Terraform})
		if err != nil {
			continue // as above
		}
		files, err := p.Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Path, "/main.tf.json") {
				continue
			}
			var configuration struct {
				Resource map[string]map[string]struct{ Tags map[string]string }
			}
			if err := json.Unmarshal(f.Data, &configuration); err != nil {
				t.Fatalf("%s: %v", f.Path, err)
			}
			for kind, resources := range configuration.Resource {
				for name, r := range resources {
					seen[kind] = true
					if taggable[kind] && (r.Tags["owner"] == "" || r.Tags["app"] == "" || r.Tags["stage"] == "") {
						t.Errorf("%s, %s: %s %s has the tags %v", file, f.Path, kind, name, r.Tags)
					}
				}
			}
		}
	}
	for kind := range taggable {
		if !seen[kind] && kind != "aws_ssm_parameter" && kind != "aws_sfn_state_machine" {
			t.Errorf("no manifest makes a %s", kind)
		}
	}
}
