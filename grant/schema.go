package grant

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// SchemaID is where the schema of the manifest is published.
const SchemaID = "https://crossaccount.github.io/crossaccount/crossaccount.schema.json"

// Schema returns the JSON schema of the manifest (draft 2020-12), for editors.
// It is made from the same table as the reader, so that a file the schema
// refuses is one that [Parse] refuses; Parse also checks what a schema cannot.
func Schema() []byte {
	root := schemaOf(reflect.TypeFor[Manifest](), tag{}).(template.Object)
	root = append(template.Object{
		{Key: "$schema", Value: "https://json-schema.org/draft/2020-12/schema"},
		{Key: "$id", Value: SchemaID},
		{Key: "title", Value: "crossaccount.yaml: who may use what, in which stage"},
	}, root...)
	var compact, out bytes.Buffer
	writeJSON(&compact, root)
	_ = json.Indent(&out, compact.Bytes(), "", "  ") // writeJSON writes JSON
	out.WriteByte('\n')
	return out.Bytes()
}

func schemaOf(t reflect.Type, g tag) any {
	var o template.Object
	o.AddText("description", g.doc)
	g.doc = ""
	add := func(more any) any { return append(o, more.(template.Object)...) }
	switch t {
	case byStageType:
		text := schemaOf(reflect.TypeFor[string](), g)
		return add(template.Object{{Key: "anyOf", Value: []any{
			text, template.Object{{Key: "type", Value: "object"}, {Key: "additionalProperties", Value: text}},
		}}})
	case objectType:
		return add(template.Object{{Key: "type", Value: "object"}})
	}
	switch t.Kind() {
	case reflect.Pointer:
		return add(schemaOf(t.Elem(), g))
	case reflect.Struct:
		return add(structSchema(t))
	case reflect.Map:
		o.Add("type", "object")
		if t.Elem().Kind() == reflect.Struct {
			o.Add("propertyNames", template.Object{{Key: "pattern", Value: namePattern.String()}})
		}
		o.Add("additionalProperties", schemaOf(t.Elem(), g.elements()))
		return o
	case reflect.Slice:
		element := schemaOf(t.Elem(), g.elements())
		list := template.Object{{Key: "type", Value: "array"}, {Key: "minItems", Value: 1}, {Key: "items", Value: element}}
		if t.Elem().Kind() == reflect.String {
			return add(template.Object{{Key: "anyOf", Value: []any{element, list}}})
		}
		return add(list)
	case reflect.Bool:
		o.Add("type", "boolean")
	case reflect.Int:
		o.Add("type", "integer")
		if len(g.enum) > 0 {
			o.Add("const", 1)
		}
	default:
		if g.number {
			o.Add("type", []any{"string", "integer"})
		} else {
			o.Add("type", "string")
		}
		o.Add("minLength", 1)
		if len(g.enum) > 0 {
			o.Add("enum", template.Texts(g.enum))
		}
		if g.pattern != "" {
			o.Add("pattern", "^(?:"+g.pattern+")$")
		}
	}
	return o
}

func structSchema(t reflect.Type) template.Object {
	var properties template.Object
	var required []any
	for i := range t.NumField() {
		if g, ok := tagOf(t.Field(i)); ok {
			properties.Add(g.key, schemaOf(t.Field(i).Type, g))
			if g.required {
				required = append(required, g.key)
			}
		}
	}
	o := template.Object{{Key: "type", Value: "object"}, {Key: "additionalProperties", Value: false}, {Key: "properties", Value: properties}}
	if len(required) > 0 {
		o.Add("required", required)
	}
	return o
}

// writeJSON writes an object with its members in order.
func writeJSON(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case template.Object:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, m.Key)
			b.WriteByte(':')
			writeJSON(b, m.Value)
		}
		b.WriteByte('}')
	case *iam.Policy:
		writeJSON(b, template.Document(v))
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, e)
		}
		b.WriteByte(']')
	default:
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		_ = e.Encode(v) // texts, numbers, truth values and null
		b.Truncate(b.Len() - 1)
	}
}

func jsonText(v any) string {
	var b bytes.Buffer
	writeJSON(&b, v)
	return b.String()
}
