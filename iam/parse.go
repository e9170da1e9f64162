package iam

import (
	"fmt"
	"sort"
	"strings"
)

// A ProblemCode is a stable name for a kind of problem.
type ProblemCode string

// The kinds of problems a policy document can have by itself, before anybody
// asks what its actions and resources are.
const (
	ProblemJSON           ProblemCode = "invalid-json"
	ProblemDuplicateKey   ProblemCode = "duplicate-key"
	ProblemUnknownElement ProblemCode = "unknown-element"
	ProblemWrongType      ProblemCode = "wrong-type"
	ProblemWrongValue     ProblemCode = "wrong-value"
	ProblemMissing        ProblemCode = "missing-element"
	ProblemNotAllowed     ProblemCode = "element-not-allowed"
	ProblemExclusive      ProblemCode = "exclusive-elements"
	ProblemOperator       ProblemCode = "unknown-operator"
)

// A Problem is something wrong with a policy document.
type Problem struct {
	Code     ProblemCode
	Path     string // see [Policy.Position]; empty for the document as a whole
	Position Position
	Message  string // what is wrong and what is expected
}

// String returns the problem with its line, column and path.
func (p Problem) String() string {
	var b strings.Builder
	if p.Position.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", p.Position.Line, p.Position.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Message
}

// A SyntaxError is returned by [ParsePolicy]. It has at least one problem, in
// the order of the document.
type SyntaxError struct {
	Problems []Problem
}

// Error returns all problems, one a line.
func (e *SyntaxError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// ParsePolicy reads a policy document and refuses one that has any problem. The
// error is a [*SyntaxError]. It does not know what kind of policy the document
// is meant to be; [Policy.Check] does.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func ParsePolicy(data []byte) (*Policy, error) {
	p, problems := Parse(data)
	if len(problems) > 0 {
		return nil, &SyntaxError{Problems: problems}
	}
	return p, nil
}

// Parse reads as much of a policy document as can be understood, for tools that
// want to say everything about it at once. The policy is nil only if the
// document is not a JSON object. A policy with problems must not be evaluated.
func Parse(data []byte) (*Policy, []Problem) {
	root, syntaxError := readJSON(data)
	if syntaxError != nil {
		return nil, []Problem{{ProblemJSON, "", syntaxError.pos, syntaxError.message}}
	}
	return decodePolicy(root, false)
}

// decodePolicy reads a policy from its root.
func decodePolicy(root node, symbols bool) (*Policy, []Problem) {
	if root.kind != nodeObject {
		return nil, []Problem{{ProblemWrongType, "", root.pos, "a policy must be an object, not " + root.kind.String()}}
	}
	d := &policyDecoder{policy: &Policy{positions: map[string]Position{"": root.pos}}, symbols: symbols}
	d.document(root)
	sort.SliceStable(d.problems, func(i, j int) bool {
		return d.problems[i].Position.Offset < d.problems[j].Position.Offset
	})
	return d.policy, d.problems
}

type policyDecoder struct {
	policy   *Policy
	problems []Problem
	symbols  bool // strings may contain symbols, see [Symbol]
}

func (d *policyDecoder) report(code ProblemCode, path string, pos Position, format string, args ...any) {
	d.problems = append(d.problems, Problem{code, path, pos, fmt.Sprintf(format, args...)})
}

// elements walks an object whose keys are fixed. It reports duplicates and
// unknown keys and calls handle for the rest.
func (d *policyDecoder) elements(n node, path string, known []string, handle func(name, path string, value node)) {
	seen := map[string]bool{}
	for _, m := range n.members {
		at := join(path, m.name)
		if !d.fresh(seen, m, path) {
			continue
		}
		if !contains(known, m.name) {
			message := fmt.Sprintf("unknown element %q", clip(m.name))
			if near := nearest(m.name, known); near != "" {
				message += fmt.Sprintf("; did you mean %q?", near)
			}
			d.report(ProblemUnknownElement, path, m.pos, "%s", message)
			continue
		}
		d.policy.positions[at] = m.pos
		handle(m.name, at, m.value)
	}
}

// fresh reports a duplicate key. Keys that differ only in case count as
// duplicates: AWS reads condition keys and operators without regard to case,
// and in the other places it is a mistake waiting to happen.
func (d *policyDecoder) fresh(seen map[string]bool, m member, path string) bool {
	folded := strings.ToLower(m.name)
	if seen[folded] {
		d.report(ProblemDuplicateKey, path, m.pos, "the key %q appears twice; one of them would silently be lost", clip(m.name))
		return false
	}
	seen[folded] = true
	return true
}

func (d *policyDecoder) document(n node) {
	hasStatement := false
	d.elements(n, "", []string{"Version", "Id", "Statement"}, func(name, path string, v node) {
		switch name {
		case "Version":
			d.policy.Version = d.text(v, path)
			if v.kind == nodeString && v.text != Version2012 && v.text != Version2008 {
				d.report(ProblemWrongValue, path, v.pos, "unknown policy version %q; use %q", clip(v.text), Version2012)
			}
		case "Id":
			d.policy.ID = d.text(v, path)
		case "Statement":
			hasStatement = true
			d.statements(v, path)
		}
	})
	if !hasStatement {
		d.report(ProblemMissing, "", n.pos, "the Statement element is missing")
	}
}

func (d *policyDecoder) statements(n node, path string) {
	items := []node{n}
	if n.kind == nodeArray {
		items = n.items
	}
	d.policy.Statements = make([]Statement, 0, len(items))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.policy.positions[at] = item.pos
		if item.kind != nodeObject {
			d.report(ProblemWrongType, at, item.pos, "a statement must be an object, not %s", item.kind)
			d.policy.Statements = append(d.policy.Statements, Statement{}) // keeps later paths right
			continue
		}
		d.policy.Statements = append(d.policy.Statements, d.statement(item, at))
	}
}

var statementElements = []string{
	"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}

func (d *policyDecoder) statement(n node, path string) Statement {
	var s Statement
	d.elements(n, path, statementElements, func(name, at string, v node) {
		switch name {
		case "Sid":
			s.Sid = d.text(v, at)
		case "Effect":
			s.Effect = Effect(d.text(v, at))
			if v.kind == nodeString && s.Effect != Allow && s.Effect != Deny {
				d.report(ProblemWrongValue, at, v.pos, "the effect must be \"Allow\" or \"Deny\", not %q", clip(v.text))
			}
		case "Principal":
			s.Principal = d.principals(v, at)
		case "NotPrincipal":
			s.NotPrincipal = d.principals(v, at)
		case "Action":
			s.Action = d.texts(v, at)
		case "NotAction":
			s.NotAction = d.texts(v, at)
		case "Resource":
			s.Resource = d.texts(v, at)
		case "NotResource":
			s.NotResource = d.texts(v, at)
		case "Condition":
			s.Conditions = d.conditions(v, at)
		}
	})
	if s.Effect == "" && !d.has(path+".Effect") {
		d.report(ProblemMissing, path, n.pos, "the Effect element is missing")
	}
	for _, pair := range [][2]string{{"Principal", "NotPrincipal"}, {"Action", "NotAction"}, {"Resource", "NotResource"}} {
		if d.has(path+"."+pair[0]) && d.has(path+"."+pair[1]) {
			d.report(ProblemExclusive, path, n.pos, "a statement cannot have both %s and %s", pair[0], pair[1])
		}
	}
	return s
}

func (d *policyDecoder) has(path string) bool {
	_, ok := d.policy.positions[path]
	return ok
}

func (d *policyDecoder) principals(n node, path string) *Principals {
	if n.kind == nodeString {
		if n.text != "*" {
			d.report(ProblemWrongValue, path, n.pos, "a principal that is a bare string can only be \"*\"; write {\"AWS\": %q}", clip(n.text))
			return &Principals{AWS: []string{n.text}}
		}
		return &Principals{All: true}
	}
	p := &Principals{}
	if n.kind != nodeObject {
		d.report(ProblemWrongType, path, n.pos, "must be \"*\" or an object, not %s", n.kind)
		return p
	}
	if len(n.members) == 0 {
		d.report(ProblemWrongValue, path, n.pos, "names nobody; add AWS, Service, Federated or CanonicalUser")
	}
	d.elements(n, path, []string{"AWS", "Service", "Federated", "CanonicalUser"}, func(name, at string, v node) {
		switch name {
		case "AWS":
			p.AWS = d.texts(v, at)
		case "Service":
			p.Service = d.texts(v, at)
		case "Federated":
			p.Federated = d.texts(v, at)
		case "CanonicalUser":
			p.CanonicalUser = d.texts(v, at)
		}
	})
	return p
}

func (d *policyDecoder) conditions(n node, path string) []Condition {
	if n.kind != nodeObject {
		d.report(ProblemWrongType, path, n.pos, "must be an object of operators, not %s", n.kind)
		return nil
	}
	conditions := []Condition{}
	operators := map[string]bool{}
	for _, operator := range n.members {
		at := join(path, operator.name)
		d.policy.positions[at] = operator.pos
		if !d.fresh(operators, operator, path) {
			continue
		}
		if _, err := ParseOperator(operator.name); err != nil {
			d.report(ProblemOperator, at, operator.pos, "%s", err)
		}
		if operator.value.kind != nodeObject {
			d.report(ProblemWrongType, at, operator.value.pos, "must be an object of condition keys, not %s", operator.value.kind)
			continue
		}
		keys := map[string]bool{}
		for _, key := range operator.value.members {
			keyPath := join(at, key.name)
			d.policy.positions[keyPath] = key.pos
			if !d.fresh(keys, key, at) {
				continue
			}
			conditions = append(conditions, Condition{operator.name, key.name, d.scalars(key.value, keyPath)})
		}
	}
	return conditions
}

// text reads a string.
func (d *policyDecoder) text(n node, path string) string {
	if n.kind != nodeString {
		d.report(ProblemWrongType, path, n.pos, "must be a string, not %s", n.kind)
		return ""
	}
	return n.text
}

// texts reads a string or an array of strings.
func (d *policyDecoder) texts(n node, path string) []string {
	return d.list(n, path, "a string or an array of strings", func(k nodeKind) bool { return k == nodeString })
}

// scalars reads condition values, which may also be numbers and booleans.
func (d *policyDecoder) scalars(n node, path string) []string {
	return d.list(n, path, "a string, number or boolean, or an array of them", func(k nodeKind) bool {
		return k == nodeString || k == nodeNumber || k == nodeBool
	})
}

func (d *policyDecoder) list(n node, path, expected string, allowed func(nodeKind) bool) []string {
	items := n.items
	switch {
	case allowed(n.kind):
		items = []node{n}
	case n.kind != nodeArray:
		d.report(ProblemWrongType, path, n.pos, "must be %s, not %s", expected, n.kind)
		return nil
	}
	texts := make([]string, 0, len(items))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.policy.positions[at] = item.pos
		if !allowed(item.kind) {
			d.report(ProblemWrongType, at, item.pos, "must be %s, not %s", expected, item.kind)
			continue
		}
		if !d.symbols && HasSymbol(item.text) {
			d.report(ProblemWrongValue, at, item.pos, "contains a character of the Unicode private use area, which policies cannot have")
			continue
		}
		texts = append(texts, item.text)
	}
	return texts
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
