package cfn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A reference is one mention of a name in the value of a template.
type reference struct {
	name      string // a parameter, pseudo parameter, resource or condition
	attribute bool   // Fn::GetAtt or ${Name.Attribute}
	condition bool   // the first argument of Fn::If
	position  iam.Position
}

// branches says which values of an Fn::If count.
type branches func(items []*Node, condition string) []*Node

func bothBranches(items []*Node, _ string) []*Node { return items }

func noBranch([]*Node, string) []*Node { return nil }

// taken follows the branches that are taken once conditions are decided.
func (e *Evaluator) taken(items []*Node, condition string) []*Node {
	if e.Condition(condition) {
		return items[:1]
	}
	return items[1:]
}

// references lists what n mentions, in order, and complains about functions
// that are not supported or not well-formed.
func references(n *Node, follow branches) (refs []reference, err error) {
	var visit func(n *Node) error
	visitAll := func(nodes []*Node) error {
		for _, n := range nodes {
			if err := visit(n); err != nil {
				return err
			}
		}
		return nil
	}
	visit = func(n *Node) error {
		name, argument, ok := n.Function()
		if !ok {
			for _, e := range n.Entries {
				if len(n.Entries) > 1 && (e.Key == "Ref" || strings.HasPrefix(e.Key, "Fn::")) {
					return templateError(n, "%s must be the only key of its object", e.Key)
				}
				if err := visit(e.Value); err != nil {
					return err
				}
			}
			return visitAll(n.Items)
		}
		switch name {
		case "Ref":
			if argument.Kind != NodeText {
				return templateError(argument, "every Ref object must have a single String value.")
			}
			refs = append(refs, reference{name: argument.Text, position: n.Position})
			return nil
		case "Fn::GetAtt":
			resource, attribute, err := attributeOf(argument)
			if err != nil {
				return err
			}
			refs = append(refs, reference{name: resource, attribute: true, position: n.Position})
			return visit(attribute)
		case "Fn::Sub":
			subRefs, variables, err := subReferences(argument)
			if err != nil {
				return err
			}
			refs = append(refs, subRefs...)
			if variables != nil {
				return visit(variables)
			}
			return nil
		case "Fn::If":
			items, err := arguments(argument, name, 3, 3)
			if err != nil {
				return err
			}
			if items[0].Kind != NodeText {
				return templateError(items[0], "the first parameter of Fn::If must be the name of a condition")
			}
			refs = append(refs, reference{name: items[0].Text, condition: true, position: items[0].Position})
			return visitAll(follow(items[1:], items[0].Text))
		case "Fn::Join", "Fn::Select", "Fn::Split", "Fn::FindInMap", "Fn::Base64", "Fn::ImportValue":
			return visit(argument)
		case "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
			return templateError(n, "%s can only be used in the Conditions section or inside another condition", name)
		}
		return unsupportedFunction(name, n)
	}
	err = visit(n)
	return refs, err
}

// subReferences lists the variables of Fn::Sub that its own map does not
// define, and returns that map.
func subReferences(argument *Node) ([]reference, *Node, error) {
	text, variables, err := subArguments(argument)
	if err != nil {
		return nil, nil, err
	}
	pieces, err := subPieces(text)
	if err != nil {
		return nil, nil, err
	}
	var refs []reference
	for _, p := range pieces {
		if !p.variable || variables.Get(p.text) != nil {
			continue
		}
		name, _, attribute := strings.Cut(p.text, ".")
		refs = append(refs, reference{name: name, attribute: attribute, position: text.Position})
	}
	return refs, variables, nil
}

// PseudoParameters lists CloudFormation's own parameters.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/pseudo-parameter-reference.html
var PseudoParameters = []string{
	"AWS::AccountId", "AWS::NotificationARNs", "AWS::NoValue", "AWS::Partition",
	"AWS::Region", "AWS::StackId", "AWS::StackName", "AWS::URLSuffix",
}

// Check asks whether the references of a template lead anywhere: every Ref,
// Fn::GetAtt, ${…}, DependsOn and Condition must name something declared, and
// resources must not depend on one another in a circle. It refuses functions,
// transforms and rules that the [Evaluator] does not have. The error is a
// [*SyntaxError].
func (t *Template) Check() error {
	switch {
	case t.Transform != nil:
		return syntaxError("/Transform", t.Transform.Position, "Template format error: transforms and macros are not supported (section Transform)")
	case t.Rules != nil:
		return syntaxError("/Rules", t.Rules.Position, "Template format error: the Rules section is not supported")
	case t.Hooks != nil:
		return syntaxError("/Hooks", t.Hooks.Position, "Template format error: the Hooks section is not supported")
	}
	for _, p := range t.Parameters {
		if t.Resource(p.Name) != nil {
			return syntaxError("/Parameters/"+p.Name, p.Position, "Template format error: Duplicate logical name %s in the Parameters and Resources blocks of the template", p.Name)
		}
	}
	for _, c := range t.Conditions {
		if err := t.checkCondition(c.Expression); err != nil {
			return err
		}
	}
	for _, r := range t.Resources {
		if err := t.checkResource(r); err != nil {
			return err
		}
	}
	for _, o := range t.Outputs {
		if err := t.checkConditionName(o.Condition, o.Position, "Outputs"); err != nil {
			return err
		}
		if err := t.checkValue(o.Value, "Outputs"); err != nil {
			return err
		}
		if o.ExportName != nil {
			if err := t.checkValue(o.ExportName, "Outputs"); err != nil {
				return err
			}
		}
	}
	_, err := t.order(nil)
	return err
}

func (t *Template) checkResource(r *Resource) error {
	if err := t.checkConditionName(r.Condition, r.Position, "Resources"); err != nil {
		return err
	}
	for _, name := range r.DependsOn {
		if t.Resource(name) == nil {
			return unresolved(r.Position, []string{name}, "Resources")
		}
	}
	if r.Properties == nil {
		return nil
	}
	return t.checkValue(r.Properties, "Resources")
}

func (t *Template) checkConditionName(name string, pos iam.Position, section string) error {
	if name != "" && t.condition(name) == nil {
		return syntaxError("", pos, "Template format error: Unresolved condition dependency %s in the %s block of the template", name, section)
	}
	return nil
}

// unresolved is CloudFormation's complaint about names that nothing declares.
func unresolved(pos iam.Position, names []string, section string) error {
	return syntaxError("", pos, "Template format error: Unresolved resource dependencies [%s] in the %s block of the template", strings.Join(names, ", "), section)
}

// checkValue checks a value of the Resources or Outputs section.
func (t *Template) checkValue(n *Node, section string) error {
	refs, err := references(n, bothBranches)
	if err != nil {
		return err
	}
	var missing []string
	for _, ref := range refs {
		switch {
		case ref.condition:
			if err := t.checkConditionName(ref.name, ref.position, section); err != nil {
				return err
			}
		case ref.attribute:
			if t.Resource(ref.name) == nil {
				return syntaxError("", ref.position, "Template error: instance of Fn::GetAtt references undefined resource %s", ref.name)
			}
		case !t.declares(ref.name) && !slices.Contains(missing, ref.name):
			missing = append(missing, ref.name)
		}
	}
	if len(missing) > 0 {
		return unresolved(refs[0].position, missing, section)
	}
	return nil
}

func (t *Template) declares(name string) bool {
	return t.Parameter(name) != nil || t.Resource(name) != nil || slices.Contains(PseudoParameters, name)
}

// checkCondition checks the expression of a condition, which may mention
// parameters but no resources.
func (t *Template) checkCondition(n *Node) error {
	if n.Kind == NodeMap && len(n.Entries) == 1 && n.Entries[0].Key == "Condition" {
		if name := n.Entries[0].Value; name.Kind == NodeText {
			return t.checkConditionName(name.Text, name.Position, "Conditions")
		}
		return templateError(n, "Condition must name a condition")
	}
	name, argument, ok := n.Function()
	switch {
	case ok && (name == "Fn::And" || name == "Fn::Or" || name == "Fn::Not"):
		low, high := 2, 10
		if name == "Fn::Not" {
			low, high = 1, 1
		}
		items, err := arguments(argument, name, low, high)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := t.checkCondition(item); err != nil {
				return err
			}
		}
		return nil
	case ok && name == "Fn::Equals":
		if _, err := arguments(argument, name, 2, 2); err != nil {
			return err
		}
		refs, err := references(argument, bothBranches)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if ref.attribute || t.Resource(ref.name) != nil || !ref.condition && !t.declares(ref.name) {
				return syntaxError("", ref.position, "Template format error: Unresolved dependencies [%s]. Cannot reference resources in the Conditions block of the template", ref.name)
			}
		}
		return nil
	}
	return templateError(n, "every condition must be one of Fn::Equals, Fn::And, Fn::Or, Fn::Not and Condition")
}

// Order returns the resources whose conditions hold, each after those it
// depends on through Ref, Fn::GetAtt, Fn::Sub or DependsOn, otherwise in the
// order written. A reference to a resource whose condition does not hold is an
// error; a DependsOn to one is ignored, as CloudFormation does.
func (e *Evaluator) Order() ([]*Resource, error) { return e.template.order(e) }

// Dependencies returns the logical IDs of the resources that r depends on,
// without duplicates, in the order they are mentioned. Only the branches that
// are taken count.
func (e *Evaluator) Dependencies(r *Resource) ([]string, error) { return e.template.dependencies(r, e) }

// References returns the logical IDs of the resources that a value mentions,
// without duplicates, in the branches that are taken.
func (e *Evaluator) References(n *Node) ([]string, error) {
	refs, err := references(n, e.taken)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, ref := range refs {
		if !ref.condition && e.template.Resource(ref.name) != nil && !slices.Contains(names, ref.name) {
			names = append(names, ref.name)
		}
	}
	return names, nil
}

func (t *Template) dependencies(r *Resource, e *Evaluator) ([]string, error) {
	var names, missing []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	exists := func(name string) bool {
		condition := t.Resource(name).Condition
		return e == nil && condition == "" || e != nil && e.Condition(condition)
	}
	if r.Properties != nil {
		follow := noBranch
		if e != nil {
			follow = e.taken
		}
		refs, err := references(r.Properties, follow)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			switch {
			case ref.condition || t.Resource(ref.name) == nil:
			case exists(ref.name):
				add(ref.name)
			case e != nil:
				missing = append(missing, ref.name)
			}
		}
	}
	if len(missing) > 0 {
		return nil, unresolved(r.Position, missing, "Resources")
	}
	for _, name := range r.DependsOn {
		if t.Resource(name) != nil && exists(name) {
			add(name)
		}
	}
	return names, nil
}

// order sorts resources by dependency. Before conditions are decided e is nil;
// then only what holds under all conditions counts, because two branches that
// are never taken together do not make a circle.
func (t *Template) order(e *Evaluator) ([]*Resource, error) {
	pending := make(map[string][]string) // logical ID -> dependencies not placed yet
	var waiting []*Resource
	for _, r := range t.Resources {
		if e == nil && r.Condition != "" || e != nil && !e.Condition(r.Condition) {
			continue
		}
		names, err := t.dependencies(r, e)
		if err != nil {
			return nil, err
		}
		pending[r.Name] = names
		waiting = append(waiting, r)
	}
	var ordered []*Resource
	placed := make(map[string]bool)
	for len(waiting) > 0 {
		next := slices.IndexFunc(waiting, func(r *Resource) bool {
			return !slices.ContainsFunc(pending[r.Name], func(name string) bool { return !placed[name] })
		})
		if next < 0 {
			return nil, circular(waiting, pending, placed)
		}
		r := waiting[next]
		ordered, placed[r.Name] = append(ordered, r), true
		waiting = slices.Delete(waiting, next, next+1)
	}
	return ordered, nil
}

// circular names the resources of the circles, without those that merely
// depend on one.
func circular(waiting []*Resource, pending map[string][]string, placed map[string]bool) error {
	needed := func(name string) bool {
		return slices.ContainsFunc(waiting, func(r *Resource) bool { return slices.Contains(pending[r.Name], name) })
	}
	for {
		before := len(waiting)
		waiting = slices.DeleteFunc(slices.Clone(waiting), func(r *Resource) bool { return !needed(r.Name) })
		if len(waiting) == before {
			break
		}
	}
	var names []string
	for _, r := range waiting {
		names = append(names, r.Name)
	}
	return syntaxError("/Resources", waiting[0].Position, "%s", fmt.Sprintf("Circular dependency between resources: [%s]", strings.Join(names, ", ")))
}
