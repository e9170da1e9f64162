package asl

import (
	"errors"
	"fmt"
	"slices"
)

// A Path selects values: "$.orders[0].id". The root is the state's input ($), the
// context object ($$) or a variable ($name).
//
// https://docs.aws.amazon.com/step-functions/latest/dg/amazon-states-language-paths.html
type Path struct {
	text  string
	root  string // "$", "$$" or the name of a variable
	steps []step
}

// String returns the path as it was written.
func (p *Path) String() string { return p.text }

// A step selects children of a value.
type step struct {
	deep   bool // of the value and all its descendants
	all    bool
	names  []string
	index  []int
	slice  *slicing
	filter *filter
}

// definite steps select one value at most.
func (s *step) definite() bool {
	return !s.deep && !s.all && s.slice == nil && s.filter == nil && len(s.names)+len(s.index) == 1
}

type slicing struct{ from, to, by *int }

// Definite reports whether the path selects one value, and not a list.
func (p *Path) Definite() bool {
	return !slices.ContainsFunc(p.steps, func(s step) bool { return !s.definite() })
}

// maxVisits bounds how many values one evaluation of a path looks at, because
// paths such as $..*..*..* multiply.
const maxVisits = 200_000

var errVisits = errors.New("the path visits too many values")

// A Scope is what paths refer to.
type Scope struct {
	Input     any
	Context   any
	Variables map[string]any

	budget *int // of values that all paths of a run may visit; nil means no limit
}

// Get evaluates the path. A definite path that finds nothing is an error, an
// indefinite one then gives an empty array.
func (p *Path) Get(s Scope) (any, error) {
	root := s.Input
	switch p.root {
	case "$":
	case "$$":
		root = s.Context
	default:
		v, ok := s.Variables[p.root]
		if !ok {
			return nil, fmt.Errorf("the variable '$%s' has no value", p.root)
		}
		root = v
	}
	most := maxVisits
	if s.budget != nil {
		most = min(most, max(*s.budget, 0))
	}
	visits := most
	found, err := follow(root, root, p.steps, &visits)
	if s.budget != nil {
		*s.budget -= most - visits
	}
	if err != nil {
		return nil, err
	}
	if !p.Definite() {
		return slices.Clip(append([]any{}, found...)), nil
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the path '%s' selects nothing", clip(p.text))
	}
	return found[0], nil
}

// Has reports whether a definite path selects a value.
func (p *Path) Has(s Scope) bool {
	_, err := p.Get(s)
	return err == nil
}

func follow(root, v any, steps []step, visits *int) ([]any, error) {
	current := []any{v}
	for i := range steps {
		s := &steps[i]
		var next []any
		for _, c := range current {
			candidates := []any{c}
			if s.deep {
				var err error
				if candidates, err = descendants(c, nil, visits); err != nil {
					return nil, err
				}
			}
			for _, candidate := range candidates {
				var err error
				if next, err = s.apply(root, candidate, next, visits); err != nil {
					return nil, err
				}
			}
		}
		current = next
	}
	return current, nil
}

func descendants(v any, into []any, visits *int) ([]any, error) {
	if *visits--; *visits < 0 {
		return nil, errVisits
	}
	into = append(into, v)
	var err error
	for _, child := range children(v) {
		if into, err = descendants(child, into, visits); err != nil {
			return nil, err
		}
	}
	return into, nil
}

// children returns the values of an array, or of an object by name.
func children(v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case map[string]any:
		list := make([]any, 0, len(v))
		for _, name := range sortedKeys(v) {
			list = append(list, v[name])
		}
		return list
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (s *step) apply(root, v any, into []any, visits *int) ([]any, error) {
	count := 1
	if s.all || s.filter != nil || s.slice != nil {
		count += len(children(v))
	}
	if *visits -= count; *visits < 0 {
		return nil, errVisits
	}
	switch {
	case s.all:
		return append(into, children(v)...), nil
	case s.filter != nil:
		for _, child := range children(v) {
			ok, err := s.filter.matches(root, child, visits)
			if err != nil {
				return nil, err
			}
			if ok {
				into = append(into, child)
			}
		}
		return into, nil
	case s.slice != nil:
		if list, ok := v.([]any); ok {
			into = append(into, s.slice.of(list)...)
		}
		return into, nil
	}
	for _, name := range s.names {
		if object, ok := v.(map[string]any); ok {
			if child, ok := object[name]; ok {
				into = append(into, child)
			}
		}
	}
	for _, i := range s.index {
		if list, ok := v.([]any); ok {
			if i < 0 {
				i += len(list)
			}
			if i >= 0 && i < len(list) {
				into = append(into, list[i])
			}
		}
	}
	return into, nil
}

func (s *slicing) of(list []any) []any {
	by := 1
	if s.by != nil {
		by = *s.by
	}
	bound := func(given *int, missing int) int {
		if given == nil {
			return missing
		}
		i := *given
		if i < 0 {
			i += len(list)
		}
		return min(max(i, 0), len(list))
	}
	from, to := bound(s.from, 0), bound(s.to, len(list))
	var out []any
	for i := from; i < to; i += by {
		out = append(out, list[i])
	}
	return out
}

// ParseReferencePath reads a path that names one place: only names and indexes.
//
// https://states-language.net/spec.html#ref-paths
func ParseReferencePath(text string) (*Path, error) {
	p, err := ParsePath(text)
	if err != nil {
		return nil, err
	}
	if !p.Definite() {
		return nil, fmt.Errorf("the path '%s' is not a reference path: it must name one place, without wildcards, slices and filters", clip(text))
	}
	return p, nil
}

// Put returns a copy of the input in which the place of a reference path has a
// value. Objects on the way are made; arrays are not extended.
func (p *Path) Put(input, value any) (any, error) {
	if p.root != "$" {
		return nil, errors.New("only the input can be changed")
	}
	return put(input, p.steps, value)
}

func put(v any, steps []step, value any) (any, error) {
	if len(steps) == 0 {
		return value, nil
	}
	s := &steps[0]
	if len(s.index) == 1 {
		list, ok := v.([]any)
		i := s.index[0]
		if !ok || i < 0 || i >= len(list) {
			return nil, fmt.Errorf("there is no element %d to replace", i)
		}
		child, err := put(list[i], steps[1:], value)
		if err != nil {
			return nil, err
		}
		changed := slices.Clone(list)
		changed[i] = child
		return changed, nil
	}
	object, ok := v.(map[string]any)
	if !ok && v != nil {
		return nil, fmt.Errorf("the member %q cannot be added to %s", clip(s.names[0]), typeName(v))
	}
	child, err := put(object[s.names[0]], steps[1:], value)
	if err != nil {
		return nil, err
	}
	changed := make(map[string]any, len(object)+1)
	for name, v := range object {
		changed[name] = v
	}
	changed[s.names[0]] = child
	return changed, nil
}
