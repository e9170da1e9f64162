package grant

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/template"
)

// DeployCommands returns the shell commands that create or update the stack, to
// be run in the output's directory.
func (p *Plan) DeployCommands(s *Stack) []string {
	var all []string
	switch {
	case p.Format == Policies:
	case s.Template == nil:
	case p.Format == Terraform:
		all = append(all,
			fmt.Sprintf("terraform -chdir=%s init -input=false", word(s.Directory)),
			p.terraform(s, "apply"))
	default:
		all = append(all, p.cloudFormation(s))
	}
	for _, a := range s.Applies {
		if len(a.put) > 0 {
			all = append(all, s.aws(a.put))
		}
	}
	for _, c := range s.then {
		all = append(all, s.aws(c))
	}
	return all
}

// DeleteCommands returns the shell commands that remove what the stack created.
func (p *Plan) DeleteCommands(s *Stack) []string {
	var all []string
	for _, a := range s.Applies {
		if len(a.remove) > 0 {
			all = append(all, s.aws(a.remove))
			for _, c := range s.then {
				all = append(all, s.aws(c))
			}
		}
	}
	switch {
	case p.Format == Policies:
	case s.Template == nil:
	case p.Format == Terraform:
		all = append(all, p.terraform(s, "destroy"))
	default:
		all = append(all,
			s.aws([]string{"aws", "cloudformation", "delete-stack", "--stack-name", s.Name}),
			s.aws([]string{"aws", "cloudformation", "wait", "stack-delete-complete", "--stack-name", s.Name}))
	}
	return all
}

// aws returns a command of the aws CLI in the stack's account and region.
func (s *Stack) aws(args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "aws --profile %s --region %s", word(s.Profile), word(s.Region))
	for _, a := range args[1:] {
		b.WriteString(" " + s.argument(a))
	}
	return b.String()
}

func (p *Plan) cloudFormation(s *Stack) string {
	var b strings.Builder
	b.WriteString(s.aws([]string{"aws", "cloudformation", "deploy", "--stack-name", s.Name, "--template-file", s.Directory + "/template.json",
		"--capabilities", "CAPABILITY_NAMED_IAM", "--no-fail-on-empty-changeset"}))
	if len(s.Inputs) > 0 {
		b.WriteString(" --parameter-overrides")
		for _, in := range s.Inputs {
			fmt.Fprintf(&b, ` %s="$(%s)"`, in.Parameter, in.command())
		}
	}
	b.WriteString(" --tags")
	for _, t := range s.Tags {
		b.WriteString(" " + word(t.Key+"="+t.Value))
	}
	return b.String()
}

func (p *Plan) terraform(s *Stack, verb string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "AWS_PROFILE=%s AWS_REGION=%s terraform -chdir=%s %s -input=false -auto-approve", word(s.Profile), word(s.Region), word(s.Directory), verb)
	for _, in := range s.Inputs {
		if in.Elsewhere {
			fmt.Fprintf(&b, ` -var %s="$(%s)"`, template.SnakeCase(in.Parameter), in.command())
			continue
		}
		fmt.Fprintf(&b, ` -var %s="$(terraform -chdir=%s output -raw %s)"`, template.SnakeCase(in.Parameter), word(in.from.Directory), template.SnakeCase(in.FromOutput))
	}
	return b.String()
}

// word quotes an argument for a POSIX shell if it needs that.
func word(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.,/:=@+%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// deployScript is deploy.sh: all commands, wave by wave. A role that was just
// created is not known everywhere at once, and policies that name it are refused
// until then, so what fails is tried again.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
func (p *Plan) deployScript() []byte {
	var b strings.Builder
	b.WriteString(`#!/bin/sh
# Deploys all waves. Run it again after a failure: what is deployed stays as it is.
set -eu
cd "$(dirname "$0")"

# Roles that were just created are not known everywhere at once.
try() {
	n=1
	until "$@"; do
		[ "$n" -lt 4 ] || return 1
		echo "trying again in $((n * 15)) seconds" >&2
		sleep $((n * 15))
		n=$((n + 1))
	done
}
`)
	if p.Format == CloudFormation {
		b.WriteString(`
# A stack whose creation failed can only be deleted before it is tried again.
unstick() {
	[ "$("$@" describe-stacks --query 'Stacks[0].StackStatus' --output text --stack-name "$stack" 2>/dev/null)" = ROLLBACK_COMPLETE ] || return 0
	"$@" delete-stack --stack-name "$stack"
	"$@" wait stack-delete-complete --stack-name "$stack"
}
`)
	}
	for _, w := range p.Waves {
		fmt.Fprintf(&b, "\n# Wave %d\n", w.Number)
		for _, s := range w.Stacks {
			for n, c := range p.DeployCommands(s) {
				before := ""
				if n == 0 && p.Format == CloudFormation && s.Template != nil {
					before = fmt.Sprintf("\tstack=%s\n\tunstick %s\n", word(s.Name), s.aws([]string{"aws", "cloudformation"}))
				}
				fmt.Fprintf(&b, "%s() {\n%s\t%s\n}\ntry %s\n", function(s, n), before, c, function(s, n))
			}
		}
	}
	return []byte(b.String())
}

func function(s *Stack, n int) string {
	return strings.ReplaceAll(slug(s.Name), "-", "_") + fmt.Sprintf("_%d", n+1)
}

// removeScript is remove.sh: the last wave first.
func (p *Plan) removeScript() []byte {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# Removes everything that deploy.sh created, in reverse.\nset -eu\ncd \"$(dirname \"$0\")\"\n")
	for i := len(p.Waves) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "\n# Wave %d\n", p.Waves[i].Number)
		for n := len(p.Waves[i].Stacks) - 1; n >= 0; n-- {
			for _, c := range p.DeleteCommands(p.Waves[i].Stacks[n]) {
				b.WriteString(c + "\n")
			}
		}
	}
	return []byte(b.String())
}
