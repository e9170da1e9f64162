package asl

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A choice is a rule of a Choice state.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html
type choice struct {
	next   string
	assign *Template

	all, any []choice
	not      *choice

	variable *Path
	operator string
	value    any
	path     *Path // of operators that end in Path
	time     time.Time
}

func (p *parser) choice(s *State, o *object) {
	s.defaultsTo = o.text("Default")
	list := o.list("Choices")
	if len(list) == 0 {
		p.report(codeSchema, o.at, "These fields are required: [Choices]")
	}
	for i, v := range list {
		s.choices = append(s.choices, p.rule(p.object(v, fmt.Sprintf("%s/Choices[%d]", o.at, i)), true))
	}
}

func (p *parser) rule(o *object, top bool) choice {
	var c choice
	if p.depth++; p.depth > maxDepth {
		p.report(codeSchema, o.at, "The definition is nested too deeply")
		return c
	}
	defer func() { p.depth-- }()
	o.text("Comment")
	if top {
		c.next, c.assign = o.required("Next"), o.assign()
	}
	given := 0
	for _, name := range []string{"And", "Or"} {
		if !o.has(name) {
			continue
		}
		given++
		list := o.list(name)
		if len(list) == 0 {
			p.report(codeSchema, o.at+"/"+name, "There must be at least one rule")
		}
		for i, v := range list {
			part := p.rule(p.object(v, fmt.Sprintf("%s/%s[%d]", o.at, name, i)), false)
			if name == "And" {
				c.all = append(c.all, part)
			} else {
				c.any = append(c.any, part)
			}
		}
	}
	if o.has("Not") {
		given++
		part := p.rule(p.object(o.take("Not"), o.at+"/Not"), false)
		c.not = &part
	}
	if o.has("Variable") {
		given++
		c.variable = o.path("Variable", ParsePath)
		p.comparison(&c, o)
	}
	if given != 1 {
		p.report(codeSchema, o.at, "Exactly one of the fields Variable, And, Or and Not must be there")
	}
	o.unknown()
	return c
}

// comparison reads the one operator of a rule.
func (p *parser) comparison(c *choice, o *object) {
	for _, name := range sortedKeys(o.fields) {
		if o.taken[name] {
			continue
		}
		check, known := operators[strings.TrimSuffix(name, "Path")]
		if !known || strings.HasPrefix(name, "Is") && strings.HasSuffix(name, "Path") || name == "StringMatchesPath" {
			continue // reported as unknown
		}
		at := o.at + "/" + name
		if c.operator != "" {
			p.report(codeSchema, o.at, "A rule has one comparison operator")
		}
		c.operator = name
		if strings.HasSuffix(name, "Path") {
			c.path = o.path(name, ParsePath)
			c.operator = strings.TrimSuffix(name, "Path")
			continue
		}
		c.value = o.take(name)
		if !check(c.value) {
			p.report(codeSchema, at, "The value does not fit the operator %s", name)
		}
		if strings.HasPrefix(name, "Timestamp") {
			c.time, _ = timestamp(c.value) // checked above
		}
	}
	if c.operator == "" {
		p.report(codeSchema, o.at, "A rule with Variable needs a comparison operator")
	}
}

func isText(v any) bool   { _, ok := v.(string); return ok }
func isNumber(v any) bool { _, ok := v.(json.Number); return ok }
func isFlag(v any) bool   { _, ok := v.(bool); return ok }
func isTime(v any) bool   { _, ok := timestamp(v); return ok }

func timestamp(v any) (time.Time, bool) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// operators are the comparisons, and what may stand beside them.
var operators = func() map[string]func(any) bool {
	table := map[string]func(any) bool{"BooleanEquals": isFlag, "StringMatches": isText}
	for _, order := range []string{"Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals"} {
		table["String"+order], table["Numeric"+order], table["Timestamp"+order] = isText, isNumber, isTime
	}
	for _, name := range []string{"IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp"} {
		table[name] = isFlag
	}
	return table
}()

func (c *choice) matches(env *environment) (bool, error) {
	switch {
	case c.not != nil:
		ok, err := c.not.matches(env)
		return !ok, err
	case c.all != nil:
		for i := range c.all {
			if ok, err := c.all[i].matches(env); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case c.any != nil:
		for i := range c.any {
			if ok, err := c.any[i].matches(env); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
	v, err := c.variable.Get(env.Scope)
	if c.operator == "IsPresent" {
		return (err == nil) == c.value, nil
	}
	if err != nil {
		return false, runtimeFailure("Invalid path '%s': The choice state's condition path references an invalid value.", clip(c.variable.text))
	}
	if test, ok := types[c.operator]; ok {
		return test(v) == c.value, nil
	}
	with, at := c.value, c.time
	if c.path != nil {
		if with, err = c.path.Get(env.Scope); err != nil {
			return false, runtimeFailure("%s", err)
		}
		at, _ = timestamp(with)
	}
	if !operators[c.operator](v) || !operators[c.operator](with) {
		return false, nil // of different types
	}
	switch {
	case c.operator == "BooleanEquals":
		return v == with, nil
	case c.operator == "StringMatches":
		return wildcard(with.(string), v.(string)), nil
	case strings.HasPrefix(c.operator, "Timestamp"):
		t, _ := timestamp(v)
		return ordered(strings.TrimPrefix(c.operator, "Timestamp"), t.Compare(at)), nil
	}
	sign, _ := compare(v, with)
	return ordered(strings.TrimPrefix(strings.TrimPrefix(c.operator, "String"), "Numeric"), sign), nil
}

var types = map[string]func(any) bool{
	"IsNull": func(v any) bool { return v == nil }, "IsNumeric": isNumber, "IsString": isText, "IsBoolean": isFlag, "IsTimestamp": isTime,
}

func ordered(operator string, sign int) bool {
	switch operator {
	case "Equals":
		return sign == 0
	case "LessThan":
		return sign < 0
	case "LessThanEquals":
		return sign <= 0
	case "GreaterThan":
		return sign > 0
	}
	return sign >= 0
}

// wildcard matches a text with a pattern in which * stands for any characters.
// A backslash keeps an asterisk or a backslash.
func wildcard(pattern, s string) bool {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			b.WriteByte(pattern[i])
		case pattern[i] == '*':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(pattern[i])
		}
	}
	last := b.String()
	if len(parts) == 0 {
		return s == last
	}
	s, ok := strings.CutPrefix(s, parts[0])
	for _, part := range parts[1:] {
		if !ok {
			return false
		}
		_, s, ok = strings.Cut(s, part)
	}
	return ok && strings.HasSuffix(s, last)
}
