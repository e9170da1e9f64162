package cfn

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/crossaccount/crossaccount/iam"
)

// A yamlReader turns YAML nodes into nodes, without aliases and with short
// tags written out.
type yamlReader struct {
	lines   lineTable
	dialect Dialect
	inside  int // how many aliases are being replaced
	added   int // nodes that stand in for aliases
}

func parseYAML(data []byte, dialect Dialect) (*Node, error) {
	r := &yamlReader{lines: newLineTable(data), dialect: dialect}
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		var bad *yaml.LoadError
		if errors.As(err, &bad) && bad.Mark.Line > 0 {
			pos := r.lines.ofRune(bad.Mark.Line, bad.Mark.Column)
			return nil, syntaxError("", pos, "Template format error: YAML not well-formed. (line %d, column %d)", pos.Line, pos.Column)
		}
		return nil, syntaxError("", iam.Position{}, "Template format error: YAML not well-formed.")
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, syntaxError("", iam.Position{}, "Template format error: YAML not well-formed.")
	}
	return r.value(document.Content[0], "", 0)
}

// shortFunctions lists the YAML tags of functions whose long form is not
// simply "Fn::" and the tag.
var shortFunctions = map[string]string{"!Ref": "Ref", "!Condition": "Condition"}

var shortTag = regexp.MustCompile(`^![A-Za-z][A-Za-z0-9:]*$`)

// longForms lists the functions that have a short form.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
var longForms = map[string]bool{
	"Ref": true, "Condition": true, "Fn::And": true, "Fn::Base64": true, "Fn::Cidr": true, "Fn::Equals": true,
	"Fn::FindInMap": true, "Fn::GetAtt": true, "Fn::GetAZs": true, "Fn::If": true, "Fn::ImportValue": true,
	"Fn::Join": true, "Fn::Length": true, "Fn::Not": true, "Fn::Or": true, "Fn::Select": true, "Fn::Split": true,
	"Fn::Sub": true, "Fn::ToJsonString": true, "Fn::Transform": true,
}

func (r *yamlReader) value(y *yaml.Node, path string, depth int) (*Node, error) {
	pos := r.lines.ofRune(y.Line, y.Column)
	if depth > maxDepth {
		return nil, syntaxError(path, pos, "Template format error: the template is nested more than %d levels deep", maxDepth)
	}
	if r.inside > 0 {
		if r.added++; r.added > MaxAliasedNodes {
			return nil, syntaxError(path, pos, "Template format error: the YAML aliases of the template stand for more than %d values", MaxAliasedNodes)
		}
	}
	if shortTag.MatchString(y.Tag) {
		return r.short(y, path, depth, pos)
	}
	switch y.Tag {
	case "", "!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map", "!!timestamp", "!!merge":
	default:
		return nil, syntaxError(path, pos, "Template format error: [%s] unsupported YAML tag %s (line %d, column %d)", pathOrRoot(path), y.Tag, pos.Line, pos.Column)
	}
	return r.plain(y, path, depth, pos)
}

// short writes out a function in its short form.
func (r *yamlReader) short(y *yaml.Node, path string, depth int, pos iam.Position) (*Node, error) {
	name, ok := shortFunctions[y.Tag]
	if !ok {
		name = "Fn::" + y.Tag[1:]
	}
	if !longForms[name] && !r.dialect.Macros {
		return nil, syntaxError(path, pos, "Template format error: [%s] unsupported YAML tag %s (line %d, column %d)", pathOrRoot(path), y.Tag, pos.Line, pos.Column)
	}
	untagged := *y
	untagged.Tag = "" // a scalar is then text, whatever it looks like
	argument, err := r.plain(&untagged, path+"/"+name, depth+1, pos)
	if err != nil {
		return nil, err
	}
	if name == "Fn::GetAtt" && argument.Kind == NodeText {
		argument = splitAttribute(argument)
	}
	return &Node{Kind: NodeMap, Position: pos, Entries: []Entry{{Key: name, KeyPosition: pos, Value: argument}}}, nil
}

// splitAttribute turns "Role.Arn" into the list of "Role" and "Arn". The
// attribute's own name may contain dots.
func splitAttribute(n *Node) *Node {
	resource, attribute, found := strings.Cut(n.Text, ".")
	list := &Node{Kind: NodeList, Position: n.Position, Items: []*Node{{Kind: NodeText, Text: resource, Position: n.Position}}}
	if found {
		list.Items = append(list.Items, &Node{Kind: NodeText, Text: attribute, Position: n.Position})
	}
	return list
}

func (r *yamlReader) plain(y *yaml.Node, path string, depth int, pos iam.Position) (*Node, error) {
	n := &Node{Position: pos}
	switch y.Kind {
	case yaml.ScalarNode:
		n.Kind, n.Text = resolveScalar(y)
		return n, nil
	case yaml.SequenceNode:
		n.Kind = NodeList
		for i, item := range y.Content {
			v, err := r.value(item, fmt.Sprintf("%s/%d", path, i), depth+1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, v)
		}
		return n, nil
	case yaml.MappingNode:
		n.Kind = NodeMap
		return n, r.entries(n, y, path, depth)
	case yaml.AliasNode:
		if r.dialect.Aliases && y.Alias != nil {
			r.inside++
			defer func() { r.inside-- }()
			return r.value(y.Alias, path, depth+1)
		}
		return nil, syntaxError(path, pos, "Template error: YAML aliases are not allowed in CloudFormation templates (line %d, column %d)", pos.Line, pos.Column)
	}
	return nil, syntaxError(path, pos, "Template format error: YAML not well-formed. (line %d, column %d)", pos.Line, pos.Column)
}

func (r *yamlReader) entries(n *Node, y *yaml.Node, path string, depth int) error {
	seen := make(map[string]bool)
	var merged []*Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, err := r.value(y.Content[i], path, depth+1)
		if err != nil {
			return err
		}
		pos := key.Position
		switch {
		case y.Content[i].Tag == "!!merge" && r.dialect.Aliases:
			v, err := r.value(y.Content[i+1], path, depth+1)
			if err != nil {
				return err
			}
			merged = append(merged, v)
			continue
		case y.Content[i].Tag == "!!merge":
			return syntaxError(path, pos, "Template format error: [%s] merge keys (<<) are not supported (line %d, column %d)", pathOrRoot(path), pos.Line, pos.Column)
		case key.Kind == NodeNumber && r.dialect.Macros:
		case key.Kind == NodeNumber:
			return syntaxError(path, pos, "Template format error: [%s] map keys must be strings; received numeric [%s] instead", pathOrRoot(path), key.Text)
		case key.Kind != NodeText && key.Kind != NodeBool:
			return syntaxError(path, pos, "Template format error: [%s] map keys must be strings; received a %s instead (line %d, column %d)", pathOrRoot(path), key.Kind, pos.Line, pos.Column)
		}
		if key.Kind == NodeBool {
			key.Text = y.Content[i].Value // "on:" and "no:" name something; a key is what was written
		}
		if seen[key.Text] {
			return duplicateKey(path, key.Text, pos)
		}
		seen[key.Text] = true
		v, err := r.value(y.Content[i+1], path+"/"+key.Text, depth+1)
		if err != nil {
			return err
		}
		n.Entries = append(n.Entries, Entry{Key: key.Text, KeyPosition: pos, Value: v})
	}
	return merge(n, merged, seen, path)
}

// merge adds to a map what its merge keys stand for. What the map says itself,
// and what an earlier map says, is stronger.
//
// https://yaml.org/type/merge.html
func merge(n *Node, merged []*Node, seen map[string]bool, path string) error {
	for _, m := range merged {
		maps := []*Node{m}
		if m.Kind == NodeList {
			maps = m.Items
		}
		for _, m := range maps {
			if m.Kind != NodeMap {
				return syntaxError(path, m.Position, "Template format error: [%s] a merge key (<<) needs an object, not a %s", pathOrRoot(path), m.Kind)
			}
			for _, e := range m.Entries {
				if !seen[e.Key] {
					seen[e.Key] = true
					n.Entries = append(n.Entries, e)
				}
			}
		}
	}
	return nil
}

var (
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	yamlTrue   = regexp.MustCompile(`^(true|True|TRUE|yes|Yes|YES|on|On|ON)$`)
	yamlFalse  = regexp.MustCompile(`^(false|False|FALSE|no|No|NO|off|Off|OFF)$`)
	yamlNull   = regexp.MustCompile(`^(~|null|Null|NULL|)$`)
)

// resolveScalar says what a scalar is. Only a plain one can be anything but
// text.
func resolveScalar(y *yaml.Node) (NodeKind, string) {
	quoted := y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0
	switch {
	case quoted || y.Tag == "":
		return NodeText, y.Value
	case yamlNull.MatchString(y.Value):
		return NodeNull, ""
	case yamlTrue.MatchString(y.Value):
		return NodeBool, "true"
	case yamlFalse.MatchString(y.Value):
		return NodeBool, "false"
	case jsonNumber.MatchString(y.Value):
		return NodeNumber, y.Value
	}
	return NodeText, y.Value
}
