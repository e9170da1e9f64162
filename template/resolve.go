package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Resolve returns the stack as it is created with the given values: without
// parameters and conditions, without the resources whose condition does not
// hold, and with every reference replaced. values has the parameters by id and
// the variables by CloudFormation's name ("AWS::AccountId"); parameters that
// are left out get their defaults.
//
// It is an error if a parameter has no value or an illegal one, if a variable
// that is used has none, or if a value belongs to no parameter. Errors do not
// repeat values.
func (s *Stack) Resolve(values map[string]string) (*Stack, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	r := &resolver{values: maps.Clone(values), conditions: map[string]bool{}, stack: s}
	if r.values == nil {
		r.values = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		_, isVariable := variableSizes[Variable(name)]
		if _, ok := s.Parameter(name); !ok && !isVariable {
			return nil, fmt.Errorf("parameter %q: the stack has no such parameter", clip(name))
		}
	}
	for _, p := range s.Parameters {
		value, ok := r.values[p.ID]
		if !ok && p.Default == nil {
			return nil, fmt.Errorf("parameter %q: needs a value", p.ID)
		}
		if !ok {
			value = *p.Default
			r.values[p.ID] = value
		}
		if err := p.Accepts(value); err != nil {
			return nil, fmt.Errorf("parameter %q: %w", p.ID, err)
		}
	}
	for _, c := range s.Conditions {
		r.conditions[c.ID] = r.condition(c.ID)
	}
	out := &Stack{Description: s.Description, Metadata: s.Metadata}
	for _, res := range s.Resources {
		if res.Condition == "" || r.conditions[res.Condition] {
			kind := res.Kind.rewrite(r.element, "")
			out.Resources = append(out.Resources, Resource{ID: res.ID, Kind: kind})
		}
	}
	for _, o := range s.Outputs {
		o.Value = r.text(o.Value)
		out.Outputs = append(out.Outputs, o)
	}
	if len(r.missing) > 0 {
		slices.Sort(r.missing)
		return nil, fmt.Errorf("variable %q: needs a value", r.missing[0])
	}
	return out, nil
}

type resolver struct {
	stack      *Stack
	values     map[string]string // :: parameter id or variable → value
	conditions map[string]bool   // :: condition id → whether it holds
	missing    []string          // variables that have no value
}

func (r *resolver) condition(id string) bool {
	for _, c := range r.stack.Conditions {
		if c.ID == id {
			return evaluate(c.Expr, r.text, r.condition)
		}
	}
	return false
}

func (r *resolver) element(_, s string, _ bool) (string, bool) {
	if parts := Parts(s); len(parts) == 1 {
		if o, ok := parts[0].(OptionalElement); ok {
			return r.text(o.Value), r.conditions[o.Condition]
		}
	}
	return r.text(s), true
}

func (r *resolver) text(s string) string {
	var b strings.Builder
	for _, part := range Parts(s) {
		switch part := part.(type) {
		case Literal:
			b.WriteString(string(part))
		case ParameterRef:
			b.WriteString(r.values[string(part)])
		case Variable:
			value, ok := r.values[string(part)]
			if !ok {
				r.missing = append(r.missing, string(part))
			}
			b.WriteString(value)
		case AttributeRef:
			b.WriteString(r.text(r.stack.AttributeText(part)))
		case Conditional:
			if r.conditions[part.Condition] {
				b.WriteString(r.text(part.Then))
			} else {
				b.WriteString(r.text(part.Otherwise))
			}
		}
	}
	return b.String()
}
