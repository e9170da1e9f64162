package cfn

import (
	"regexp"
	"strings"
)

// A subPiece is a part of the text of Fn::Sub: literal text, or the name of a
// variable.
type subPiece struct {
	text     string
	variable bool
}

var subVariable = regexp.MustCompile(`^[A-Za-z0-9_:.]+$`)

// subPieces takes the text of Fn::Sub apart. "${Name}" is a variable and
// "${!Name}" the literal text "${Name}".
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-sub.html
func subPieces(n *Node) ([]subPiece, error) {
	var pieces []subPiece
	var literal strings.Builder
	rest := n.Text
	for {
		before, after, found := strings.Cut(rest, "${")
		literal.WriteString(before)
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			literal.WriteString("${" + after) // nothing is named; it is text
			break
		}
		rest = tail
		if escaped, ok := strings.CutPrefix(name, "!"); ok {
			literal.WriteString("${" + escaped + "}")
			continue
		}
		name = strings.TrimSpace(name)
		if !subVariable.MatchString(name) {
			return nil, templateError(n, "variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons")
		}
		pieces = append(pieces, subPiece{text: literal.String()}, subPiece{text: name, variable: true})
		literal.Reset()
	}
	return append(pieces, subPiece{text: literal.String()}), nil
}

// subArguments takes the argument of Fn::Sub apart: the text, and the map of
// variables of the second form.
func subArguments(argument *Node) (text, variables *Node, err error) {
	switch {
	case argument.Kind == NodeText:
		return argument, nil, nil
	case argument.Kind == NodeList && len(argument.Items) == 2 && argument.Items[0].Kind == NodeText && argument.Items[1].Kind == NodeMap:
		return argument.Items[0], argument.Items[1], nil
	}
	return nil, nil, templateError(argument, "One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, and an optional second argument to specify a mapping of values to replace in the string")
}

func (e *Evaluator) substitute(argument *Node) (*Node, error) {
	text, variables, err := subArguments(argument)
	if err != nil {
		return nil, err
	}
	pieces, err := subPieces(text)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, p := range pieces {
		if !p.variable {
			b.WriteString(p.text)
			continue
		}
		v, err := e.subVariable(p.text, variables, text)
		if err != nil {
			return nil, err
		}
		b.WriteString(v)
	}
	return NewText(b.String()), nil
}

func (e *Evaluator) subVariable(name string, variables, at *Node) (string, error) {
	if v := variables.Get(name); v != nil {
		return e.text(v, "Fn::Sub")
	}
	var v *Node
	var err error
	if resource, attribute, ok := strings.Cut(name, "."); ok {
		v, err = e.attribute(resource, attribute, at)
	} else {
		v, err = e.named(name, at)
	}
	if err != nil {
		return "", err
	}
	if v == noValue || !v.IsScalar() {
		return "", templateError(at, "the variable %s in Fn::Sub must be a single string, not a list", name)
	}
	return v.Text, nil
}
