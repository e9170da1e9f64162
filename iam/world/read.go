package world

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// Read reads a snapshot strictly: unknown and duplicate fields, values of the
// wrong type and policies with problems are refused, each with its line, column
// and path, as a [*SnapshotError]. Large files are read element by element.
func Read(r io.Reader) (*Snapshot, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read the world: %w", err)
	}
	d := newDecoder(data)
	s := &Snapshot{}
	d.snapshot(s)
	if len(d.problems) > 0 {
		return nil, &SnapshotError{d.problems}
	}
	if err := s.check(d.checked, true); err != nil {
		var problems *SnapshotError
		if errors.As(err, &problems) {
			for i := range problems.Problems {
				problems.Problems[i].Position = d.locate(problems.Problems[i].Path)
			}
		}
		return nil, err
	}
	return s, nil
}

// A decoder reads world.json into a [Snapshot]. The fields are those of the Go
// types, by their json tags.
type decoder struct {
	data      []byte
	problems  []Problem
	documents map[string]Document // by text, to keep one copy
	checked   map[kindAndText]bool
	strings   map[string]string
	base      int // offset of the element being read
}

func newDecoder(data []byte) *decoder {
	return &decoder{data: data, documents: make(map[string]Document), checked: make(map[kindAndText]bool), strings: make(map[string]string)}
}

// at returns the position of an offset of the file.
func (d *decoder) at(offset int) iam.Position {
	offset = min(offset, len(d.data))
	before := d.data[:offset]
	return iam.Position{
		Offset: offset,
		Line:   bytes.Count(before, []byte("\n")) + 1,
		Column: offset - bytes.LastIndexByte(before, '\n'),
	}
}

// maxProblems bounds what is reported of one file.
const maxProblems = 1000

func (d *decoder) report(path string, offset int, format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, Problem{path, d.at(offset), fmt.Sprintf(format, args...)})
	}
}

func (d *decoder) snapshot(s *Snapshot) {
	err := eachElement(d.data, func(field string, index int, offset int, raw []byte) {
		target, _ := taggedField(reflect.ValueOf(s).Elem(), field)
		path := field
		if !target.IsValid() {
			d.report(path, offset, "is no field of a world; the fields are %s", strings.Join(tags(reflect.TypeFor[Snapshot]()), ", "))
			return
		}
		if index == arrayBegins {
			if target.Kind() != reflect.Slice {
				d.report(path, offset, "must not be an array")
			}
			return
		}
		if index >= 0 && target.Kind() == reflect.Slice {
			path = fmt.Sprintf("%s[%d]", field, index)
			target.Grow(1)
			target.SetLen(target.Len() + 1)
			target = target.Index(target.Len() - 1)
		}
		v, err := iam.ReadValue(raw)
		if err != nil {
			d.syntax(path, offset, err)
			return
		}
		d.base = offset
		d.value(path, &v, target, 0)
	})
	if err != nil {
		var at *offsetError
		if errors.As(err, &at) {
			d.report("", at.offset, "%s", at.message)
			return
		}
		d.report("", 0, "%v", err)
	}
}

// syntax reports an error of iam.ReadValue.
func (d *decoder) syntax(path string, base int, err error) {
	var syntax *iam.SyntaxError
	if errors.As(err, &syntax) {
		for _, p := range syntax.Problems {
			d.report(path, base+p.Position.Offset, "%s", p.Message)
		}
		return
	}
	d.report(path, base, "%v", err)
}

// An offsetError is a problem of the file as JSON.
type offsetError struct {
	offset  int
	message string
}

func (e *offsetError) Error() string { return e.message }

// arrayBegins is given to the function of [eachElement] instead of an index.
const arrayBegins = -2

// eachElement calls f for each element of the arrays of an object, with its
// index, and for each other value of the object, with index -1. Before the
// elements of an array it calls f with arrayBegins.
func eachElement(data []byte, f func(field string, index, offset int, raw []byte)) error {
	in := json.NewDecoder(bytes.NewReader(data))
	fail := func(format string, args ...any) error {
		return &offsetError{int(in.InputOffset()), fmt.Sprintf(format, args...)}
	}
	broken := func(err error) error {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return &offsetError{int(syntax.Offset), "is not JSON: " + syntax.Error()}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &offsetError{len(data), "unexpected end of the file"}
		}
		return fail("%v", err)
	}
	token, err := in.Token()
	if err != nil {
		return broken(err)
	}
	if token != json.Delim('{') {
		return fail("a world must be an object")
	}
	seen := make(map[string]bool)
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return broken(err)
		}
		field, _ := token.(string)
		if seen[field] {
			return fail("the field %q is there twice", field)
		}
		seen[field] = true
		if err := eachValue(in, data, field, f); err != nil {
			return broken(err)
		}
	}
	if _, err := in.Token(); err != nil {
		return broken(err)
	}
	if rest := bytes.TrimLeft(data[in.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return &offsetError{len(data) - len(rest), "unexpected text after the end of the world"}
	}
	return nil
}

// eachValue reads the value of a field.
func eachValue(in *json.Decoder, data []byte, field string, f func(field string, index, offset int, raw []byte)) error {
	raw := func(index int) error {
		var r json.RawMessage
		if err := in.Decode(&r); err != nil {
			return err
		}
		f(field, index, int(in.InputOffset())-len(r), r)
		return nil
	}
	rest := bytes.TrimLeft(data[in.InputOffset():], " \t\r\n:")
	if len(rest) == 0 || rest[0] != '[' {
		return raw(-1)
	}
	f(field, arrayBegins, len(data)-len(rest), nil)
	if _, err := in.Token(); err != nil {
		return err
	}
	for i := 0; in.More(); i++ {
		if err := raw(i); err != nil {
			return err
		}
	}
	_, err := in.Token()
	return err
}

// taggedField returns the field with a name, and the kind of policy it holds.
func taggedField(v reflect.Value, name string) (reflect.Value, iam.Kind) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); tagName(f) == name {
			return v.Field(i), kinds[f.Tag.Get("policy")]
		}
	}
	return reflect.Value{}, 0
}

func tagName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func tags(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		names = append(names, tagName(t.Field(i)))
	}
	return names
}

var documentType = reflect.TypeFor[Document]()

// kinds are the values of the tag "policy", which says what kind of policy a
// document is.
var kinds = map[string]iam.Kind{
	"identity": iam.KindIdentity, "trust": iam.KindTrust, "resource": iam.KindResource, "endpoint": iam.KindEndpoint,
}

// value reads v into target, which has the zero value. The kind is that of the
// policy, if it is one and its field says so.
func (d *decoder) value(path string, v *iam.Value, target reflect.Value, kind iam.Kind) {
	wrong := func(want string) {
		d.report(path, d.base+v.Position.Offset, "must be %s, not %s", want, v.Kind)
	}
	switch t := target.Type(); {
	case t == documentType:
		target.Set(reflect.ValueOf(d.document(path, v, kind)))
	case t.Kind() == reflect.Pointer:
		target.Set(reflect.New(t.Elem()))
		d.value(path, v, target.Elem(), kind)
	case t.Kind() == reflect.Struct:
		if v.Kind != iam.ValueObject {
			wrong("an object")
			return
		}
		d.object(path, v, target)
	case t.Kind() == reflect.Slice:
		if v.Kind != iam.ValueArray {
			wrong("an array")
			return
		}
		target.Set(reflect.MakeSlice(t, len(v.Items), len(v.Items)))
		for i := range v.Items {
			d.value(fmt.Sprintf("%s[%d]", path, i), &v.Items[i], target.Index(i), kind)
		}
	case t.Kind() == reflect.Map:
		if v.Kind != iam.ValueObject {
			wrong("an object")
			return
		}
		d.tagMap(path, v, target)
	case t.Kind() == reflect.Int:
		n, err := strconv.Atoi(v.Text)
		if v.Kind != iam.ValueNumber || err != nil {
			wrong("a whole number")
			return
		}
		target.SetInt(int64(n))
	default:
		if v.Kind != iam.ValueString {
			wrong("a string")
			return
		}
		target.SetString(d.intern(v.Text))
	}
}

func (d *decoder) object(path string, v *iam.Value, target reflect.Value) {
	seen := make(map[string]bool, len(v.Members))
	for i := range v.Members {
		m := &v.Members[i]
		at := path + "." + m.Name
		field, kind := taggedField(target, m.Name)
		switch {
		case !field.IsValid():
			d.report(at, d.base+m.Position.Offset, "is no field here; the fields are %s", strings.Join(tags(target.Type()), ", "))
		case seen[m.Name]:
			d.report(at, d.base+m.Position.Offset, "is there twice")
		default:
			d.value(at, &m.Value, field, kind)
		}
		seen[m.Name] = true
	}
	for i := range target.NumField() {
		f := target.Type().Field(i)
		if name := tagName(f); !strings.HasSuffix(f.Tag.Get("json"), ",omitempty") && !seen[name] {
			d.report(path+"."+name, d.base+v.Position.Offset, "is missing")
		}
	}
}

func (d *decoder) tagMap(path string, v *iam.Value, target reflect.Value) {
	target.Set(reflect.MakeMapWithSize(target.Type(), len(v.Members)))
	for i := range v.Members {
		m := &v.Members[i]
		at := path + "." + m.Name
		key := reflect.ValueOf(d.intern(m.Name))
		switch {
		case target.MapIndex(key).IsValid():
			d.report(at, d.base+m.Position.Offset, "is there twice")
		case m.Value.Kind != iam.ValueString:
			d.report(at, d.base+m.Value.Position.Offset, "must be a string, not %s", m.Value.Kind)
		default:
			target.SetMapIndex(key, reflect.ValueOf(d.intern(m.Value.Text)))
		}
	}
}

func (d *decoder) document(path string, v *iam.Value, kind iam.Kind) Document {
	p, problems := iam.ParseValue(*v)
	if p != nil && len(problems) == 0 && kind != 0 {
		problems = p.Check(kind)
	}
	for _, problem := range problems {
		d.report(join(path, problem.Path), d.base+problem.Position.Offset, "%s", problem.Message)
	}
	if p == nil || len(problems) > 0 {
		return Document{}
	}
	doc, err := NewDocument(p)
	if err != nil {
		d.report(path, d.base+v.Position.Offset, "%v", err)
		return Document{}
	}
	if same, ok := d.documents[doc.text]; ok {
		doc = same
	}
	d.documents[doc.text] = doc
	if kind != 0 {
		d.checked[kindAndText{kind, doc.text}] = true
	}
	return doc
}

func (d *decoder) intern(s string) string {
	if same, ok := d.strings[s]; ok {
		return same
	}
	d.strings[s] = s
	return s
}

func join(path, more string) string {
	if more == "" {
		return path
	}
	return path + "." + more
}

// locate returns where the thing at a path is written, or what encloses it.
func (d *decoder) locate(path string) iam.Position {
	field, rest, _ := strings.Cut(path, ".")
	name, number, indexed := strings.Cut(strings.TrimSuffix(field, "]"), "[")
	wanted := -1
	if indexed {
		wanted, _ = strconv.Atoi(number)
	}
	found := iam.Position{}
	_ = eachElement(d.data, func(field string, index, offset int, raw []byte) {
		if field != name || index != wanted {
			return
		}
		v, err := iam.ReadValue(raw)
		if err == nil {
			found = d.at(offset + walk(&v, rest).Position.Offset)
		}
	})
	return found
}

// walk follows a path through a value as far as it can.
func walk(v *iam.Value, path string) *iam.Value {
	for path != "" {
		var step string
		step, path, _ = strings.Cut(path, ".")
		name, number, indexed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		next := v.Get(name)
		if next == nil {
			return v
		}
		v = next
		if !indexed || v.Kind != iam.ValueArray {
			continue
		}
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(v.Items) {
			return v
		}
		v = &v.Items[i]
	}
	return v
}
