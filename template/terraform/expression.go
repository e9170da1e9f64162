package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/template"
)

// code is the finished text of a JSON string: escaped where Terraform reads a
// template, and literal where it does not.
type code string

// text returns the template for a string with references.
func (w *writer) text(s string) string {
	var b strings.Builder
	parts := template.Parts(s)
	for i, part := range parts {
		if l, ok := part.(template.Literal); ok {
			b.WriteString(escapeBefore(string(l), i < len(parts)-1))
		} else {
			b.WriteString("${" + w.reference(part) + "}")
		}
	}
	return b.String()
}

// value returns the expression for a policy document or a part of one.
func (w *writer) value(v any) string {
	switch v := v.(type) {
	case string:
		return w.quoted(v)
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case []any:
		return w.list(v)
	case template.Object:
		var members []string
		for _, m := range v {
			members = append(members, quote(m.Key)+" = "+w.value(m.Value))
		}
		return "{ " + strings.Join(members, ", ") + " }"
	}
	panic(fmt.Sprintf("terraform: unexpected %T in a document", v))
}

func (w *writer) list(list []any) string {
	plain := func(list []any) string {
		var elements []string
		for _, v := range list {
			elements = append(elements, w.value(v))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	before, optional, after, ok := template.SplitOptional(list)
	if !ok {
		return plain(list)
	}
	args := []string{plain(before), fmt.Sprintf("%s ? [%s] : []", w.local(optional.Condition), w.quoted(optional.Value))}
	if len(after) > 0 {
		args = append(args, plain(after))
	}
	return "concat(" + strings.Join(args, ", ") + ")"
}

// quoted returns an expression for a string with references.
func (w *writer) quoted(s string) string {
	parts := template.Parts(s)
	if len(parts) == 1 {
		if l, ok := parts[0].(template.Literal); ok {
			return quote(string(l))
		}
		return w.reference(parts[0])
	}
	var b strings.Builder
	for i, part := range parts {
		if l, ok := part.(template.Literal); ok {
			b.WriteString(quoteBody(string(l), i < len(parts)-1))
		} else {
			b.WriteString("${" + w.reference(part) + "}")
		}
	}
	return `"` + b.String() + `"`
}

// reference returns the expression for a part that is not literal.
func (w *writer) reference(part template.Part) string {
	switch part := part.(type) {
	case template.ParameterRef:
		return w.parameter(string(part))
	case template.Variable:
		source, attribute := map[template.Variable][2]string{
			"AWS::Partition": {"aws_partition", "partition"},
			"AWS::URLSuffix": {"aws_partition", "dns_suffix"},
			"AWS::AccountId": {"aws_caller_identity", "account_id"},
			"AWS::Region":    {"aws_region", "id"},
		}[part], ""
		w.data[source[0]] = true
		attribute = source[1]
		return "data." + source[0] + ".current." + attribute
	case template.AttributeRef:
		return w.attribute(part)
	case template.Conditional:
		return fmt.Sprintf("%s ? %s : %s", w.local(part.Condition), w.quoted(part.Then), w.quoted(part.Otherwise))
	}
	panic(fmt.Sprintf("terraform: unexpected %T in a text", part))
}

func (w *writer) parameter(id string) string {
	if p, _ := w.stack.Parameter(id); p.Type == template.Number {
		return "tostring(var." + snake(id) + ")"
	}
	return "var." + snake(id)
}

func (w *writer) local(condition string) string { return "local." + snake(condition) }

func (w *writer) expression(e template.Expr) string {
	join := func(operator string, all []template.Expr) string {
		var list []string
		for _, sub := range all {
			list = append(list, w.expression(sub))
		}
		return "(" + strings.Join(list, operator) + ")"
	}
	switch e := e.(type) {
	case template.Equals:
		return fmt.Sprintf("(%s == %s)", w.quoted(e.A), w.quoted(e.B))
	case template.Not:
		return "!" + w.expression(e.Expr)
	case template.And:
		return join(" && ", e)
	case template.Or:
		return join(" || ", e)
	case template.Is:
		return w.local(string(e))
	}
	panic(fmt.Sprintf("terraform: unknown expression %T", e))
}

// escape makes literal text safe where Terraform reads a template.
func escape(s string) string { return escapeBefore(s, false) }

// escapeBefore does so for text that may be followed by a reference.
func escapeBefore(s string, reference bool) string {
	return escapeMarks(s, reference, func(b *strings.Builder, c byte) { b.WriteByte(c) })
}

// quote returns the expression for literal text.
func quote(s string) string { return `"` + quoteBody(s, false) + `"` }

// quoteBody returns what stands between the quotes, for text that may be
// followed by a reference.
func quoteBody(s string, reference bool) string {
	return escapeMarks(s, reference, func(b *strings.Builder, c byte) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7F:
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	})
}

// escapeMarks escapes "${" and "%{", which begin an expression, by doubling the
// mark. A mark that could be misread together with its neighbours becomes an
// expression of its own. All other bytes go through plain.
func escapeMarks(s string, reference bool, plain func(*strings.Builder, byte)) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c != '$' && c != '%' {
			plain(&b, c)
			continue
		}
		last := i == len(s)-1
		next := byte(0)
		if !last {
			next = s[i+1]
		}
		alone := i == 0 || s[i-1] != '$' && s[i-1] != '%'
		switch {
		case next == '{' && alone:
			b.WriteByte(c)
			b.WriteByte(c)
		case next == '{' || next == '$' || next == '%' || last && reference:
			b.WriteString(`${"` + string(c) + `"}`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// write serialises an object whose strings are finished.
func write(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case code:
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		if err := e.Encode(string(v)); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case template.Object:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := write(b, code(m.Key)); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := write(b, m.Value); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := write(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		return fmt.Errorf("writing the configuration: unexpected %T", v)
	}
	return nil
}
