package templates

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// terraformPlugins is a folder with the provider hashicorp/aws, laid out as a
// filesystem mirror. Nothing is downloaded.
func terraformPlugins(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CROSSACCOUNT_TF_PLUGINS")
	if dir == "" {
		dir = "/opt/tf-plugins"
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		testenv.Missing(t, "terraform", "there is no Terraform provider in "+dir+"; set CROSSACCOUNT_TF_PLUGINS to a mirror with hashicorp/aws")
	}
	return dir
}

// Terraform creates what CloudFormation creates, changes it, and leaves nothing
// behind.
func TestTerraform(t *testing.T) {
	terraform := testenv.Tool(t, "terraform")
	plugins := terraformPlugins(t)
	v := everything()
	c := newCustomer(t, v)
	c.env = append(c.env, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_VAR_external_id="+externalID)
	c.write(t, "main.tf.json", v.write(t, crossaccount.FormatTerraform))
	c.run(t, terraform, "init", "-input=false", "-no-color", "-plugin-dir="+plugins)
	c.run(t, terraform, "validate", "-no-color")
	apply := func(variables ...string) account {
		t.Helper()
		args := []string{"apply", "-auto-approve", "-input=false", "-no-color"}
		for _, v := range variables {
			args = append(args, "-var", v)
		}
		c.run(t, terraform, args...)
		var printed map[string]struct{ Value string }
		if err := json.Unmarshal([]byte(c.run(t, terraform, "output", "-json")), &printed); err != nil {
			t.Fatal(err)
		}
		found := accountNow(t, c.config, printed["role_arn"].Value)
		found.Outputs = map[string]string{"RoleArn": printed["role_arn"].Value, "ExternalId": printed["external_id"].Value, "NextSteps": printed["next_steps"].Value}
		return found
	}
	v.check(t, apply(), "", true)
	v.check(t, apply("previous_external_id=acme-previous", "setup_phase=false"), "acme-previous", false)
	c.run(t, terraform, "destroy", "-auto-approve", "-input=false", "-no-color")
	nothingLeft(t, c.config)
}
