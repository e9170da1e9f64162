package asl

import (
	"strings"
)

// An object is a JSON object being read. Fields that nobody takes are reported.
type object struct {
	p      *parser
	at     string
	fields map[string]any
	taken  map[string]bool
}

func (p *parser) object(v any, at string) *object {
	fields, ok := v.(map[string]any)
	if !ok {
		p.report(codeSchema, at, "Expected value of type Object")
	}
	return &object{p: p, at: at, fields: fields, taken: make(map[string]bool)}
}

// take returns a field, nil if it is absent.
func (o *object) take(name string) any {
	o.taken[name] = true
	return o.fields[name]
}

func (o *object) has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

// unknown reports the fields that were not taken.
func (o *object) unknown() {
	for _, name := range sortedKeys(o.fields) {
		if !o.taken[name] {
			o.p.report(codeSchema, o.at+"/"+pointer(name), "Field '%s' is not supported", clip(name))
		}
	}
}

func (o *object) text(name string) string {
	v := o.take(name)
	if v == nil && !o.has(name) {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		o.p.report(codeSchema, o.at+"/"+name, "Expected value of type String")
	}
	return s
}

func (o *object) required(name string) string {
	if !o.has(name) {
		o.p.report(codeSchema, o.at, "These fields are required: [%s]", name)
	}
	return o.text(name)
}

func (o *object) flag(name string) bool {
	v := o.take(name)
	b, ok := v.(bool)
	if !ok && o.has(name) {
		o.p.report(codeSchema, o.at+"/"+name, "Expected value of type Boolean")
	}
	return b
}

// whole reads a whole number.
func (o *object) whole(name string, least, most int) bound {
	v := o.take(name)
	if !o.has(name) {
		return bound{}
	}
	n, ok := whole(v)
	if !ok || n < least || n > most {
		o.p.report(codeSchema, o.at+"/"+name, "Expected a whole number from %d to %d", least, most)
	}
	return bound{set: true, fixed: n}
}

// wholeOr reads a whole number, or the path to one in the field with Path at its
// end.
func (o *object) wholeOr(name string, least, most int) bound {
	b := o.whole(name, least, most)
	if p := o.reference(name + "Path"); p != nil {
		if b.set {
			o.p.report(codeSchema, o.at, "Only one of the fields %s and %sPath may be there", name, name)
		}
		b = bound{set: true, path: p}
	}
	return b
}

func (o *object) path(name string, parse func(string) (*Path, error)) *Path {
	if !o.has(name) {
		o.taken[name] = true
		return nil
	}
	text := o.text(name)
	p, err := parse(text)
	if err != nil {
		o.p.report(codeSchema, o.at+"/"+name, "Value is not a valid path: %s", err)
		return nil
	}
	return p
}

func (o *object) reference(name string) *Path { return o.path(name, ParseReferencePath) }

var wholeInput = &Path{text: "$", root: "$"}

// filterPath reads InputPath or OutputPath: absent is $, null is nil.
func (o *object) filterPath(name string) *Path {
	if v, ok := o.fields[name]; !ok || v == nil {
		o.taken[name] = true
		if ok {
			return nil
		}
		return wholeInput
	}
	if p := o.path(name, ParsePath); p != nil {
		return p
	}
	return wholeInput // and reported
}

// resultPath reads ResultPath: absent is $, null is nil.
func (o *object) resultPath() *Path {
	const name = "ResultPath"
	if v, ok := o.fields[name]; !ok || v == nil {
		o.taken[name] = true
		if ok {
			return nil
		}
		return wholeInput
	}
	p := o.reference(name)
	if p == nil {
		return wholeInput // and reported
	}
	if p.root != "$" {
		o.p.report(codeSchema, o.at+"/"+name, "Value is not a valid reference path: it must begin with $")
	}
	return p
}

func (o *object) template(name string) *Template {
	v := o.take(name)
	if !o.has(name) {
		return nil
	}
	t, err := ParseTemplate(v)
	if err != nil {
		o.p.report(codeSchema, o.at+"/"+name, "%s", err)
		return nil
	}
	return t
}

// language reads QueryLanguage.
func (o *object) language() {
	switch language := o.text("QueryLanguage"); language {
	case "", "JSONPath":
	case "JSONata":
		o.p.lacks("the query language JSONata")
	default:
		o.p.report(codeSchema, o.at+"/QueryLanguage", "Value is not one of [JSONPath, JSONata]")
	}
}

func (o *object) list(name string) []any {
	v := o.take(name)
	if !o.has(name) {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		o.p.report(codeSchema, o.at+"/"+name, "Expected value of type Array")
	}
	return list
}

// expression reads a path or an intrinsic function.
func (o *object) expression(name string) *Expression {
	text := o.text(name)
	if text == "" {
		return nil
	}
	e, err := ParseExpression(text)
	if err != nil {
		o.p.report(codeSchema, o.at+"/"+name, "%s", err)
	}
	return e
}

// textOr reads a text, or an expression in the field with Path at its end.
func (o *object) textOr(name string) *Expression {
	fixed := o.text(name)
	e := o.expression(name + "Path")
	switch {
	case fixed != "" && e != nil:
		o.p.report(codeSchema, o.at, "Only one of the fields %s and %sPath may be there", name, name)
	case fixed != "":
		return &Expression{text: fixed, literal: fixed}
	}
	return e
}

// errorNames reads ErrorEquals. States.ALL must be alone and come last.
func (o *object) errorNames(last bool) []string {
	var names []string
	for _, v := range o.list("ErrorEquals") {
		name, ok := v.(string)
		if !ok {
			o.p.report(codeSchema, o.at+"/ErrorEquals", "Expected value of type String")
		}
		names = append(names, name)
	}
	at := o.at + "/ErrorEquals"
	if len(names) == 0 {
		o.p.report(codeSchema, at, "ErrorEquals must name at least one error")
	}
	if strings.Contains("\n"+strings.Join(names, "\n")+"\n", "\n"+ErrAll+"\n") && (len(names) > 1 || !last) {
		o.p.report(codeSchema, at, "%s must appear alone, and in the last retrier or catcher", ErrAll)
	}
	return names
}
