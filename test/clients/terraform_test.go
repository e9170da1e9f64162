package clients_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/internal/testenv"
	"github.com/crossaccount/crossaccount/sandbox"
)

// TestTerraform has terraform's AWS provider assume the customer's role. The
// provider comes from a local folder; no registry is asked.
func TestTerraform(t *testing.T) {
	terraform := testenv.Tool(t, "terraform")
	settings := providerSettings(t)
	s := newScenario(t)
	tests := []struct {
		name       string
		externalID string
		key        string
		wrong      string // in what terraform says; empty if it succeeds
	}{
		{"with the external ID", externalID, readable, ""},
		{"without external ID", "", readable, "AccessDenied"},
		{"with a wrong external ID", strings.ToUpper(externalID), readable, "AccessDenied"},
		{"outside the prefix", externalID, secret, "403"}, // the provider asks with HEAD, whose errors have no code
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("testdata/terraform")); err != nil {
				t.Fatal(err)
			}
			variables, err := json.Marshal(map[string]any{
				"endpoint": s.Endpoint, "region": s.Region, "role": s.Role, "external_id": nullable(test.externalID),
				"bucket": s.Bucket, "key": test.key,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "terraform.tfvars.json"), variables, 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) ([]byte, error) {
				command := exec.CommandContext(t.Context(), terraform, args...)
				command.Dir = dir
				command.Env = append(s.box.Environment(s.Endpoint, sandbox.Credentials(s.Broker)),
					"TF_CLI_CONFIG_FILE="+settings, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
				return command.CombinedOutput()
			}
			if out, err := run("init", "-input=false", "-no-color"); err != nil {
				t.Fatalf("terraform init: %v\n%s", err, out)
			}
			out, err := run("apply", "-auto-approve", "-input=false", "-no-color")
			if test.wrong != "" {
				if err == nil || !strings.Contains(string(out), test.wrong) {
					t.Errorf("terraform apply: %v, want one with %s\n%s", err, test.wrong, out)
				}
				return
			}
			if err != nil {
				t.Fatalf("terraform apply: %v\n%s", err, out)
			}
			out, err = run("output", "-json")
			if err != nil {
				t.Fatalf("terraform output: %v\n%s", err, out)
			}
			var outputs map[string]struct{ Value string }
			if err := json.Unmarshal(out, &outputs); err != nil {
				t.Fatal(err)
			}
			if got, want := outputs["identity"].Value, "arn:aws:sts::"+customerID+":assumed-role/reader/terraform"; got != want {
				t.Errorf("identity: got %s, want %s", got, want)
			}
			if got := outputs["body"].Value; got != content {
				t.Errorf("body: got %q, want %q", got, content)
			}
		})
	}
}

func nullable(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// providerSettings writes a configuration of terraform that allows local
// providers only.
func providerSettings(t *testing.T) string {
	t.Helper()
	settings := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", testenv.TerraformProviders(t))
	name := filepath.Join(t.TempDir(), "terraform.rc")
	if err := os.WriteFile(name, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
