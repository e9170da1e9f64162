package asl

import (
	"errors"
	"fmt"
	"strings"
)

// An Expression is what a field whose name ends in .$ holds: a path, or an
// intrinsic function with paths, literals and further functions as arguments.
//
// https://states-language.net/spec.html#intrinsic-functions
type Expression struct {
	text     string
	path     *Path
	function *function
	args     []*Expression
	literal  any
	raw      string // a literal string with its backslashes, for States.Format
}

// String returns the expression as it was written.
func (e *Expression) String() string { return e.text }

// ParseExpression reads a path or an intrinsic function.
func ParseExpression(text string) (*Expression, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("an expression has at most %d characters", maxExpression)
	}
	s := &scanner{text: text}
	if !strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "States.") {
		return nil, fmt.Errorf("'%s' is neither a path, which begins with $, nor an intrinsic function, which begins with States", clip(text))
	}
	e, err := s.expression()
	if err == nil {
		s.space()
		if !s.end() {
			err = s.unexpected()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the expression '%s' is not valid: %w", clip(text), err)
	}
	e.text = text
	return e, nil
}

func (s *scanner) expression() (*Expression, error) {
	if s.depth++; s.depth > maxNesting {
		return nil, errors.New("it is nested too deeply")
	}
	defer func() { s.depth-- }()
	start := s.at
	switch {
	case s.peek() == '$':
		p, err := s.path()
		if err != nil {
			return nil, err
		}
		p.text = s.text[start:s.at]
		return &Expression{text: p.text, path: p}, nil
	case s.peek() == '\'':
		return s.stringLiteral()
	case strings.HasPrefix(s.text[s.at:], "States."):
		return s.call()
	}
	v, err := s.literal()
	return &Expression{text: s.text[start:s.at], literal: v}, err
}

// stringLiteral reads a string in single quotes. A backslash keeps a quotation
// mark, a brace or a backslash.
func (s *scanner) stringLiteral() (*Expression, error) {
	start := s.at
	s.at++
	var value strings.Builder
	for {
		if s.end() {
			return nil, errors.New("a quotation mark is missing")
		}
		c := s.text[s.at]
		s.at++
		switch {
		case c == '\'':
			return &Expression{text: s.text[start:s.at], literal: value.String(), raw: s.text[start+1 : s.at-1]}, nil
		case c == '\\' && !s.end():
			value.WriteByte(s.text[s.at])
			s.at++
		default:
			value.WriteByte(c)
		}
	}
}

func (s *scanner) call() (*Expression, error) {
	start := s.at
	for !s.end() && s.peek() != '(' {
		s.at++
	}
	f := functions[s.text[start:s.at]]
	if f == nil {
		return nil, fmt.Errorf("there is no intrinsic function %q", clip(s.text[start:s.at]))
	}
	e := &Expression{function: f}
	s.at++ // ( or past the end
	if s.at > len(s.text) {
		s.at = len(s.text)
		return nil, s.unexpected()
	}
	s.space()
	for !s.take(")") {
		if len(e.args) > 0 {
			if !s.take(",") {
				return nil, s.unexpected()
			}
			s.space()
		}
		arg, err := s.expression()
		if err != nil {
			return nil, err
		}
		e.args = append(e.args, arg)
		s.space()
	}
	if n := len(e.args); n < f.least || f.most >= 0 && n > f.most {
		return nil, fmt.Errorf("%s has %d arguments, which is not what it takes", f.name, n)
	}
	e.text = s.text[start:s.at]
	return e, nil
}

// An environment is what expressions are evaluated in.
type environment struct {
	Scope
	run *Run // whose budget the arguments of functions are charged to, and whose randomness is used
}

// A Failure is an error that an execution may retry and catch.
type Failure struct{ Name, Cause string }

// Error returns name and cause.
func (f *Failure) Error() string { return f.Name + ": " + f.Cause }

// Names of errors.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
const (
	ErrAll         = "States.ALL"
	ErrRuntime     = "States.Runtime"
	ErrTaskFailed  = "States.TaskFailed"
	ErrTimeout     = "States.Timeout"
	ErrIntrinsic   = "States.IntrinsicFailure"
	ErrResultPath  = "States.ResultPathMatchFailure"
	ErrNoChoice    = "States.NoChoiceMatched"
	ErrDataLimit   = "States.DataLimitExceeded"
	ErrPermissions = "States.Permissions"
)

func runtimeFailure(format string, args ...any) error {
	return &Failure{ErrRuntime, fmt.Sprintf(format, args...)}
}

func (e *Expression) get(env *environment) (any, error) {
	switch {
	case e.path != nil:
		v, err := e.path.Get(env.Scope)
		if err != nil {
			return nil, runtimeFailure("%s", err)
		}
		return v, nil
	case e.function == nil:
		return e.literal, nil
	}
	args := make([]any, len(e.args))
	for i, arg := range e.args {
		v, err := arg.get(env)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	if e.function.name == "States.Format" && e.args[0].raw != "" {
		args[0] = e.args[0].raw
	}
	env.run.charge(args, 4*MaxData)
	v, err := e.function.do(env, args)
	if err != nil {
		return nil, &Failure{ErrIntrinsic, fmt.Sprintf("%s: %s", e.function.name, err)}
	}
	return v, nil
}

// A Template makes a value of JSON in which fields whose names end in .$ are
// expressions: Parameters, ItemSelector, ResultSelector and Assign.
//
// https://states-language.net/spec.html#payload-template
type Template struct {
	fixed  any // if nothing is below
	fields map[string]*Template
	items  []*Template
	value  *Expression
}

// ParseTemplate reads a payload template.
func ParseTemplate(v any) (*Template, error) {
	switch v := v.(type) {
	case map[string]any:
		t := &Template{fields: make(map[string]*Template, len(v))}
		for name, child := range v {
			field, dynamic := strings.CutSuffix(name, ".$")
			var part *Template
			var err error
			if !dynamic {
				part, err = ParseTemplate(child)
			} else if text, ok := child.(string); !ok {
				err = fmt.Errorf("the value of the field '%s' must be a string that holds a path or an intrinsic function", clip(name))
			} else {
				part = &Template{}
				if part.value, err = ParseExpression(text); err != nil {
					err = fmt.Errorf("the value for the field '%s' must be a valid JSONPath or a valid intrinsic function call: %w", clip(name), err)
				}
			}
			if err != nil {
				return nil, err
			}
			if t.fields[field] != nil {
				return nil, fmt.Errorf("the field '%s' is there twice", clip(field))
			}
			t.fields[field] = part
		}
		return t, nil
	case []any:
		t := &Template{items: make([]*Template, len(v))}
		for i, child := range v {
			part, err := ParseTemplate(child)
			if err != nil {
				return nil, err
			}
			t.items[i] = part
		}
		return t, nil
	}
	return &Template{fixed: v}, nil
}

func (t *Template) get(env *environment) (any, error) {
	switch {
	case t.value != nil:
		return t.value.get(env)
	case t.fields != nil:
		object := make(map[string]any, len(t.fields))
		for _, name := range sortedKeys(t.fields) {
			v, err := t.fields[name].get(env)
			if err != nil {
				return nil, err
			}
			object[name] = v
		}
		return object, nil
	case t.items != nil:
		list := make([]any, len(t.items))
		for i, item := range t.items {
			v, err := item.get(env)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	return t.fixed, nil
}
