package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

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
