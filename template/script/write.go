// Package script writes stacks as POSIX shell scripts of aws CLI calls, for
// people who use neither CloudFormation nor Terraform.
//
// The script can be run again: what exists is updated. "remove" undoes it.
// Parameters are options of the script and are checked before anything is done.
// Every text of the stack is either inside single quotes, with the quote itself
// escaped, or inside a comment without line breaks, so no text can become a
// command. Requests are passed as JSON (--cli-input-json): the CLI would read
// files for plain arguments that begin with "file://".
package script

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/template"
)

// Write writes the stack as a shell script: the same bytes for the same stack.
// The error is a [*template.Error] if AWS would refuse the stack.
func Write(s *template.Stack) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	w := &writer{stack: s}
	for _, r := range s.Resources {
		if err := w.resource(r); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	w.head(&out)
	out.WriteString(functions)
	w.parameters(&out)
	w.variables(&out)
	out.WriteString("\nif [ \"$action\" = remove ]; then\n")
	// In reverse: what was made last may need what was made first.
	for i := len(w.remove) - 1; i >= 0; i-- {
		indent(&out, w.remove[i])
	}
	out.WriteString("  echo 'Removed.'\n  exit 0\nfi\n\n")
	for _, step := range w.apply {
		out.WriteString(step)
	}
	out.WriteByte('\n')
	for _, o := range s.Outputs {
		value := w.word(&out, o.Value)
		fmt.Fprintf(&out, "printf '%%s: %%s\\n' %s %s\n", quote(o.ID), value)
	}
	return out.Bytes(), nil
}

type writer struct {
	stack  *template.Stack
	apply  []string // steps that create or update
	remove []string // steps that undo them
	values int      // of shell variables made so far
}

// resource has a case for every kind of resource.
func (w *writer) resource(r template.Resource) error {
	switch k := r.Kind.(type) {
	case *template.Role:
		w.role(r, k)
	case *template.ManagedPolicy:
		w.managedPolicy(r, k)
	default:
		return fmt.Errorf("resource %s: shell scripts with %s cannot be written", r.ID, k.Type())
	}
	return nil
}

// step adds the lines that create or update a resource, and those that remove
// it, both also when its condition does not hold.
func (w *writer) step(r template.Resource, apply, remove string) {
	if r.Condition != "" {
		var b bytes.Buffer
		fmt.Fprintf(&b, "if [ \"$%s\" = true ]; then\n", conditionName(r.Condition))
		indent(&b, apply)
		b.WriteString("else\n")
		indent(&b, remove)
		b.WriteString("fi\n")
		apply = b.String()
	}
	w.apply = append(w.apply, apply)
	w.remove = append(w.remove, remove)
}

func indent(b *bytes.Buffer, lines string) {
	for line := range strings.Lines(lines) {
		b.WriteString("  " + line)
	}
}

func (w *writer) head(b *bytes.Buffer) {
	b.WriteString("#!/bin/sh\n")
	comment(b, w.stack.Description)
	comment(b, w.stack.Metadata.String())
	comment(b, "content "+w.stack.Hash())
	b.WriteString("# Run it with --help to see what it takes; with \"remove\" it undoes everything.\n\nset -euf\n")
	b.WriteString("LC_ALL=C AWS_PAGER=''\nexport LC_ALL AWS_PAGER\n\nusage() {\n")
	line := func(text string) { fmt.Fprintf(b, "  printf '%%s\\n' %s\n", quote(text)) }
	line("usage: sh FILE [apply|remove] [OPTIONS]")
	for _, p := range w.stack.Parameters {
		text := "  " + optionName(p.ID) + " VALUE  " + p.Description
		switch {
		case p.Default == nil:
			text += " (required)"
		case *p.Default != "":
			text += " (default: " + *p.Default + ")"
		}
		line(text)
	}
	b.WriteString("}\n")
}

// comment writes text on one line of comment.
func comment(b *bytes.Buffer, text string) {
	if text = strings.TrimSpace(oneLine(text)); text != "" {
		b.WriteString("# " + text + "\n")
	}
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, text)
}

// parameters writes the part of the script that reads its arguments.
func (w *writer) parameters(b *bytes.Buffer) {
	b.WriteString("\naction=apply\n")
	for _, p := range w.stack.Parameters {
		value := ""
		if p.Default != nil {
			value = *p.Default
		}
		fmt.Fprintf(b, "%s=%s\n", parameterName(p.ID), quote(value))
		if p.Default == nil {
			fmt.Fprintf(b, "given_%s=false\n", parameterName(p.ID))
		}
	}
	b.WriteString("while [ $# -gt 0 ]; do\n  case $1 in\n    apply|remove) action=$1; shift; continue ;;\n")
	for _, p := range w.stack.Parameters {
		option := optionName(p.ID)
		given := ""
		if p.Default == nil {
			given = " given_" + parameterName(p.ID) + "=true"
		}
		fmt.Fprintf(b, "    %s) [ $# -ge 2 ] || fail '%s needs a value'; %s=$2%s ;;\n", option, option, parameterName(p.ID), given)
	}
	b.WriteString("    --help) usage; exit 0 ;;\n    *) usage >&2; exit 2 ;;\n  esac\n  shift 2\ndone\n")
	named := w.namingParameters()
	for _, p := range w.stack.Parameters {
		name, option := parameterName(p.ID), optionName(p.ID)
		rule := p.Constraint
		if rule == "" {
			rule = p.Pattern
		}
		longest := p.MaxLength
		if longest == 0 {
			longest = 4096
		}
		pattern := p.Pattern
		if p.Type == template.Number {
			pattern = "-?[0-9]+([.][0-9]+)?"
		}
		check := fmt.Sprintf("check %s \"$%s\" %d %d %s %s\n", option, name, p.MinLength, longest, quote(pattern), quote(rule))
		if len(p.AllowedValues) > 0 {
			var values []string
			for _, v := range p.AllowedValues {
				values = append(values, quote(v))
			}
			check += fmt.Sprintf("case $%s in %s) ;; *) fail %s ;; esac\n", name, strings.Join(values, "|"),
				quote(option+" must be one of "+strings.Join(p.AllowedValues, ", ")))
		}
		switch {
		case p.Default != nil:
			b.WriteString(check)
		case named[p.ID]:
			fmt.Fprintf(b, "[ \"$given_%s\" = true ] || fail '%s is required'\n%s", name, option, check)
		default: // not needed to remove
			fmt.Fprintf(b, "if [ \"$given_%s\" = true ] || [ \"$action\" = apply ]; then\n  [ \"$given_%s\" = true ] || fail '%s is required'\n", name, name, option)
			indent(b, check)
			b.WriteString("fi\n")
		}
	}
}

// namingParameters returns the parameters without which the resources cannot be
// found.
func (w *writer) namingParameters() map[string]bool {
	named := map[string]bool{}
	for _, r := range w.stack.Resources {
		var texts []string
		switch k := r.Kind.(type) {
		case *template.Role:
			texts = []string{k.Name, k.Path}
		case *template.ManagedPolicy:
			texts = []string{k.Name, k.Path}
		}
		for _, text := range texts {
			for _, part := range template.Parts(text) {
				if p, ok := part.(template.ParameterRef); ok {
					named[string(p)] = true
				}
			}
		}
	}
	return named
}

// variables writes what the script must find out before it can begin.
func (w *writer) variables(b *bytes.Buffer) {
	b.WriteString(`
caller=$(aws sts get-caller-identity --query Arn --output text)
partition=$(printf '%s' "$caller" | cut -d : -f 2)
account_id=$(printf '%s' "$caller" | cut -d : -f 5)
case $account_id in *[!0-9]*|'') fail 'cannot tell the account from the aws credentials' ;; esac
`)
	if uses(w.stack, "AWS::Region") {
		b.WriteString("region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}\n[ -n \"$region\" ] || fail 'set AWS_REGION'\n")
	}
	if uses(w.stack, "AWS::URLSuffix") {
		b.WriteString("case $partition in aws-cn) url_suffix=amazonaws.com.cn ;; aws-eusc) url_suffix=amazonaws.eu ;; *) url_suffix=amazonaws.com ;; esac\n")
	}
	for _, r := range w.stack.Resources {
		for _, attribute := range []string{"Name", "Arn"} {
			ref := template.AttributeRef{Resource: r.ID, Attribute: attribute}
			fmt.Fprintf(b, "%s=%s\n", attributeName(ref), w.word(b, w.stack.AttributeText(ref)))
		}
	}
	for _, c := range w.ordered() {
		name := conditionName(c.ID)
		fmt.Fprintf(b, "%s=false\nif %s; then %s=true; fi\n", name, w.expression(b, c.Expr), name)
	}
}

// ordered returns the conditions with those first that others are made of.
func (w *writer) ordered() []template.Condition {
	var out []template.Condition
	done := map[string]bool{}
	var visit func(c template.Condition)
	var needs func(e template.Expr)
	needs = func(e template.Expr) {
		switch e := e.(type) {
		case template.Not:
			needs(e.Expr)
		case template.And:
			for _, sub := range e {
				needs(sub)
			}
		case template.Or:
			for _, sub := range e {
				needs(sub)
			}
		case template.Is:
			for _, c := range w.stack.Conditions {
				if c.ID == string(e) {
					visit(c)
				}
			}
		}
	}
	visit = func(c template.Condition) {
		if !done[c.ID] {
			done[c.ID] = true
			needs(c.Expr)
			out = append(out, c)
		}
	}
	for _, c := range w.stack.Conditions {
		visit(c)
	}
	return out
}

func (w *writer) expression(b *bytes.Buffer, e template.Expr) string {
	join := func(operator string, all []template.Expr) string {
		var list []string
		for _, sub := range all {
			list = append(list, w.expression(b, sub))
		}
		return "{ " + strings.Join(list, operator) + "; }"
	}
	switch e := e.(type) {
	case template.Equals:
		return "[ " + w.word(b, e.A) + " = " + w.word(b, e.B) + " ]"
	case template.Not:
		return "! " + w.expression(b, e.Expr)
	case template.And:
		return join(" && ", e)
	case template.Or:
		return join(" || ", e)
	case template.Is:
		return "[ \"$" + conditionName(string(e)) + "\" = true ]"
	}
	panic(fmt.Sprintf("script: unknown expression %T", e))
}
