package setup

import "strings"

// continued is how a shell command goes on in the next line.
const continued = " \\\n  "

// TerraformCommand creates the role with the downloaded configuration. External
// IDs and names of roles and stacks have no characters that a shell would
// change.
func (l *Launch) TerraformCommand() string {
	return strings.Join([]string{"terraform init && terraform apply", "-var external_id=" + l.ExternalID, "-var role_name=" + l.RoleName}, continued)
}

// ScriptCommand creates the role with the downloaded script.
func (l *Launch) ScriptCommand() string {
	return strings.Join([]string{"sh create-role.sh apply", "--external-id " + l.ExternalID, "--role-name " + l.RoleName}, continued)
}

// SetupCommand removes the setup permissions. It is empty if nothing is known of
// a stack.
func (d *Done) SetupCommand() string {
	if d.StackName == "" || len(d.Parameters) == 0 {
		return ""
	}
	lines := []string{
		"aws cloudformation update-stack",
		"--region " + d.Region,
		"--stack-name " + d.StackName,
		"--use-previous-template",
		"--capabilities CAPABILITY_NAMED_IAM",
		"--parameters",
	}
	for _, parameter := range d.Parameters {
		value := "UsePreviousValue=true"
		if parameter == "SetupPhase" {
			value = "ParameterValue=false"
		}
		lines = append(lines, "  ParameterKey="+parameter+","+value)
	}
	return strings.Join(lines, continued)
}

// DeleteCommand ends the access. It is empty if nothing is known of a stack.
func (d *Done) DeleteCommand() string {
	if d.StackName == "" {
		return ""
	}
	return "aws cloudformation delete-stack --region " + d.Region + " --stack-name " + d.StackName
}
