package cfnapi_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// What CloudFormation would take from Parameter Store and Secrets Manager is
// never made with the literal text.
func TestDynamicReferencesAreRefused(t *testing.T) {
	withPath := func(head, path string) string {
		return head + "\nResources: {A: " + strings.Replace(role, "Properties: {", "Properties: {Path: "+path+", ", 1) + "}"
	}
	tests := map[string]struct{ template, parameters, want string }{
		"ssm":             {withPath("", "'{{resolve:ssm:path}}'"), "", "{{resolve:ssm:...}}"},
		"ssm-secure":      {withPath("", "'/x/{{resolve:ssm-secure:path:1}}/'"), "", "{{resolve:ssm-secure:...}}"},
		"secretsmanager":  {withPath("", "'{{resolve:secretsmanager:s:SecretString:path}}'"), "", "{{resolve:secretsmanager:...}}"},
		"Join":            {withPath("", "!Join [':', ['{{resolve', ssm, 'path}}']]"), "", "{{resolve:ssm:...}}"},
		"Sub":             {withPath("Parameters: {P: {Type: String}}", "!Sub '{{res${P}:ssm:path}}'"), "P=olve", "{{resolve:ssm:...}}"},
		"parameter value": {withPath("Parameters: {P: {Type: String}}", "!Ref P"), "P={{resolve:ssm:path}}", "{{resolve:ssm:...}}"},
		"in a policy":     {strings.Replace("Resources: {A: "+role+"}", "sts:AssumeRole", "'sts:{{resolve:ssm:action}}'", 1), "", "{{resolve:ssm:...}}"},
		"output":          {"Resources: {A: " + role + "}\nOutputs: {O: {Value: '{{resolve:ssm:x}}'}}", "", "output O has the dynamic reference"},
	}
	b := newBench(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "in a policy" && !strings.Contains(test.template, "{{resolve:") {
				t.Fatal("nothing to change in the role")
			}
			err := b.tryCreate("dynamic", test.template, strings.Fields(test.parameters)...)
			wantRefusal(t, err, "ValidationError: ", test.want, "not implemented in the sandbox")
		})
	}
	roles, err := b.iam.ListRoles(ctx, &iam.ListRolesInput{})
	if err != nil || len(roles.Roles) != 0 {
		t.Errorf("%d roles were made (%v)", len(roles.Roles), err)
	}
}

// One that only arises once a resource exists fails the stack.
func TestDynamicReferenceFromAnAttribute(t *testing.T) {
	b := newBench(t)
	template := "Resources: {A: " + strings.Replace(role, "Properties: {", "Properties: {RoleName: resolve, ", 1) +
		", B: " + strings.Replace(role, "Properties: {", "Properties: {Path: !Join ['', ['{{', !Ref A, ':ssm:x}}']], ", 1) + "}"
	if err := b.tryCreate("late", template); err != nil {
		t.Fatal(err)
	}
	if s := b.stack("late"); s.StackStatus != "ROLLBACK_COMPLETE" || !strings.Contains(strings.Join(b.events("late"), "\n"), "not implemented in the sandbox") {
		t.Errorf("status %s\n%s", s.StackStatus, strings.Join(b.events("late"), "\n"))
	}
}
