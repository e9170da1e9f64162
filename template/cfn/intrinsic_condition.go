package cfn

import "github.com/crossaccount/crossaccount/iam"

// decide returns whether a named condition holds. Deciding marks the
// conditions on the way, to notice one that depends on itself.
func (e *Evaluator) decide(name string, at iam.Position, deciding map[string]bool) (bool, error) {
	if holds, ok := e.conditions[name]; ok {
		return holds, nil
	}
	c := e.template.condition(name)
	if c == nil {
		return false, syntaxError("", at, "Template format error: Unresolved condition dependency %s in the Conditions block of the template", name)
	}
	if deciding[name] {
		return false, syntaxError("/Conditions/"+name, at, "Template error: Found circular condition dependency between %s and itself", name)
	}
	deciding[name] = true
	holds, err := e.expression(c.Expression, deciding)
	if err != nil {
		return false, err
	}
	e.conditions[name] = holds
	return holds, nil
}

// expression decides a condition function.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html
func (e *Evaluator) expression(n *Node, deciding map[string]bool) (bool, error) {
	if n.Kind == NodeMap && len(n.Entries) == 1 && n.Entries[0].Key == "Condition" {
		name := n.Entries[0].Value
		if name.Kind != NodeText {
			return false, templateError(name, "Condition must name a condition")
		}
		return e.decide(name.Text, name.Position, deciding)
	}
	name, argument, ok := n.Function()
	if !ok {
		return false, templateError(n, "every condition must be one of Fn::Equals, Fn::And, Fn::Or, Fn::Not and Condition")
	}
	switch name {
	case "Fn::Equals":
		return e.equals(argument)
	case "Fn::Not":
		items, err := arguments(argument, name, 1, 1)
		if err != nil {
			return false, err
		}
		holds, err := e.expression(items[0], deciding)
		return !holds, err
	case "Fn::And", "Fn::Or":
		items, err := arguments(argument, name, 2, 10)
		if err != nil {
			return false, err
		}
		result := name == "Fn::And"
		for _, item := range items {
			// No early end: a fault in a later item is a fault all the same.
			holds, err := e.expression(item, deciding)
			if err != nil {
				return false, err
			}
			if name == "Fn::And" {
				result = result && holds
			} else {
				result = result || holds
			}
		}
		return result, nil
	}
	return false, templateError(n, "the function %s is not a condition", name)
}

func (e *Evaluator) equals(argument *Node) (bool, error) {
	items, err := arguments(argument, "Fn::Equals", 2, 2)
	if err != nil {
		return false, err
	}
	left, err := e.resolve(items[0])
	if err != nil {
		return false, err
	}
	right, err := e.resolve(items[1])
	if err != nil {
		return false, err
	}
	if left == noValue || right == noValue {
		return left == right, nil
	}
	return left.Equal(right), nil
}
