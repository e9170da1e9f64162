package cfn

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Template is a CloudFormation template with its sections taken apart.
// Everything is in the order in which it was written.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html
type Template struct {
	Root *Node // the whole document

	Description string
	Metadata    *Node // nil if the section is absent, as for the next three
	Rules       *Node
	Transform   *Node
	Hooks       *Node

	Parameters []*Parameter
	Mappings   []*Mapping
	Conditions []*Condition
	Resources  []*Resource
	Outputs    []*Output
}

// A Parameter is a declaration in the Parameters section. A nil field or an
// empty string means that the attribute is absent.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
type Parameter struct {
	Name                  string
	Position              iam.Position // of the name
	Type                  string
	Description           string
	Default               *Node // a scalar
	AllowedPattern        string
	AllowedValues         []string
	ConstraintDescription string
	NoEcho                bool
	MinLength, MaxLength  *Node // scalars, as are the next two
	MinValue, MaxValue    *Node
}

// A Mapping is a table in the Mappings section.
type Mapping struct {
	Name string
	Rows *Node // a map of maps
}

// A Condition is a named condition.
type Condition struct {
	Name       string
	Position   iam.Position // of the name
	Expression *Node
}

// A Resource is a declaration in the Resources section.
type Resource struct {
	Name                string       // the logical ID
	Position            iam.Position // of the name
	Type                string
	Properties          *Node // a map, or nil
	DependsOn           []string
	Condition           string // the name of a condition, or empty
	DeletionPolicy      string // as written; empty if absent
	UpdateReplacePolicy string // as written; empty if absent
	Metadata            *Node
	CreationPolicy      *Node
	UpdatePolicy        *Node
}

// An Output is a declaration in the Outputs section.
type Output struct {
	Name        string
	Position    iam.Position // of the name
	Description string
	Value       *Node
	Condition   string // the name of a condition, or empty
	ExportName  *Node  // the Name of Export; nil if there is none
}

// Parameter returns the parameter with that name, or nil.
func (t *Template) Parameter(name string) *Parameter {
	for _, p := range t.Parameters {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Resource returns the resource with that logical ID, or nil.
func (t *Template) Resource(name string) *Resource {
	for _, r := range t.Resources {
		if r.Name == name {
			return r
		}
	}
	return nil
}

func (t *Template) condition(name string) *Condition {
	for _, c := range t.Conditions {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (t *Template) mapping(name string) *Mapping {
	for _, m := range t.Mappings {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Limits on the number of declarations in one template.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const (
	maxParameters  = 200
	maxMappings    = 200
	maxResources   = 500
	maxOutputs     = 200
	maxDescription = 1024 // bytes
)

// Read parses a template and takes its sections apart. It refuses unknown
// sections and attributes, values of the wrong type, nulls, and more
// declarations than CloudFormation allows. The error is a [*SyntaxError] with
// every problem found. Read does not ask whether references lead anywhere;
// [Template.Check] does.
func Read(data []byte) (*Template, error) {
	root, err := Parse(data)
	if err != nil {
		return nil, err
	}
	r := &reader{}
	t := r.template(root)
	if len(r.problems) > 0 {
		return nil, &SyntaxError{Problems: r.problems}
	}
	return t, nil
}

// A reader collects problems while it takes a document apart.
type reader struct{ problems []Problem }

func (r *reader) problem(path string, pos iam.Position, format string, args ...any) {
	r.problems = append(r.problems, Problem{Path: path, Position: pos, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) template(root *Node) *Template {
	t := &Template{Root: root}
	if root.Kind != NodeMap {
		r.problem("", root.Position, "Template format error: unsupported structure.")
		return t
	}
	root.Walk(func(path string, n *Node) bool {
		if n.Kind == NodeNull {
			r.problem(path, n.Position, "Template format error: [%s] 'null' values are not allowed in templates", pathOrRoot(path))
		}
		return true
	})
	if len(r.problems) > 0 {
		return t
	}
	var unknown []string
	for _, e := range root.Entries {
		path, v := "/"+e.Key, e.Value
		switch e.Key {
		case "AWSTemplateFormatVersion":
			if !v.IsScalar() || v.Text != "2010-09-09" {
				r.problem(path, v.Position, "Template format error: unsupported value for AWSTemplateFormatVersion.")
			}
		case "Description":
			t.Description = r.text(path, v)
			if len(t.Description) > maxDescription {
				r.problem(path, v.Position, "Template format error: 'Description' length is greater than %d.", maxDescription)
			}
		case "Metadata":
			t.Metadata = r.mapOf(path, v)
		case "Rules":
			t.Rules = r.mapOf(path, v)
		case "Hooks":
			t.Hooks = r.mapOf(path, v)
		case "Transform":
			t.Transform = v
		case "Parameters":
			for _, e := range r.section(path, v, maxParameters) {
				t.Parameters = append(t.Parameters, r.parameter(path+"/"+e.Key, e))
			}
		case "Mappings":
			for _, e := range r.section(path, v, maxMappings) {
				t.Mappings = append(t.Mappings, r.mapping(path+"/"+e.Key, e))
			}
		case "Conditions":
			for _, e := range r.entries(path, v) {
				t.Conditions = append(t.Conditions, &Condition{Name: e.Key, Position: e.KeyPosition, Expression: e.Value})
			}
		case "Resources":
			for _, e := range r.section(path, v, maxResources) {
				t.Resources = append(t.Resources, r.resource(path+"/"+e.Key, e))
			}
		case "Outputs":
			for _, e := range r.section(path, v, maxOutputs) {
				t.Outputs = append(t.Outputs, r.output(path+"/"+e.Key, e))
			}
		default:
			unknown = append(unknown, e.Key)
		}
	}
	if len(unknown) > 0 {
		r.problem("", root.Position, "Invalid template property or properties [%s]", strings.Join(unknown, ", "))
	}
	if len(t.Resources) == 0 && len(r.problems) == 0 {
		r.problem("/Resources", root.Position, "Template format error: At least one Resources member must be defined.")
	}
	return t
}

var alphanumeric = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// section returns the declarations of a section whose names are alphanumeric.
func (r *reader) section(path string, n *Node, most int) []Entry {
	entries := r.entries(path, n)
	if len(entries) > most {
		r.problem(path, n.Position, "Template format error: Number of %s, %d, is greater than maximum allowed, %d", strings.ToLower(path[1:]), len(entries), most)
		return nil
	}
	kind := strings.TrimSuffix(path[1:], "s")
	for _, e := range entries {
		if !alphanumeric.MatchString(e.Key) {
			r.problem(path+"/"+e.Key, e.KeyPosition, "Template format error: %s name %s is non alphanumeric.", kind, e.Key)
		} else if len(e.Key) > 255 {
			r.problem(path+"/"+e.Key, e.KeyPosition, "Template format error: %s name %s... is longer than 255 characters.", kind, e.Key[:32])
		}
	}
	return entries
}

func (r *reader) entries(path string, n *Node) []Entry {
	if n.Kind != NodeMap {
		r.problem(path, n.Position, "Template format error: [%s] must be an object, not a %s.", pathOrRoot(path), n.Kind)
		return nil
	}
	return n.Entries
}

func (r *reader) mapOf(path string, n *Node) *Node {
	r.entries(path, n)
	return n
}

func (r *reader) scalar(path string, n *Node) *Node {
	if !n.IsScalar() {
		r.problem(path, n.Position, "Template format error: [%s] must be a string, not a %s.", path, n.Kind)
		return NewText("")
	}
	return n
}

func (r *reader) text(path string, n *Node) string { return r.scalar(path, n).Text }

func (r *reader) parameter(path string, e Entry) *Parameter {
	p := &Parameter{Name: e.Key, Position: e.KeyPosition}
	for _, a := range r.entries(path, e.Value) {
		at := path + "/" + a.Key
		switch a.Key {
		case "Type":
			p.Type = r.text(at, a.Value)
		case "Description":
			p.Description = r.text(at, a.Value)
		case "Default":
			p.Default = r.scalar(at, a.Value)
		case "AllowedPattern":
			p.AllowedPattern = r.text(at, a.Value)
		case "ConstraintDescription":
			p.ConstraintDescription = r.text(at, a.Value)
		case "AllowedValues":
			if a.Value.Kind != NodeList {
				r.problem(at, a.Value.Position, "Template format error: Every AllowedValues member must be a list.")
				continue
			}
			p.AllowedValues = []string{}
			for _, v := range a.Value.Items {
				p.AllowedValues = append(p.AllowedValues, r.text(at, v))
			}
		case "NoEcho":
			p.NoEcho = r.boolean(at, a.Value)
		case "MinLength":
			p.MinLength = r.scalar(at, a.Value)
		case "MaxLength":
			p.MaxLength = r.scalar(at, a.Value)
		case "MinValue":
			p.MinValue = r.scalar(at, a.Value)
		case "MaxValue":
			p.MaxValue = r.scalar(at, a.Value)
		default:
			r.problem(at, a.KeyPosition, "Invalid template parameter property '%s'", a.Key)
		}
	}
	if p.Type == "" && e.Value.Kind == NodeMap {
		r.problem(path, e.KeyPosition, "Template format error: Every Parameters object must contain a Type member.")
	}
	return p
}

func (r *reader) boolean(path string, n *Node) bool {
	switch s := r.text(path, n); strings.ToLower(s) {
	case "true":
		return true
	case "false":
	default:
		r.problem(path, n.Position, "Template format error: [%s] must be true or false, not %q.", path, s)
	}
	return false
}

func (r *reader) mapping(path string, e Entry) *Mapping {
	m := &Mapping{Name: e.Key, Rows: e.Value}
	for _, row := range r.entries(path, e.Value) {
		for _, cell := range r.entries(path+"/"+row.Key, row.Value) {
			at := path + "/" + row.Key + "/" + cell.Key
			switch {
			case cell.Value.IsScalar():
			case cell.Value.Kind == NodeList && !slices.ContainsFunc(cell.Value.Items, func(n *Node) bool { return !n.IsScalar() }):
			default:
				r.problem(at, cell.Value.Position, "Template format error: Every Mappings attribute must be a String or a List. [%s]", at)
			}
		}
	}
	return m
}

func (r *reader) resource(path string, e Entry) *Resource {
	res := &Resource{Name: e.Key, Position: e.KeyPosition}
	for _, a := range r.entries(path, e.Value) {
		at := path + "/" + a.Key
		switch a.Key {
		case "Type":
			res.Type = r.text(at, a.Value)
		case "Properties":
			res.Properties = r.mapOf(at, a.Value)
		case "Condition":
			res.Condition = r.text(at, a.Value)
		case "DependsOn":
			if a.Value.Kind == NodeList {
				for _, item := range a.Value.Items {
					res.DependsOn = append(res.DependsOn, r.text(at, item))
				}
			} else {
				res.DependsOn = []string{r.text(at, a.Value)}
			}
		case "DeletionPolicy":
			res.DeletionPolicy = r.policy(at, a, "Delete", "Retain", "RetainExceptOnCreate", "Snapshot")
		case "UpdateReplacePolicy":
			res.UpdateReplacePolicy = r.policy(at, a, "Delete", "Retain", "Snapshot")
		case "Metadata":
			res.Metadata = r.mapOf(at, a.Value)
		case "CreationPolicy":
			res.CreationPolicy = r.mapOf(at, a.Value)
		case "UpdatePolicy":
			res.UpdatePolicy = r.mapOf(at, a.Value)
		default:
			r.problem(at, a.KeyPosition, "Invalid template resource property '%s'", a.Key)
		}
	}
	if res.Type == "" && e.Value.Kind == NodeMap {
		r.problem(path, e.KeyPosition, "Template format error: [%s] Every Resources object must contain a Type member.", path)
	}
	return res
}

func (r *reader) policy(path string, e Entry, allowed ...string) string {
	s := r.text(path, e.Value)
	if !slices.Contains(allowed, s) {
		r.problem(path, e.Value.Position, "Template format error: Unrecognized %s %s; it must be one of %s", e.Key, s, strings.Join(allowed, ", "))
	}
	return s
}

func (r *reader) output(path string, e Entry) *Output {
	o := &Output{Name: e.Key, Position: e.KeyPosition}
	for _, a := range r.entries(path, e.Value) {
		at := path + "/" + a.Key
		switch a.Key {
		case "Description":
			o.Description = r.text(at, a.Value)
		case "Condition":
			o.Condition = r.text(at, a.Value)
		case "Value":
			o.Value = a.Value
		case "Export":
			o.ExportName = a.Value.Get("Name")
			if o.ExportName == nil || len(a.Value.Entries) != 1 {
				r.problem(at, a.Value.Position, "Template format error: [%s] Export must be an object with the single member Name.", at)
			}
		default:
			r.problem(at, a.KeyPosition, "Invalid template output property '%s'", a.Key)
		}
	}
	if o.Value == nil && e.Value.Kind == NodeMap {
		r.problem(path, e.KeyPosition, "Template format error: Every Outputs member must contain a Value object")
	}
	return o
}
