package wire

import (
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"
)

// DecodeQuery fills the struct that into points to from the parameters of an
// AWS query request. A field takes the parameter of its own name, or the one
// its tag names:
//
//	RoleName    string                         // RoleName=demo
//	Duration    *int   `wire:"DurationSeconds"` // nil: not given
//	Tags        []Tag                          // Tags.member.1.Key=a&Tags.member.1.Value=b
//	Context     Nested                         // Context.Field=x
//	Extra       map[string]string              // Extra.entry.1.key=a&Extra.entry.1.value=b, or Name and Value
//	StartTime   time.Time                      // StartTime=2026-01-02T15:04:05Z
//	Ignored     string `wire:"-"`
//
// An empty list is sent as "Tags=" and gives an empty slice that is not nil.
// Parameters that no field takes are ignored, as AWS does. A value that cannot
// be read, a parameter given twice and a scalar where a structure belongs give
// an [*Error] with code MalformedInput; into may then be partly filled.
func DecodeQuery(form url.Values, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic("wire: DecodeQuery needs a pointer to a struct")
	}
	root := &node{}
	for name, values := range form {
		if len(values) > 1 {
			return malformed(name, "is given more than once")
		}
		root.add(name, values[0])
	}
	return decodeStruct(root, v.Elem())
}

func malformed(path, problem string) *Error {
	return BadRequest("MalformedInput", "parameter %s %s", clip(path), problem)
}

func clip(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.ToValidUTF8(s, "?")
}

// A node is one dotted part of a parameter name, with what was given under it.
type node struct {
	path     string
	set      bool // a value was given
	value    string
	children map[string]*node
}

func (n *node) add(name, value string) {
	path := name
	for end := 0; ; {
		part, rest, more := strings.Cut(name, ".")
		end += len(part)
		child := n.children[part]
		if child == nil {
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			child = &node{path: path[:end]}
			n.children[part] = child
		}
		n = child
		if !more {
			n.set, n.value = true, value
			return
		}
		name = rest
		end++
	}
}

// numbered returns the children named by positive numbers in ascending order.
// Gaps are allowed, so the largest number costs nothing.
func (n *node) numbered() ([]*node, error) {
	type item struct {
		number int
		node   *node
	}
	var items []item
	for name, child := range n.children {
		number, err := strconv.Atoi(name)
		if err != nil || number < 1 || strconv.Itoa(number) != name {
			return nil, malformed(child.path, "must end in a positive number")
		}
		items = append(items, item{number, child})
	}
	sort.Slice(items, func(i, j int) bool { return items[i].number < items[j].number })
	nodes := make([]*node, len(items))
	for i, item := range items {
		nodes[i] = item.node
	}
	return nodes, nil
}

func decodeStruct(n *node, v reflect.Value) error {
	if n.set && n.value != "" {
		return malformed(n.path, "must be a structure")
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			if err := decodeStruct(n, v.Field(i)); err != nil {
				return err
			}
			continue
		}
		name, _ := fieldName(field)
		child := n.children[name]
		if name == "" || child == nil {
			continue
		}
		if err := decodeValue(child, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

var timeType = reflect.TypeFor[time.Time]()

func decodeValue(n *node, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decodeValue(n, v.Elem())
	case reflect.Slice:
		return decodeList(n, v)
	case reflect.Map:
		return decodeMap(n, v)
	case reflect.Struct:
		if v.Type() != timeType {
			return decodeStruct(n, v)
		}
	default:
	}
	if len(n.children) > 0 {
		return malformed(n.path, "must be a single value")
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.value)
	case reflect.Bool:
		switch n.value {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return malformed(n.path, "must be true or false")
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		number, err := strconv.ParseInt(n.value, 10, v.Type().Bits())
		if err != nil {
			return malformed(n.path, "must be a whole number")
		}
		v.SetInt(number)
	case reflect.Struct: // time.Time
		t, err := time.Parse(time.RFC3339Nano, n.value)
		if err != nil {
			return malformed(n.path, "must be a time such as 2026-01-02T15:04:05Z")
		}
		v.Set(reflect.ValueOf(t.UTC()))
	default:
		panic("wire: DecodeQuery cannot fill a " + v.Type().String())
	}
	return nil
}

func decodeList(n *node, v reflect.Value) error {
	if n.set && n.value != "" {
		return malformed(n.path, "must be a list (NAME.member.1, NAME.member.2, …)")
	}
	var items []*node
	if member := n.children["member"]; member != nil {
		var err error
		if items, err = member.numbered(); err != nil {
			return err
		}
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		if err := decodeValue(item, list.Index(i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func decodeMap(n *node, v reflect.Value) error {
	if v.Type().Key().Kind() != reflect.String {
		panic("wire: DecodeQuery needs string keys, not " + v.Type().String())
	}
	if n.set && n.value != "" {
		return malformed(n.path, "must be a map (NAME.entry.1.key, NAME.entry.1.value, …)")
	}
	var entries []*node
	if entry := n.children["entry"]; entry != nil {
		var err error
		if entries, err = entry.numbered(); err != nil {
			return err
		}
	}
	m := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, entry := range entries {
		key, named := entry.children["key"], "value"
		if key == nil { // the message attributes of SNS say it differently
			key, named = entry.children["Name"], "Value"
		}
		if key == nil || !key.set {
			return malformed(entry.path, "has no key")
		}
		k := reflect.ValueOf(key.value).Convert(v.Type().Key())
		if m.MapIndex(k).IsValid() {
			return malformed(entry.path, "repeats a key")
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if child := entry.children[named]; child != nil {
			if err := decodeValue(child, value); err != nil {
				return err
			}
		}
		m.SetMapIndex(k, value)
	}
	v.Set(m)
	return nil
}

// fieldName returns the parameter or element name of a field, "" if it has
// none, and whether empty values are left out when it is written.
func fieldName(field reflect.StructField) (name string, omitEmpty bool) {
	if !field.IsExported() {
		return "", false
	}
	name, options, _ := strings.Cut(field.Tag.Get("wire"), ",")
	switch name {
	case "-":
		return "", false
	case "":
		name = field.Name
	}
	return name, options == "omitempty"
}
