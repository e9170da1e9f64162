package cfn

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// A Scope answers what a template does not say itself. A nil function answers
// every question with an error. Whoever does not know a value yet may answer
// with text made by [iam.Symbol].
type Scope struct {
	// Parameters holds the value of every parameter: a string, or a list for
	// list types.
	Parameters map[string]*Node

	// Pseudo holds the pseudo parameters, such as "AWS::Region". AWS::NoValue
	// needs no entry.
	Pseudo map[string]*Node

	// Ref returns what Ref means for a resource of the template.
	Ref func(resource string) (*Node, error)

	// GetAtt returns an attribute of a resource of the template.
	GetAtt func(resource, attribute string) (*Node, error)

	// ImportValue returns the value exported under a name.
	ImportValue func(name string) (*Node, error)
}

// An Evaluator resolves the intrinsic functions of one template in one scope.
// It is not safe for concurrent use.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
type Evaluator struct {
	template   *Template
	scope      Scope
	conditions map[string]bool
}

// Evaluator returns an evaluator after it has decided every condition of the
// template.
func (t *Template) Evaluator(s Scope) (*Evaluator, error) {
	e := &Evaluator{template: t, scope: s, conditions: make(map[string]bool)}
	deciding := make(map[string]bool)
	for _, c := range t.Conditions {
		if _, err := e.decide(c.Name, c.Position, deciding); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Condition reports whether a named condition holds. The empty name, which
// stands for no condition, always holds; a name that the template does not
// declare never does.
func (e *Evaluator) Condition(name string) bool { return name == "" || e.conditions[name] }

// noValue is what Ref AWS::NoValue resolves to.
var noValue = &Node{}

// Resolve returns n with every function replaced by its value, or nil if n is
// AWS::NoValue. Entries and items that are AWS::NoValue are left out. Positions
// are kept. What n says is never changed.
func (e *Evaluator) Resolve(n *Node) (*Node, error) {
	v, err := e.resolve(n)
	if err != nil || v == noValue {
		return nil, err
	}
	return v, nil
}

func (e *Evaluator) resolve(n *Node) (*Node, error) {
	if name, argument, ok := n.Function(); ok {
		v, err := e.call(name, argument, n)
		if err != nil || v == noValue {
			return v, err
		}
		placed := *v
		placed.Position = n.Position
		return &placed, nil
	}
	switch n.Kind {
	case NodeList:
		list := &Node{Kind: NodeList, Position: n.Position}
		for _, item := range n.Items {
			v, err := e.resolve(item)
			if err != nil {
				return nil, err
			}
			if v != noValue {
				list.Items = append(list.Items, v)
			}
		}
		return list, nil
	case NodeMap:
		m := &Node{Kind: NodeMap, Position: n.Position}
		for _, entry := range n.Entries {
			v, err := e.resolve(entry.Value)
			if err != nil {
				return nil, err
			}
			if v != noValue {
				m.Entries = append(m.Entries, Entry{Key: entry.Key, KeyPosition: entry.KeyPosition, Value: v})
			}
		}
		return m, nil
	}
	return n, nil
}

func (e *Evaluator) call(name string, argument, n *Node) (*Node, error) {
	switch name {
	case "Ref":
		return e.ref(argument)
	case "Fn::GetAtt":
		return e.getAtt(argument)
	case "Fn::If":
		return e.choose(argument, n)
	case "Fn::Sub":
		return e.substitute(argument)
	case "Fn::Join":
		return e.join(argument)
	case "Fn::Select":
		return e.selectItem(argument)
	case "Fn::Split":
		return e.split(argument)
	case "Fn::FindInMap":
		return e.findInMap(argument)
	case "Fn::Base64":
		s, err := e.text(argument, "Fn::Base64")
		return NewText(base64.StdEncoding.EncodeToString([]byte(s))), err
	case "Fn::ImportValue":
		s, err := e.text(argument, "Fn::ImportValue")
		if err != nil {
			return nil, err
		}
		if e.scope.ImportValue == nil {
			return nil, templateError(argument, "Fn::ImportValue cannot be used here")
		}
		return e.scope.ImportValue(s)
	case "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
		return nil, templateError(n, "%s can only be used in the Conditions section or inside another condition", name)
	}
	return nil, unsupportedFunction(name, n)
}

func unsupportedFunction(name string, n *Node) error {
	switch name {
	case "Fn::Transform", "Fn::Length", "Fn::ToJsonString":
		return templateError(n, "%s needs a macro or transform, which is not supported", name)
	}
	return templateError(n, "the function %s is not supported", name)
}

func templateError(n *Node, format string, args ...any) error {
	var pos iam.Position
	if n != nil {
		pos = n.Position
	}
	return syntaxError("", pos, "Template error: "+format, args...)
}

// text resolves n, which must be a single value.
func (e *Evaluator) text(n *Node, where string) (string, error) {
	v, err := e.resolve(n)
	if err != nil {
		return "", err
	}
	if v == noValue || !v.IsScalar() {
		return "", templateError(n, "every %s object must have a String parameter.", where)
	}
	return v.Text, nil
}

// arguments returns the items of a function's literal argument list.
func arguments(n *Node, name string, low, high int) ([]*Node, error) {
	if n.Kind != NodeList || len(n.Items) < low || len(n.Items) > high {
		return nil, templateError(n, "%s", argumentRule(name, low, high))
	}
	return n.Items, nil
}

func argumentRule(name string, low, high int) string {
	if low == high {
		return "every " + name + " object requires a list of exactly " + strconv.Itoa(low) + " parameters."
	}
	return "every " + name + " object requires a list of at least " + strconv.Itoa(low) + " and at most " + strconv.Itoa(high) + " parameters."
}

// list resolves n, which must be a list of single values.
func (e *Evaluator) list(n *Node, where string) ([]string, error) {
	v, err := e.resolve(n)
	if err != nil {
		return nil, err
	}
	if v == noValue || v.Kind != NodeList {
		return nil, templateError(n, "%s requires a list of strings", where)
	}
	values := make([]string, 0, len(v.Items))
	for _, item := range v.Items {
		if !item.IsScalar() {
			return nil, templateError(n, "%s requires a list of strings; it has a %s", where, item.Kind)
		}
		values = append(values, item.Text)
	}
	return values, nil
}

func (e *Evaluator) ref(argument *Node) (*Node, error) {
	if argument.Kind != NodeText {
		return nil, templateError(argument, "every Ref object must have a single String value.")
	}
	return e.named(argument.Text, argument)
}

// named returns the value of a parameter, a pseudo parameter or a resource.
func (e *Evaluator) named(name string, at *Node) (*Node, error) {
	if name == "AWS::NoValue" {
		return noValue, nil
	}
	if v := e.scope.Pseudo[name]; v != nil {
		return v, nil
	}
	if v := e.scope.Parameters[name]; v != nil {
		return v, nil
	}
	if e.template.Resource(name) != nil && e.scope.Ref != nil {
		return e.scope.Ref(name)
	}
	return nil, templateError(at, "unresolved reference to %s", name)
}

func (e *Evaluator) getAtt(argument *Node) (*Node, error) {
	resource, attribute, err := attributeOf(argument)
	if err != nil {
		return nil, err
	}
	name, err := e.text(attribute, "Fn::GetAtt")
	if err != nil {
		return nil, err
	}
	return e.attribute(resource, name, argument)
}

func (e *Evaluator) attribute(resource, attribute string, at *Node) (*Node, error) {
	if e.template.Resource(resource) == nil || e.scope.GetAtt == nil {
		return nil, templateError(at, "instance of Fn::GetAtt references undefined resource %s", resource)
	}
	return e.scope.GetAtt(resource, attribute)
}

// attributeOf takes the argument of Fn::GetAtt apart. The attribute may itself
// be a Ref to a parameter.
func attributeOf(argument *Node) (resource string, attribute *Node, err error) {
	if argument.Kind == NodeText {
		argument = splitAttribute(argument)
	}
	if argument.Kind != NodeList || len(argument.Items) != 2 || argument.Items[0].Kind != NodeText ||
		argument.Items[0].Text == "" || argument.Items[1].Text == "" && argument.Items[1].IsScalar() {
		return "", nil, templateError(argument, "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute")
	}
	return argument.Items[0].Text, argument.Items[1], nil
}

func (e *Evaluator) choose(argument, n *Node) (*Node, error) {
	items, err := arguments(argument, "Fn::If", 3, 3)
	if err != nil {
		return nil, err
	}
	holds, err := e.conditionOf(items[0])
	if err != nil {
		return nil, err
	}
	if holds {
		return e.resolve(items[1])
	}
	return e.resolve(items[2])
}

// conditionOf decides the first argument of Fn::If.
func (e *Evaluator) conditionOf(n *Node) (bool, error) {
	if n.Kind != NodeText {
		return false, templateError(n, "the first parameter of Fn::If must be the name of a condition")
	}
	holds, ok := e.conditions[n.Text]
	if !ok {
		return false, templateError(n, "Fn::If references the undefined condition %s", n.Text)
	}
	return holds, nil
}

func (e *Evaluator) join(argument *Node) (*Node, error) {
	items, err := arguments(argument, "Fn::Join", 2, 2)
	if err != nil {
		return nil, err
	}
	if items[0].Kind != NodeText {
		return nil, templateError(items[0], "the delimiter of Fn::Join must be a string")
	}
	values, err := e.list(items[1], "Fn::Join")
	if err != nil {
		return nil, err
	}
	return NewText(strings.Join(values, items[0].Text)), nil
}

func (e *Evaluator) selectItem(argument *Node) (*Node, error) {
	items, err := arguments(argument, "Fn::Select", 2, 2)
	if err != nil {
		return nil, err
	}
	s, err := e.text(items[0], "Fn::Select")
	if err != nil {
		return nil, err
	}
	index, err := strconv.Atoi(s)
	if err != nil {
		return nil, templateError(items[0], "the index of Fn::Select must be a whole number, not %q", s)
	}
	v, err := e.resolve(items[1])
	if err != nil {
		return nil, err
	}
	if v == noValue || v.Kind != NodeList {
		return nil, templateError(items[1], "Fn::Select requires a list")
	}
	if index < 0 || index >= len(v.Items) {
		return nil, templateError(items[0], "Fn::Select cannot select nonexistent value at index %d", index)
	}
	return v.Items[index], nil
}

func (e *Evaluator) split(argument *Node) (*Node, error) {
	items, err := arguments(argument, "Fn::Split", 2, 2)
	if err != nil {
		return nil, err
	}
	if items[0].Kind != NodeText || items[0].Text == "" {
		return nil, templateError(items[0], "the delimiter of Fn::Split must be a string that is not empty")
	}
	s, err := e.text(items[1], "Fn::Split")
	if err != nil {
		return nil, err
	}
	return NewTextList(strings.Split(s, items[0].Text)), nil
}

func (e *Evaluator) findInMap(argument *Node) (*Node, error) {
	items, err := arguments(argument, "Fn::FindInMap", 3, 3)
	if err != nil {
		return nil, err
	}
	var keys [3]string
	for i, item := range items {
		if keys[i], err = e.text(item, "Fn::FindInMap"); err != nil {
			return nil, err
		}
	}
	if m := e.template.mapping(keys[0]); m != nil {
		if v := m.Rows.Get(keys[1]).Get(keys[2]); v != nil {
			return v, nil
		}
	}
	return nil, templateError(argument, "Unable to get mapping for %s::%s::%s", keys[0], keys[1], keys[2])
}
