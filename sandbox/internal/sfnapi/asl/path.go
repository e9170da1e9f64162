package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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

// ParsePath reads a path.
func ParsePath(text string) (*Path, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("a path has at most %d characters", maxExpression)
	}
	s := &scanner{text: text}
	p, err := s.path()
	if err == nil && !s.end() {
		err = s.unexpected()
	}
	if err != nil {
		return nil, fmt.Errorf("the path '%s' is not valid: %w", clip(text), err)
	}
	p.text = text
	return p, nil
}

// maxExpression bounds paths and intrinsic functions.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const maxExpression = 10_000

// maxNesting bounds functions in functions and filters in filters.
const maxNesting = 50

// A scanner reads paths and intrinsic functions.
type scanner struct {
	text  string
	at    int
	depth int
}

func (s *scanner) end() bool { return s.at >= len(s.text) }

func (s *scanner) peek() byte {
	if s.end() {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) take(prefix string) bool {
	if strings.HasPrefix(s.text[s.at:], prefix) {
		s.at += len(prefix)
		return true
	}
	return false
}

func (s *scanner) space() {
	for !s.end() && (s.peek() == ' ' || s.peek() == '\t' || s.peek() == '\n' || s.peek() == '\r') {
		s.at++
	}
}

func (s *scanner) unexpected() error {
	if s.end() {
		return errors.New("it ends too early")
	}
	r, _ := utf8.DecodeRuneInString(s.text[s.at:])
	return fmt.Errorf("there is an unexpected %q at character %d", r, s.at+1)
}

func nameRune(r rune) bool {
	return r == '_' || r == '-' || unicode.IsLetter(r) || unicode.IsDigit(r) || r > 0x7F && r != utf8.RuneError
}

func (s *scanner) name() string {
	start := s.at
	for !s.end() {
		r, size := utf8.DecodeRuneInString(s.text[s.at:])
		if !nameRune(r) {
			break
		}
		s.at += size
	}
	return s.text[start:s.at]
}

func (s *scanner) path() (*Path, error) {
	if !s.take("$") {
		return nil, errors.New("it must begin with $")
	}
	p := &Path{root: "$"}
	if s.take("$") {
		p.root = "$$"
	} else if r, _ := utf8.DecodeRuneInString(s.text[s.at:]); !s.end() && (r == '_' || unicode.IsLetter(r)) {
		start := s.at
		for !s.end() {
			r, size := utf8.DecodeRuneInString(s.text[s.at:])
			if r == '-' || !nameRune(r) {
				break
			}
			s.at += size
		}
		p.root = s.text[start:s.at]
	}
	var err error
	p.steps, err = s.steps()
	return p, err
}

func (s *scanner) steps() ([]step, error) {
	var steps []step
	for {
		var next step
		switch {
		case s.take(".."):
			next.deep = true
			if s.peek() == '[' {
				if err := s.bracket(&next); err != nil {
					return nil, err
				}
				break
			}
			if err := s.member(&next); err != nil {
				return nil, err
			}
		case s.take("."):
			if err := s.member(&next); err != nil {
				return nil, err
			}
		case s.peek() == '[':
			if err := s.bracket(&next); err != nil {
				return nil, err
			}
		default:
			return steps, nil
		}
		steps = append(steps, next)
	}
}

func (s *scanner) member(next *step) error {
	if s.take("*") {
		next.all = true
		return nil
	}
	name := s.name()
	if name == "" {
		return s.unexpected()
	}
	if s.peek() == '(' {
		return fmt.Errorf("the function %s() of JSONPath is not in the sandbox; use an intrinsic function", clip(name))
	}
	next.names = []string{name}
	return nil
}

func (s *scanner) bracket(next *step) error {
	s.at++ // [
	s.space()
	switch c := s.peek(); {
	case c == '*':
		s.at++
		next.all = true
	case c == '?':
		s.at++
		f, err := s.parseFilter()
		if err != nil {
			return err
		}
		next.filter = f
	case c == '\'' || c == '"':
		for {
			name, err := s.quoted()
			if err != nil {
				return err
			}
			next.names = append(next.names, name)
			s.space()
			if !s.take(",") {
				break
			}
			s.space()
		}
	default:
		if err := s.indexes(next); err != nil {
			return err
		}
	}
	s.space()
	if !s.take("]") {
		return s.unexpected()
	}
	return nil
}

// indexes reads "0", "-1", "0,2" and "1:3:2".
func (s *scanner) indexes(next *step) error {
	first, err := s.integer()
	if err != nil {
		return err
	}
	s.space()
	if s.peek() == ':' {
		cut := &slicing{from: first}
		for _, part := range []**int{&cut.to, &cut.by} {
			if !s.take(":") {
				break
			}
			if *part, err = s.integer(); err != nil {
				return err
			}
			s.space()
		}
		if cut.by != nil && *cut.by < 1 {
			return errors.New("the step of a slice must be 1 or more")
		}
		next.slice = cut
		return nil
	}
	for {
		if first == nil {
			return s.unexpected()
		}
		next.index = append(next.index, *first)
		s.space()
		if !s.take(",") {
			return nil
		}
		s.space()
		if first, err = s.integer(); err != nil {
			return err
		}
	}
}

// integer reads a whole number, nil if there is none.
func (s *scanner) integer() (*int, error) {
	s.space()
	start := s.at
	s.take("-")
	for s.peek() >= '0' && s.peek() <= '9' {
		s.at++
	}
	if s.at == start {
		return nil, nil
	}
	n, err := strconv.ParseInt(s.text[start:s.at], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%q is not an index", clip(s.text[start:s.at]))
	}
	i := int(n)
	return &i, nil
}

// quoted reads a string in single or double quotes, in which a backslash keeps
// the next character.
func (s *scanner) quoted() (string, error) {
	quote := s.peek()
	if quote != '\'' && quote != '"' {
		return "", s.unexpected()
	}
	s.at++
	var b strings.Builder
	for {
		if s.end() {
			return "", errors.New("a quotation mark is missing")
		}
		c := s.text[s.at]
		s.at++
		switch {
		case c == quote:
			return b.String(), nil
		case c == '\\' && !s.end():
			b.WriteByte(s.text[s.at])
			s.at++
		default:
			b.WriteByte(c)
		}
	}
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

// literal reads a JSON number, true, false or null, or a quoted string.
func (s *scanner) literal() (any, error) {
	if c := s.peek(); c == '\'' || c == '"' {
		return s.quoted()
	}
	start := s.at
	for !s.end() && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzE", s.peek()) >= 0 {
		s.at++
	}
	word := s.text[start:s.at]
	switch word {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	if word == "" || !json.Valid([]byte(word)) {
		s.at = start
		return nil, s.unexpected()
	}
	return json.Number(word), nil
}
