package templates

import (
	"encoding/json"
	"testing"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/internal/testenv"
)

// Terraform creates what CloudFormation creates, changes it, and leaves nothing
// behind.
func TestTerraform(t *testing.T) {
	terraform := testenv.Tool(t, "terraform")
	plugins := testenv.TerraformProviders(t)
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
