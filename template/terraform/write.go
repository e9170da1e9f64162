// Package terraform writes stacks as Terraform configuration in JSON syntax.
//
// Parameters become variables with validations, conditions become local values
// and counts, and policies become calls of jsonencode on objects, so that no
// value is ever pasted into JSON text. The configuration needs the provider
// hashicorp/aws and can be used as a root module or as a child module.
//
// https://developer.hashicorp.com/terraform/language/syntax/json
package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// Write writes the stack as the content of a file main.tf.json: the same bytes
// for the same stack. Logical ids become names in snake case.
//
// The error is a [*template.Error] if AWS would refuse the stack. That includes
// policies that are too long only because Terraform writes <, > and & with six
// characters each.
func Write(s *template.Stack) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	w := &writer{stack: s, data: map[string]bool{}}
	for _, r := range s.Resources {
		if err := w.resource(r); err != nil {
			return nil, err
		}
	}
	document := w.document()
	if len(w.problems) > 0 {
		return nil, &template.Error{Problems: w.problems}
	}
	var compact, out bytes.Buffer
	if err := write(&compact, document); err != nil {
		return nil, err
	}
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

type writer struct {
	stack     *template.Stack
	data      map[string]bool // data sources that are used
	resources []group
	problems  []template.Problem
}

// A group holds all resources of one Terraform type.
type group struct {
	kind    string
	members template.Object
}

// resource has a case for every kind of resource.
func (w *writer) resource(r template.Resource) error {
	switch k := r.Kind.(type) {
	case *template.Role:
		w.role(r, k)
	case *template.ManagedPolicy:
		w.managedPolicy(r, k)
	case *template.Generic:
		if len(k.Terraform) == 0 {
			return fmt.Errorf("resource %s: Terraform configuration with %s cannot be written", r.ID, k.Type())
		}
		w.generic(r, k)
	default:
		return fmt.Errorf("resource %s: Terraform configuration with %s cannot be written", r.ID, k.Type())
	}
	return nil
}

// add appends a resource, with a count if it depends on a condition.
func (w *writer) add(kind, name, condition string, attributes template.Object) {
	if condition != "" {
		attributes = append(template.Object{{Key: "count", Value: code("${" + w.local(condition) + " ? 1 : 0}")}}, attributes...)
	}
	for i := range w.resources {
		if w.resources[i].kind == kind {
			w.resources[i].members.Add(name, attributes)
			return
		}
	}
	w.resources = append(w.resources, group{kind, template.Object{{Key: name, Value: attributes}}})
}

func (w *writer) document() template.Object {
	var o template.Object
	var comment []string
	for _, text := range []string{w.stack.Description, w.stack.Metadata.String(), "content " + w.stack.Hash()} {
		if text != "" {
			comment = append(comment, text)
		}
	}
	o.Add("//", code(strings.Join(comment, "; ")))
	o.Add("terraform", template.Object{
		{Key: "required_version", Value: code(">= 1.2")},
		{Key: "required_providers", Value: template.Object{{Key: "aws", Value: template.Object{
			{Key: "source", Value: code("hashicorp/aws")},
			{Key: "version", Value: code(">= 4.0")},
		}}}},
	})
	if len(w.stack.Parameters) > 0 {
		var variables template.Object
		for _, p := range w.stack.Parameters {
			variables.Add(snake(p.ID), w.variable(p))
		}
		o.Add("variable", variables)
	}
	if len(w.stack.Conditions) > 0 {
		var locals template.Object
		for _, c := range w.stack.Conditions {
			locals.Add(snake(c.ID), code("${"+w.expression(c.Expr)+"}"))
		}
		o.Add("locals", locals)
	}
	var resources template.Object
	for _, g := range w.resources {
		resources.Add(g.kind, g.members)
	}
	var outputs template.Object
	for _, out := range w.stack.Outputs {
		var output template.Object
		if out.Description != "" {
			output.Add("description", code(out.Description))
		}
		output.Add("value", code(w.text(out.Value)))
		outputs.Add(snake(out.ID), output)
	}
	var sources template.Object
	for _, source := range []string{"aws_caller_identity", "aws_partition", "aws_region"} {
		if w.data[source] {
			sources.Add(source, template.Object{{Key: "current", Value: template.Object{}}})
		}
	}
	if len(sources) > 0 {
		o.Add("data", sources)
	}
	o.Add("resource", resources)
	if len(outputs) > 0 {
		o.Add("output", outputs)
	}
	return o
}

// variable describes a parameter. Terraform takes type, default and description
// literally.
func (w *writer) variable(p template.Parameter) template.Object {
	var o template.Object
	kind := "string"
	if p.Type == template.Number {
		kind = "number"
	}
	o.Add("type", code(kind))
	if p.Description != "" {
		o.Add("description", code(p.Description))
	}
	if p.Default != nil {
		o.Add("default", code(*p.Default))
	}
	value := w.parameter(p.ID)
	var rules []any
	rule := func(condition, message string) {
		if p.Constraint != "" {
			message = p.Constraint
		}
		rules = append(rules, template.Object{
			{Key: "condition", Value: code("${" + condition + "}")},
			{Key: "error_message", Value: code(escape(fmt.Sprintf("The value of %s must be: %s.", snake(p.ID), message)))},
		})
	}
	if len(p.AllowedValues) > 0 {
		rule(fmt.Sprintf("contains(%s, %s)", w.list(template.Texts(p.AllowedValues)), value), "one of "+strings.Join(p.AllowedValues, ", "))
	}
	if p.MinLength > 0 {
		rule(fmt.Sprintf("length(%s) >= %d", value, p.MinLength), fmt.Sprintf("at least %d characters", p.MinLength))
	}
	if p.MaxLength > 0 {
		rule(fmt.Sprintf("length(%s) <= %d", value, p.MaxLength), fmt.Sprintf("at most %d characters", p.MaxLength))
	}
	if p.Pattern != "" {
		rule(fmt.Sprintf("can(regex(%s, %s))", quote("^(?:"+p.Pattern+")$"), value), "text that matches "+p.Pattern)
	}
	if len(rules) > 0 {
		o.Add("validation", rules)
	}
	return o
}

// policy returns a policy document as a call of jsonencode.
func (w *writer) policy(at string, p *iam.Policy, limit func(int) error) code {
	longer := 0
	for _, c := range string(p.Indent()) {
		if c == '<' || c == '>' || c == '&' {
			longer += len(`\u003c`) - 1
		}
	}
	if err := limit(w.stack.Size(p) + longer); err != nil {
		w.problems = append(w.problems, template.Problem{Field: at, Message: err.Error() + ", with <, > and & as Terraform writes them"})
	}
	return code("${jsonencode(" + w.value(template.Document(p)) + ")}")
}

// reserved are the names that variables cannot have.
var reserved = map[string]bool{
	"source": true, "version": true, "providers": true, "count": true, "for_each": true,
	"lifecycle": true, "depends_on": true, "locals": true,
}

// snake returns Terraform's name for an id.
func snake(id string) string {
	name := template.SnakeCase(id)
	if reserved[name] || name[0] >= '0' && name[0] <= '9' {
		return "the_" + name
	}
	return name
}

// The quotas of the places a policy can be.
var (
	trustLimit   = reference.CheckTrustPolicySize
	inlineLimit  = reference.CheckRoleInlineSize
	managedLimit = reference.CheckManagedPolicySize
)
