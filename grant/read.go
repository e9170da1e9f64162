package grant

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/crossaccount/crossaccount/iam/reference"
	"github.com/crossaccount/crossaccount/template"
)

// Limits that keep hostile files from taking all memory.
const (
	maxManifestSize  = 16 << 20  // bytes
	maxManifestNodes = 2_000_000 // with aliases followed
	maxPlacedNodes   = 200_000   // up to here places in free content are kept
	maxDepth         = 64
)

// Parse reads a manifest from YAML, of which JSON is a part, and checks
// everything that can be checked without compiling it: unknown keys, types,
// patterns, names that were never declared, the mapping of stages. The error is
// an [*Error] that lists every problem with its place.
func Parse(data []byte) (*Manifest, error) {
	r := &reader{positions: map[string]Position{}}
	m := &Manifest{positions: r.positions}
	if root := r.document(data); root != nil {
		r.value(root, "", reflect.ValueOf(m).Elem(), tag{})
	}
	if len(r.problems) == 0 {
		r.problems = append(r.problems, m.validate()...)
	}
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	return m, nil
}

// A reader fills Go values from YAML nodes. What a struct accepts is written in
// the tags of its fields, from which [Schema] is made too.
type reader struct {
	positions map[string]Position
	problems  problems
	nodes     int // read so far, with aliases followed
	depth     int // of the node that is being read
	refused   bool
}

// enter notes that a node is being read. It refuses files that are too large or
// too deep, which aliases can make of a few characters; it says so once.
func (r *reader) enter(at Position, path string) bool {
	r.nodes++
	r.depth++
	if r.nodes <= maxManifestNodes && r.depth <= maxDepth {
		return true
	}
	r.depth--
	if !r.refused {
		r.refused = true
		r.problem(at, RuleSyntax, clip(path), "use fewer aliases", "the file is too large or too deep")
	}
	return false
}

func (r *reader) leave() { r.depth-- }

func (r *reader) problem(at Position, rule, path, remedy, format string, args ...any) {
	r.problems = append(r.problems, Problem{at, rule, path, fmt.Sprintf(format, args...), remedy})
}

func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > maxManifestSize {
		r.problem(Position{1, 1}, RuleSyntax, "", "divide it", "the file has more than the %d bytes that are read", maxManifestSize)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		at, message := Position{1, 1}, err.Error()
		var bad *yaml.LoadError
		if errors.As(err, &bad) && bad.Mark.Line > 0 {
			at, message = Position{bad.Mark.Line, max(bad.Mark.Column, 1)}, bad.Message
		}
		switch {
		case len(bytes.TrimSpace(data)) == 0 || strings.Contains(message, "no documents in stream"):
			r.problem(Position{1, 1}, RuleSyntax, "", `begin with "crossaccount init"`, "the file is empty")
			return nil
		case strings.Contains(message, "found multiple"):
			r.problem(Position{1, 1}, RuleSyntax, "", "put each into a file of its own, without ---", "the file has several documents")
			return nil
		case !utf8.Valid(data):
			r.problem(Position{1, 1}, RuleSyntax, "", "save it as UTF-8", "the file is not UTF-8 text")
			return nil
		}
		remedy := "mend the YAML; an editor that knows the schema shows where it goes wrong"
		if tabbed(data, at.Line) {
			remedy = "the line begins with a tab: indent with spaces"
		}
		r.problem(at, RuleSyntax, "", remedy, "the file is not YAML: %s", message)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.problem(Position{1, 1}, RuleSyntax, "", `begin with "crossaccount init"`, "the file is empty")
		return nil
	}
	return doc.Content[0]
}

// tabbed reports whether a line is indented with a tab, which YAML does not
// allow and editors do not show.
func tabbed(data []byte, line int) bool {
	lines := bytes.SplitN(data, []byte("\n"), line+1)
	if line < 1 || line > len(lines) {
		return false
	}
	text := lines[line-1]
	return bytes.ContainsRune(text[:len(text)-len(bytes.TrimLeft(text, " \t"))], '\t')
}

// tag is what a field's struct tag says.
type tag struct {
	key      string
	required bool
	doc      string
	pattern  string
	enum     []string
	number   bool // numbers are taken as text: account ids
	hidden   bool // errors do not repeat the value: external IDs
}

func tagOf(f reflect.StructField) (tag, bool) {
	key, ok := f.Tag.Lookup("key")
	if !ok {
		return tag{}, false
	}
	name, option, _ := strings.Cut(key, ",")
	t := tag{
		key: name, required: option == "required", doc: f.Tag.Get("doc"),
		pattern: f.Tag.Get("pattern"), enum: strings.Fields(f.Tag.Get("enum")), number: f.Tag.Get("number") != "", hidden: f.Tag.Get("hidden") != "",
	}
	if len(t.enum) == 1 && t.enum[0] == "@kinds" {
		t.enum = Kinds()
	}
	if len(t.enum) == 1 && t.enum[0] == "@endpoints" {
		t.enum = sortedKeys(endpointServices)
	}
	return t, true
}

// elements returns the tag of the elements of a list.
func (t tag) elements() tag { return tag{pattern: t.pattern, enum: t.enum, doc: t.doc} }

var (
	byStageType = reflect.TypeFor[ByStage]()
	objectType  = reflect.TypeFor[template.Object]()
)

// value reads n into v.
func (r *reader) value(n *yaml.Node, path string, v reflect.Value, t tag) {
	at := Position{n.Line, n.Column}
	r.positions[path] = at
	if !r.enter(at, path) {
		return
	}
	defer r.leave()
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		r.problem(at, RuleType, path, "give it a value or leave the key out", "has no value")
		return
	}
	switch v.Type() {
	case byStageType:
		r.byStage(n, path, v, t)
		return
	case objectType:
		if object, ok := r.free(n, path).(template.Object); ok {
			v.Set(reflect.ValueOf(object))
		} else {
			r.problem(at, RuleType, path, mappingRemedy, "must be a mapping of keys to values, not %s", describe(n))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(n, path, v.Elem(), t)
	case reflect.Struct:
		r.object(n, path, v)
	case reflect.Map:
		r.mapping(n, path, v, t)
	case reflect.Slice:
		r.list(n, path, v, t)
	default:
		r.scalar(n, path, v, t)
	}
}

// members calls visit for the members of a mapping, once per key.
func (r *reader) members(n *yaml.Node, path string, visit func(key string, k, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.problem(Position{n.Line, n.Column}, RuleType, path, mappingRemedy, "must be a mapping of keys to values, not %s", describe(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		at := Position{k.Line, k.Column}
		switch {
		case k.Kind != yaml.ScalarNode:
			r.problem(at, RuleType, path, "write the key as one word before a colon", "a key must be text, not %s", describe(k))
			continue
		case k.Tag == "!!merge":
			r.problem(at, RuleSyntax, path, "write the keys out", "the merge key << is not supported")
			continue
		case seen[k.Value] > 0:
			r.problem(at, RuleDuplicate, join(path, clip(k.Value)), "keep one of them", "the key %q is given twice; the first is on line %d", clip(k.Value), seen[k.Value])
			continue
		}
		seen[k.Value] = k.Line
		visit(k.Value, k, n.Content[i+1])
	}
}

// A shape is what a mapping of a fixed form may have: the fields of a struct.
type shape struct {
	fields map[string]int // :: key → index of the field
	names  []string
	tags   map[string]tag
}

var shapes sync.Map // :: reflect.Type → *shape

// shapeOf returns the shape of a struct, which is worked out once.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{fields: map[string]int{}, tags: map[string]tag{}}
	for i := range t.NumField() {
		if tag, ok := tagOf(t.Field(i)); ok {
			s.fields[tag.key], s.tags[tag.key] = i, tag
			s.names = append(s.names, tag.key)
		}
	}
	shapes.Store(t, s)
	return s
}

func (r *reader) object(n *yaml.Node, path string, v reflect.Value) {
	s := shapeOf(v.Type())
	given := map[string]bool{}
	r.members(n, path, func(key string, k, value *yaml.Node) {
		i, ok := s.fields[key]
		if !ok {
			remedy := "known keys: " + strings.Join(s.names, ", ")
			if near := reference.Nearest(key, s.names); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			r.problem(Position{k.Line, k.Column}, RuleUnknown, join(path, clip(key)), remedy, "the key %q is unknown here", clip(key))
			return
		}
		given[key] = true
		r.value(value, join(path, key), v.Field(i), s.tags[key])
	})
	for _, name := range s.names {
		if t := s.tags[name]; t.required && !given[name] && n.Kind == yaml.MappingNode {
			r.problem(Position{n.Line, n.Column}, RuleMissing, path, "add "+name+": "+lowerFirst(t.doc), "the key %q is missing", name)
		}
	}
}

func (r *reader) mapping(n *yaml.Node, path string, v reflect.Value, t tag) {
	v.Set(reflect.MakeMap(v.Type()))
	r.members(n, path, func(key string, k, value *yaml.Node) {
		if v.Type().Elem().Kind() == reflect.Struct && !namePattern.MatchString(key) {
			r.problem(Position{k.Line, k.Column}, RuleValue, join(path, clip(key)), "use letters, digits, dots, hyphens and underscores, at most 63, and begin with a letter or digit", "the name %q is not allowed", clip(key))
			return
		}
		element := reflect.New(v.Type().Elem()).Elem()
		r.value(value, join(path, key), element, t.elements())
		v.SetMapIndex(reflect.ValueOf(key), element)
	})
}

// namePattern is what the names that the author of a manifest chooses look like.
// They become parts of stack names and logical ids.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// list reads a list. One text alone stands for a list of one.
func (r *reader) list(n *yaml.Node, path string, v reflect.Value, t tag) {
	if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
		element := reflect.New(v.Type().Elem()).Elem()
		r.value(n, path+"[0]", element, t.elements())
		v.Set(reflect.Append(v, element))
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(Position{n.Line, n.Column}, RuleType, path, "write [one, another], or a line with a hyphen for each", "must be a list, not %s", describe(n))
		return
	}
	if len(n.Content) == 0 {
		r.problem(Position{n.Line, n.Column}, RuleValue, path, "add an element or leave the key out", "the list is empty")
		return
	}
	for i, child := range n.Content {
		element := reflect.New(v.Type().Elem()).Elem()
		r.value(child, fmt.Sprintf("%s[%d]", path, i), element, t.elements())
		v.Set(reflect.Append(v, element))
	}
}

func (r *reader) byStage(n *yaml.Node, path string, v reflect.Value, t tag) {
	if n.Kind != yaml.MappingNode {
		text := reflect.New(reflect.TypeFor[string]()).Elem()
		r.scalar(n, path, text, t)
		v.Set(reflect.ValueOf(ByStage{"": text.String()}))
		return
	}
	texts := reflect.New(reflect.TypeFor[map[string]string]()).Elem()
	r.mapping(n, path, texts, t)
	v.Set(texts.Convert(byStageType))
}

func (r *reader) scalar(n *yaml.Node, path string, v reflect.Value, t tag) {
	at := Position{n.Line, n.Column}
	if n.Kind != yaml.ScalarNode {
		r.problem(at, RuleType, path, "write one value", "must be a single value, not %s", describe(n))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		if n.Tag != "!!bool" {
			r.problem(at, RuleType, path, "write true or false", "must be true or false, not %s", describe(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Tag != "!!int" || err != nil {
			r.problem(at, RuleType, path, "write a number without quotes", "must be a whole number, not %s", describe(n))
			return
		}
		v.SetInt(int64(i))
	case reflect.String:
		if t.hidden && n.Tag != "!!str" {
			r.problem(at, RuleType, path, "put it in quotes", "must be text")
			return
		}
		// An unquoted account id is a number to YAML; its digits are kept.
		if n.Tag != "!!str" && (!t.number || n.Tag != "!!int" && n.Tag != "!!float") {
			r.problem(at, RuleType, path, "put it in quotes if it is meant as text", "must be text, not %s", describe(n))
			return
		}
		v.SetString(n.Value)
		if n.Value == "" {
			r.problem(at, RuleValue, path, "give it a value or leave the key out", "is empty")
			return
		}
		if strings.ContainsFunc(n.Value, func(c rune) bool {
			return c < ' ' || c >= 0x7f && c < 0xA0 || hidden(c) || c == 0x2028 || c == 0x2029 || c == 0xFFFD || c >= 0xE000 && c <= 0xF8FF || c >= 0xF0000
		}) {
			r.problem(at, RuleValue, path, "write it on one line, in printable characters", "contains a control character, which may not be visible")
			return
		}
	}
	r.allowed(at, n.Value, path, t)
}

// hidden reports whether a character is not seen and can change how others look,
// such as those that turn the direction of a text. Two of that class are part of
// words in some languages, and one is for hyphenation.
func hidden(c rune) bool {
	return unicode.Is(unicode.Cf, c) && c != 0x200C && c != 0x200D && c != 0xAD
}

// allowed checks a scalar against the pattern and the list of its field.
func (r *reader) allowed(at Position, value, path string, t tag) {
	switch {
	case len(t.enum) > 0 && !slices.Contains(t.enum, value):
		remedy := "use one of " + strings.Join(t.enum, ", ")
		if near := reference.Nearest(value, t.enum); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		r.problem(at, RuleValue, path, remedy, "%q is not allowed", clip(value))
	case t.pattern != "" && t.hidden && !compiled(t.pattern).MatchString(value):
		r.problem(at, RuleValue, path, lowerFirst(t.doc), "the value does not have the form %s", t.pattern)
	case t.pattern != "" && !compiled(t.pattern).MatchString(value):
		r.problem(at, RuleValue, path, lowerFirst(t.doc), "%q does not have the form %s", clip(value), t.pattern)
	}
}

// free reads what has no fixed form: properties of a CloudFormation type.
func (r *reader) free(n *yaml.Node, path string) any {
	at := Position{n.Line, n.Column}
	if !r.enter(at, path) {
		return nil
	}
	defer r.leave()
	if r.nodes < maxPlacedNodes {
		r.positions[path] = at
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.free(n.Alias, path)
	case yaml.MappingNode:
		object := template.Object{}
		r.members(n, path, func(key string, _, value *yaml.Node) {
			object.Add(key, r.free(value, join(path, key)))
		})
		return object
	case yaml.SequenceNode:
		list := []any{}
		for i, child := range n.Content {
			list = append(list, r.free(child, fmt.Sprintf("%s[%d]", path, i)))
		}
		return list
	}
	switch n.Tag {
	case "!!str":
		return n.Value
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if i, err := strconv.Atoi(n.Value); err == nil {
			return i
		}
	}
	r.problem(at, RuleType, path, "put it in quotes if it is meant as text", "must be text, a whole number, true, false, a list or a mapping, not %s", describe(n))
	return nil
}

// describe says what a node is.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!str":
		return fmt.Sprintf("the text %q", clip(n.Value))
	case "!!int", "!!float":
		return "the number " + clip(n.Value)
	case "!!bool":
		return n.Value
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	}
	return "a value of type " + n.Tag
}

var patterns sync.Map // :: pattern → *regexp.Regexp

// compiled returns the pattern for a whole value.
func compiled(pattern string) *regexp.Regexp {
	if re, ok := patterns.Load(pattern); ok {
		return re.(*regexp.Regexp)
	}
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	patterns.Store(pattern, re)
	return re
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// mappingRemedy says how to write a mapping.
const mappingRemedy = "write key: value, each on a line of its own, or {key: value, another: value}"

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	if len(s) > 1 && 'A' <= s[1] && s[1] <= 'Z' { // an abbreviation
		return strings.TrimSuffix(s, ".")
	}
	return strings.ToLower(s[:1]) + strings.TrimSuffix(s[1:], ".")
}

// clip keeps messages readable when a value is very long.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
