package cfn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	quota "github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// Write writes the stack as a CloudFormation template in JSON: the same bytes
// for the same stack, fit for the console and for [Parse]. References become
// Ref, Fn::GetAtt, Fn::Sub and Fn::If; everything else is literal text.
//
// The error is a [*template.Error] if AWS would refuse the stack, or if the
// template is larger than [reference.MaxTemplateObject]. Templates larger than
// [reference.MaxTemplateBody] must be passed to CloudFormation through S3.
func Write(s *template.Stack) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	w := &writer{stack: s}
	document, err := w.document()
	if err != nil {
		return nil, err
	}
	var compact, out bytes.Buffer
	w.value(&compact, document)
	if w.err != nil {
		return nil, w.err
	}
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("writing the template: %w", err)
	}
	out.WriteByte('\n')
	if err := quota.CheckTemplateObject(out.Len()); err != nil {
		return nil, &template.Error{Problems: []template.Problem{{Field: "Template", Message: err.Error()}}}
	}
	return out.Bytes(), nil
}

type writer struct {
	stack *template.Stack
	err   error
}

func (w *writer) document() (template.Object, error) {
	var o template.Object
	o.Add("AWSTemplateFormatVersion", "2010-09-09")
	o.AddText("Description", w.stack.Description)
	o.Add("Metadata", w.metadata())
	if len(w.stack.Parameters) > 0 {
		o.Add("Parameters", w.parameters())
	}
	if len(w.stack.Conditions) > 0 {
		var conditions template.Object
		for _, c := range w.stack.Conditions {
			conditions.Add(c.ID, expression(c.Expr))
		}
		o.Add("Conditions", conditions)
	}
	var resources template.Object
	for _, r := range w.stack.Resources {
		properties, err := w.properties(r)
		if err != nil {
			return nil, err
		}
		var resource template.Object
		resource.Add("Type", r.Kind.Type())
		resource.AddText("Condition", r.Condition)
		if g, ok := r.Kind.(*template.Generic); ok && len(g.After) > 0 {
			resource.Add("DependsOn", literals(g.After))
		}
		resource.Add("Properties", properties)
		resources.Add(r.ID, resource)
	}
	o.Add("Resources", resources)
	if len(w.stack.Outputs) > 0 {
		var outputs template.Object
		for _, out := range w.stack.Outputs {
			var output template.Object
			output.AddText("Description", out.Description)
			output.Add("Value", out.Value)
			outputs.Add(out.ID, output)
		}
		o.Add("Outputs", outputs)
	}
	return o, nil
}

// properties has a case for every kind of resource.
func (w *writer) properties(r template.Resource) (template.Object, error) {
	switch k := r.Kind.(type) {
	case *template.Role:
		return role(k), nil
	case *template.ManagedPolicy:
		return managedPolicy(k), nil
	case *template.Generic:
		return k.Properties, nil
	}
	return nil, fmt.Errorf("resource %s: CloudFormation templates with %s cannot be written", r.ID, r.Kind.Type())
}

func (w *writer) metadata() template.Object {
	var own template.Object
	own.AddText("Version", w.stack.Metadata.Version)
	own.AddText("Generator", w.stack.Metadata.Generator)
	own.Add("ContentHash", w.stack.Hash())
	var o template.Object
	if len(w.stack.Parameters) > 0 {
		// The console shows parameters in this order and with these labels.
		var labels template.Object
		var ids []any
		for _, p := range w.stack.Parameters {
			ids = append(ids, p.ID)
			if p.Label != "" {
				labels.Add(p.ID, template.Object{{Key: "default", Value: p.Label}})
			}
		}
		var ui template.Object
		ui.Add("ParameterGroups", []any{template.Object{{Key: "Parameters", Value: ids}}})
		if len(labels) > 0 {
			ui.Add("ParameterLabels", labels)
		}
		o.Add("AWS::CloudFormation::Interface", ui)
	}
	o.Add("Crossaccount", own)
	return o
}

func (w *writer) parameters() template.Object {
	var parameters template.Object
	for _, p := range w.stack.Parameters {
		var o template.Object
		o.Add("Type", map[template.ParameterType]string{template.String: "String", template.Number: "Number"}[p.Type])
		o.AddText("Description", p.Description)
		if p.Default != nil {
			o.Add("Default", *p.Default)
		}
		if len(p.AllowedValues) > 0 {
			o.Add("AllowedValues", template.Texts(p.AllowedValues))
		}
		if p.Pattern != "" {
			o.Add("AllowedPattern", "^("+p.Pattern+")$")
		}
		if p.MinLength > 0 {
			o.Add("MinLength", p.MinLength)
		}
		if p.MaxLength > 0 {
			o.Add("MaxLength", p.MaxLength)
		}
		o.AddText("ConstraintDescription", p.Constraint)
		parameters.Add(p.ID, o)
	}
	return parameters
}

func expression(e template.Expr) any {
	list := func(name string, all []template.Expr) function {
		var args []any
		for _, sub := range all {
			args = append(args, expression(sub))
		}
		return function{name, args}
	}
	switch e := e.(type) {
	case template.Equals:
		return function{"Fn::Equals", []any{e.A, e.B}}
	case template.Not:
		return list("Fn::Not", []template.Expr{e.Expr})
	case template.And:
		return list("Fn::And", e)
	case template.Or:
		return list("Fn::Or", e)
	case template.Is:
		return function{"Condition", literal(e)}
	}
	panic(fmt.Sprintf("cfn: unknown expression %T", e))
}

// value serialises v, turning the references in its strings into intrinsic
// functions.
func (w *writer) value(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case string:
		w.text(b, v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case literal:
		quote(b, string(v))
	case function:
		b.WriteByte('{')
		quote(b, v.name)
		b.WriteByte(':')
		w.value(b, v.argument)
		b.WriteByte('}')
	case template.Object:
		b.WriteByte('{')
		for i, m := range v {
			if m.Key == "Ref" || strings.HasPrefix(m.Key, "Fn::") {
				w.err = fmt.Errorf("the name %q cannot be used here: CloudFormation would take it for a function", m.Key)
			}
			if i > 0 {
				b.WriteByte(',')
			}
			quote(b, m.Key)
			b.WriteByte(':')
			w.value(b, m.Value)
		}
		b.WriteByte('}')
	case *iam.Policy:
		w.value(b, template.Document(v))
	case nil:
		b.WriteString("null")
	case []any:
		w.list(b, v)
	default:
		w.err = fmt.Errorf("writing the template: unexpected %T", v)
	}
}

// list writes a list with an optional element as a choice between the list with
// and the list without it. AWS::NoValue inside the list would do the same in
// CloudFormation, but not in all programs that read templates.
func (w *writer) list(b *bytes.Buffer, list []any) {
	before, optional, after, ok := template.SplitOptional(list)
	if ok {
		var with, without any = append(append(append([]any{}, before...), optional.Value), after...), append(append([]any{}, before...), after...)
		if short := without.([]any); len(short) == 1 {
			without = short[0]
		}
		w.value(b, function{"Fn::If", []any{literal(optional.Condition), with, without}})
		return
	}
	b.WriteByte('[')
	for i, v := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		w.value(b, v)
	}
	b.WriteByte(']')
}

// A function is a call of an intrinsic function.
type function struct {
	name     string
	argument any
}

// literal is text that has been looked through for references already.
type literal string

func (w *writer) text(b *bytes.Buffer, s string) {
	parts := template.Parts(s)
	switch {
	case len(parts) == 0:
		quote(b, "")
		return
	case len(parts) == 1:
		w.single(b, parts[0])
		return
	}
	if sub, ok := w.substitution(parts); ok {
		w.value(b, function{"Fn::Sub", literal(sub)})
		return
	}
	b.WriteString(`{"Fn::Join":["",[`)
	for i, part := range parts {
		if i > 0 {
			b.WriteByte(',')
		}
		w.single(b, part)
	}
	b.WriteString(`]]}`)
}

// single writes a part that stands alone.
func (w *writer) single(b *bytes.Buffer, part template.Part) {
	switch part := part.(type) {
	case template.Literal:
		quote(b, string(part))
	case template.ParameterRef:
		w.value(b, ref(string(part)))
	case template.Variable:
		w.value(b, ref(string(part)))
	case template.AttributeRef:
		if name := w.attribute(part); strings.Contains(name, ".") {
			w.value(b, function{"Fn::GetAtt", []any{literal(part.Resource), literal(strings.TrimPrefix(name, part.Resource+"."))}})
		} else {
			w.value(b, ref(name))
		}
	case template.Conditional:
		w.value(b, function{"Fn::If", []any{literal(part.Condition), part.Then, part.Otherwise}})
	default:
		w.err = fmt.Errorf("writing the template: %T cannot stand here", part)
	}
}

func literals(texts []string) []any {
	var out []any
	for _, s := range texts {
		out = append(out, literal(s))
	}
	return out
}

func ref(name string) function { return function{"Ref", literal(name)} }

// attribute returns how CloudFormation calls an attribute: "Role.Arn", or just
// the logical id for what Ref gives.
func (w *writer) attribute(a template.AttributeRef) string {
	r, _ := w.stack.Resource(a.Resource)
	switch k := r.Kind.(type) {
	case *template.Generic:
		name := k.Attributes[a.Attribute]
		if name == "Ref" {
			return a.Resource
		}
		return a.Resource + "." + name
	case *template.Role:
		if a.Attribute == "Name" {
			return a.Resource
		}
	case *template.ManagedPolicy:
		if a.Attribute == "Arn" {
			return a.Resource
		}
		w.err = fmt.Errorf("writing the template: CloudFormation does not tell the %s of a managed policy", a.Attribute)
	}
	return a.Resource + "." + a.Attribute
}

// dollarName is how Fn::Sub marks a reference. Text that has one keeps it if an
// exclamation mark is put after the brace; any other text with "${" is left to
// Fn::Join, because there is nothing to escape.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-sub.html
var dollarName = regexp.MustCompile(`\$\{[^!{}$"]+\}`)

// substitution returns the argument of Fn::Sub, or false if the text cannot be
// written as one.
func (w *writer) substitution(parts []template.Part) (string, bool) {
	var b strings.Builder
	for i, part := range parts {
		switch part := part.(type) {
		case template.Literal:
			rest := dollarName.ReplaceAllString(string(part), "")
			if strings.Contains(rest, "${") || strings.HasSuffix(rest, "$") && i < len(parts)-1 {
				return "", false
			}
			b.WriteString(dollarName.ReplaceAllStringFunc(string(part), func(s string) string { return "${!" + s[2:] }))
		case template.ParameterRef:
			b.WriteString("${" + string(part) + "}")
		case template.Variable:
			b.WriteString("${" + string(part) + "}")
		case template.AttributeRef:
			b.WriteString("${" + w.attribute(part) + "}")
		default:
			return "", false
		}
	}
	return b.String(), true
}

// quote writes a JSON string without escaping <, > and &.
func quote(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // writing a string to a buffer cannot fail
	b.Truncate(b.Len() - 1)
}
