package policies

import (
	"slices"
	"sort"
	"strings"

	"github.com/crossaccount/crossaccount/template/cfn"
)

// Bounds on how many combinations of conditions are looked at for one policy.
// Beyond the first every condition is taken for independent and varied alone.
const (
	maxCombinations = 512
	maxCases        = 64
)

// A choice is one way in which the conditions of a template can come out.
type choice map[string]bool

// describe says which conditions hold and which do not, in order.
func (c choice) describe() string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		if c[name] {
			names[i] += " is true"
		} else {
			names[i] += " is false"
		}
	}
	return strings.Join(names, ", ")
}

// keepCommon removes what comes out differently in another choice.
func (c choice) keepCommon(with choice) {
	for name, holds := range c {
		if with[name] != holds {
			delete(c, name)
		}
	}
}

// conditionNames returns the conditions that Fn::If asks for below a node.
func conditionNames(n *cfn.Node) []string {
	var names []string
	n.Walk(func(_ string, n *cfn.Node) bool {
		if name, argument, ok := n.Function(); ok && name == "Fn::If" && len(argument.Items) == 3 && argument.Items[0].Kind == cfn.NodeText {
			if c := argument.Items[0].Text; !slices.Contains(names, c) {
				names = append(names, c)
			}
		}
		return true
	})
	return names
}

// An unknown is something that a condition depends on and the template does not
// say: a parameter with the values it is compared with, or a comparison that
// is not understood.
type unknown struct {
	name   string
	values []string // a parameter's; nil for a comparison
	open   bool     // the parameter may have other values too
}

// other is the value of a parameter that equals none it is compared with.
const other = "\x00other"

// A decider decides conditions once every unknown has a value.
type decider struct {
	template *template
	unknowns []unknown
	given    map[string]string
	deciding map[string]bool
}

// choices returns the ways in which the named conditions can come out together
// while the condition called always holds; always may be empty.
func (t *template) choices(names []string, always string) []choice {
	if len(names) == 0 {
		return []choice{{}}
	}
	d := &decider{template: t, given: make(map[string]string)}
	asked := names
	if always != "" && !slices.Contains(names, always) {
		asked = append(slices.Clone(names), always)
	}
	for _, name := range asked {
		d.collect(d.expression(name), make(map[string]bool))
	}
	total := 1
	for _, u := range d.unknowns {
		if total *= len(u.domain()); total > maxCombinations {
			return oneByOne(names, always)
		}
	}
	var found []choice
	seen := make(map[string]bool)
	d.each(0, func() bool {
		d.deciding = make(map[string]bool)
		if always != "" && !d.decide(d.expression(always)) {
			return true
		}
		c := make(choice, len(names))
		for _, name := range names {
			c[name] = d.decide(d.expression(name))
		}
		if key := c.describe(); !seen[key] {
			seen[key] = true
			found = append(found, c)
		}
		return len(found) < maxCases
	})
	return found
}

// oneByOne varies each of many conditions alone.
func oneByOne(names []string, always string) []choice {
	var found []choice
	for _, base := range []bool{true, false} {
		for odd := -1; odd < len(names) && len(found) < 2*maxCases; odd++ {
			c := make(choice, len(names))
			for i, name := range names {
				c[name] = base != (i == odd)
			}
			if always == "" || !slices.Contains(names, always) || c[always] {
				found = append(found, c)
			}
		}
	}
	return found
}

func (u unknown) domain() []string {
	switch {
	case u.values == nil:
		return []string{"true", "false"}
	case u.open:
		return append(slices.Clone(u.values), other)
	}
	return u.values
}

func (d *decider) each(i int, visit func() bool) bool {
	if i == len(d.unknowns) {
		return visit()
	}
	for _, v := range d.unknowns[i].domain() {
		d.given[d.unknowns[i].name] = v
		if !d.each(i+1, visit) {
			return false
		}
	}
	return true
}

// expression returns what a condition is made of. One that the template does not
// declare is an unknown of its own.
func (d *decider) expression(name string) *cfn.Node {
	if n := d.template.conditions[name]; n != nil {
		return n
	}
	return cfn.NewText(name)
}

// collect adds the unknowns of an expression.
func (d *decider) collect(n *cfn.Node, inside map[string]bool) {
	name, argument := operation(n)
	switch name {
	case "Fn::And", "Fn::Or", "Fn::Not":
		for _, item := range argument.Items {
			d.collect(item, inside)
		}
	case "Condition":
		if !inside[argument.Text] {
			inside[argument.Text] = true
			d.collect(d.expression(argument.Text), inside)
			delete(inside, argument.Text)
		}
	case "Fn::Equals":
		parameter, value, constant := d.comparison(argument)
		switch {
		case parameter != "":
			d.add(parameter, value)
		case !constant:
			d.addComparison(n)
		}
	default:
		d.addComparison(n)
	}
}

func operation(n *cfn.Node) (name string, argument *cfn.Node) {
	if n.Kind == cfn.NodeMap && len(n.Entries) == 1 {
		return n.Entries[0].Key, n.Entries[0].Value
	}
	return "", n
}

// comparison takes Fn::Equals apart: a parameter and the text it is compared
// with, or two constants.
func (d *decider) comparison(argument *cfn.Node) (parameter, value string, constant bool) {
	if argument.Kind != cfn.NodeList || len(argument.Items) != 2 {
		return "", "", false
	}
	a, b := argument.Items[0], argument.Items[1]
	if a.IsScalar() {
		a, b = b, a
	}
	if !b.IsScalar() {
		return "", "", false
	}
	if a.IsScalar() {
		return "", "", true
	}
	if name, of, ok := a.Function(); ok && name == "Ref" && of.Kind == cfn.NodeText {
		return of.Text, b.Text, false
	}
	return "", "", false
}

func (d *decider) add(parameter, value string) {
	i := slices.IndexFunc(d.unknowns, func(u unknown) bool { return u.name == parameter && u.values != nil })
	if i < 0 {
		u := unknown{name: parameter, values: []string{}, open: true}
		if allowed := d.template.parameters[parameter].Get("AllowedValues"); allowed != nil && allowed.Kind == cfn.NodeList {
			u.open = false
			for _, v := range allowed.Items {
				u.values = append(u.values, v.Text)
			}
		}
		d.unknowns, i = append(d.unknowns, u), len(d.unknowns)
	}
	if u := &d.unknowns[i]; u.open && !slices.Contains(u.values, value) {
		u.values = append(u.values, value)
	}
}

func (d *decider) addComparison(n *cfn.Node) {
	name := comparisonName(n)
	if !slices.ContainsFunc(d.unknowns, func(u unknown) bool { return u.name == name }) {
		d.unknowns = append(d.unknowns, unknown{name: name})
	}
}

func comparisonName(n *cfn.Node) string {
	text, _ := n.MarshalJSON() // never fails
	return "\x00" + string(text)
}

func (d *decider) decide(n *cfn.Node) bool {
	name, argument := operation(n)
	switch name {
	case "Fn::And":
		return !slices.ContainsFunc(argument.Items, func(n *cfn.Node) bool { return !d.decide(n) })
	case "Fn::Or":
		return slices.ContainsFunc(argument.Items, d.decide)
	case "Fn::Not":
		return len(argument.Items) == 1 && !d.decide(argument.Items[0])
	case "Condition":
		if d.deciding[argument.Text] {
			return false // a circle; CloudFormation refuses the template
		}
		d.deciding[argument.Text] = true
		defer delete(d.deciding, argument.Text)
		return d.decide(d.expression(argument.Text))
	case "Fn::Equals":
		parameter, value, constant := d.comparison(argument)
		switch {
		case parameter != "":
			return d.given[parameter] == value
		case constant:
			return argument.Items[0].Text == argument.Items[1].Text
		}
	}
	return d.given[comparisonName(n)] == "true"
}
