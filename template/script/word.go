package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/template"
)

// quote returns a shell word that stands for the text, whatever it contains.
// The text must not contain NUL; [template.Stack.Check] sees to it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func parameterName(id string) string { return "p_" + template.SnakeCase(id) }
func conditionName(id string) string { return "c_" + template.SnakeCase(id) }
func attributeName(a template.AttributeRef) string {
	return "r_" + template.SnakeCase(a.Resource) + "_" + template.SnakeCase(a.Attribute)
}
func optionName(id string) string {
	return "--" + strings.ReplaceAll(template.SnakeCase(id), "_", "-")
}

// A shellWord is one word of the script, made of literal text and expansions.
type shellWord struct {
	text    strings.Builder // finished
	literal strings.Builder // not yet quoted
}

func (w *shellWord) expand(expansion string) {
	w.flush()
	w.text.WriteString(`"` + expansion + `"`)
}

func (w *shellWord) flush() {
	if w.literal.Len() > 0 {
		w.text.WriteString(quote(w.literal.String()))
		w.literal.Reset()
	}
}

// String returns the word; without any text it is the empty word.
func (w *shellWord) String() string {
	w.flush()
	if w.text.Len() == 0 {
		return "''"
	}
	return w.text.String()
}

// word returns a shell word for a text with references. Assignments it needs
// beforehand are written to b.
func (w *writer) word(b *bytes.Buffer, s string) string {
	var word shellWord
	for _, part := range template.Parts(s) {
		if l, ok := part.(template.Literal); ok {
			word.literal.WriteString(string(l))
		} else {
			word.expand("$" + w.variable(b, part))
		}
	}
	return word.String()
}

// document returns a shell word for JSON text. Values that become known when
// the script runs pass through the shell function json.
func (w *writer) document(b *bytes.Buffer, v any) string {
	var word shellWord
	w.write(b, &word, v)
	return word.String()
}

// raw is the name of a shell variable whose text becomes a JSON string.
type raw string

func (w *writer) write(b *bytes.Buffer, word *shellWord, v any) {
	switch v := v.(type) {
	case raw:
		word.literal.WriteByte('"')
		word.expand(`$(json "$` + string(v) + `")`)
		word.literal.WriteByte('"')
	case string:
		word.literal.WriteByte('"')
		for _, part := range template.Parts(v) {
			if l, ok := part.(template.Literal); ok {
				word.literal.WriteString(jsonBody(string(l)))
			} else {
				word.expand(`$(json "$` + w.variable(b, part) + `")`)
			}
		}
		word.literal.WriteByte('"')
	case bool:
		word.literal.WriteString(strconv.FormatBool(v))
	case int:
		word.literal.WriteString(strconv.Itoa(v))
	case template.Object:
		word.literal.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				word.literal.WriteByte(',')
			}
			word.literal.WriteString(`"` + jsonBody(m.Key) + `":`)
			w.write(b, word, m.Value)
		}
		word.literal.WriteByte('}')
	case []any:
		before, optional, after, ok := template.SplitOptional(v)
		word.literal.WriteByte('[')
		for i, e := range before {
			if i > 0 {
				word.literal.WriteByte(',')
			}
			w.write(b, word, e)
		}
		if ok {
			var element shellWord
			element.literal.WriteByte(',')
			w.write(b, &element, optional.Value)
			name := w.newVariable()
			fmt.Fprintf(b, "%s=''\nif [ \"$%s\" = true ]; then %s=%s; fi\n", name, conditionName(optional.Condition), name, element.String())
			word.expand("$" + name)
			for _, e := range after {
				word.literal.WriteByte(',')
				w.write(b, word, e)
			}
		}
		word.literal.WriteByte(']')
	default:
		panic(fmt.Sprintf("script: unexpected %T in a document", v))
	}
}

func (w *writer) newVariable() string {
	w.values++
	return "v_" + strconv.Itoa(w.values)
}

// variable returns the name of the shell variable that holds the value of a
// part, after writing to b what makes it.
func (w *writer) variable(b *bytes.Buffer, part template.Part) string {
	switch part := part.(type) {
	case template.ParameterRef:
		return parameterName(string(part))
	case template.Variable:
		return variableNames[part]
	case template.AttributeRef:
		return attributeName(part)
	case template.Conditional:
		name := w.newVariable()
		then, otherwise := w.word(b, part.Then), w.word(b, part.Otherwise)
		fmt.Fprintf(b, "if [ \"$%s\" = true ]; then %s=%s; else %s=%s; fi\n", conditionName(part.Condition), name, then, name, otherwise)
		return name
	}
	panic(fmt.Sprintf("script: unexpected %T in a text", part))
}

var variableNames = map[template.Variable]string{
	"AWS::Partition": "partition",
	"AWS::AccountId": "account_id",
	"AWS::Region":    "region",
	"AWS::URLSuffix": "url_suffix",
}

// jsonBody returns what stands between the quotes of a JSON string.
func jsonBody(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // writing a string to a buffer cannot fail
	return string(bytes.TrimSuffix(bytes.TrimPrefix(b.Bytes(), []byte(`"`)), []byte("\"\n")))
}
