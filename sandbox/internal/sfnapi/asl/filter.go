package asl

import (
	"encoding/json"
	"errors"
)

// A filter is the expression of [?(…)]: comparisons of paths and literals, the
// existence of paths, and &&, || and !.
type filter struct {
	any, all []*filter
	not      *filter

	left, right *operand
	operator    string // "" asks whether left exists
}

type operand struct {
	path  *Path // relative to the root ($) or to the element (@)
	here  bool
	value any
}

func (s *scanner) parseFilter() (*filter, error) {
	s.space()
	if s.peek() != '(' {
		return nil, s.unexpected()
	}
	return s.group()
}

func (s *scanner) group() (*filter, error) {
	if s.depth++; s.depth > maxNesting {
		return nil, errors.New("it is nested too deeply")
	}
	defer func() { s.depth-- }()
	s.at++ // (
	f, err := s.either()
	if err != nil {
		return nil, err
	}
	s.space()
	if !s.take(")") {
		return nil, s.unexpected()
	}
	return f, nil
}

func (s *scanner) either() (*filter, error) {
	f := &filter{}
	for {
		part, err := s.both()
		if err != nil {
			return nil, err
		}
		f.any = append(f.any, part)
		s.space()
		if !s.take("||") {
			return f, nil
		}
	}
}

func (s *scanner) both() (*filter, error) {
	f := &filter{}
	for {
		part, err := s.term()
		if err != nil {
			return nil, err
		}
		f.all = append(f.all, part)
		s.space()
		if !s.take("&&") {
			return f, nil
		}
	}
}

func (s *scanner) term() (*filter, error) {
	s.space()
	switch {
	case s.peek() == '!':
		if s.depth++; s.depth > maxNesting {
			return nil, errors.New("it is nested too deeply")
		}
		defer func() { s.depth-- }()
		s.at++
		part, err := s.term()
		return &filter{not: part}, err
	case s.peek() == '(':
		return s.group()
	}
	left, err := s.operand()
	if err != nil {
		return nil, err
	}
	s.space()
	for _, operator := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if s.take(operator) {
			s.space()
			right, err := s.operand()
			return &filter{left: left, operator: operator, right: right}, err
		}
	}
	if left.path == nil {
		return nil, s.unexpected()
	}
	return &filter{left: left}, nil
}

func (s *scanner) operand() (*operand, error) {
	switch s.peek() {
	case '@':
		s.at++
		steps, err := s.steps()
		return &operand{path: &Path{root: "$", steps: steps}, here: true}, err
	case '$':
		p, err := s.path()
		if err == nil && p.root != "$" {
			err = errors.New("a filter can compare with the input and its elements only")
		}
		return &operand{path: p}, err
	}
	v, err := s.literal()
	return &operand{value: v}, err
}

func (o *operand) get(root, here any, visits *int) (any, bool, error) {
	if o.path == nil {
		return o.value, true, nil
	}
	if !o.here {
		here = root
	}
	found, err := follow(root, here, o.path.steps, visits)
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	if !o.path.Definite() {
		return found, true, nil
	}
	return found[0], true, nil
}

func (f *filter) matches(root, here any, visits *int) (bool, error) {
	switch {
	case f.not != nil:
		ok, err := f.not.matches(root, here, visits)
		return !ok, err
	case f.any != nil:
		for _, part := range f.any {
			if ok, err := part.matches(root, here, visits); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	case f.all != nil:
		for _, part := range f.all {
			if ok, err := part.matches(root, here, visits); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	left, found, err := f.left.get(root, here, visits)
	if err != nil || f.operator == "" {
		return found, err
	}
	right, foundRight, err := f.right.get(root, here, visits)
	if err != nil || !found || !foundRight {
		return false, err
	}
	switch f.operator {
	case "==":
		return equal(left, right), nil
	case "!=":
		return !equal(left, right), nil
	}
	order, ok := compare(left, right)
	switch f.operator {
	case "<":
		return ok && order < 0, nil
	case "<=":
		return ok && order <= 0, nil
	case ">":
		return ok && order > 0, nil
	}
	return ok && order >= 0, nil
}

// compare orders two numbers or two strings.
func compare(a, b any) (int, bool) {
	switch a := a.(type) {
	case json.Number:
		if b, ok := b.(json.Number); ok {
			return order(number(a), number(b)), true
		}
	case string:
		if b, ok := b.(string); ok {
			return order(a, b), true
		}
	}
	return 0, false
}

func order[T float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
