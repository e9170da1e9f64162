package policies

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A resolver reads values of a template in one choice of its conditions. What
// it cannot know it replaces by symbols.
type resolver struct {
	source   *source
	template *template
	choice   choice

	// textual says that numbers and booleans are text, as for CloudFormation.
	textual bool
}

// value returns what a node says, or false if it is AWS::NoValue.
func (r *resolver) value(n *cfn.Node) (iam.Value, bool) {
	if name, argument, ok := n.Function(); ok {
		return r.function(name, argument, n)
	}
	v := iam.Value{Position: n.Position}
	switch n.Kind {
	case cfn.NodeList:
		v.Kind = iam.ValueArray
		for _, item := range n.Items {
			if member, ok := r.value(item); ok {
				v.Items = append(v.Items, member)
			}
		}
	case cfn.NodeMap:
		if transformed(n) {
			return symbol("Fn::Transform", n), true
		}
		v.Kind = iam.ValueObject
		for _, e := range n.Entries {
			if member, ok := r.value(e.Value); ok {
				v.Members = append(v.Members, iam.Member{Name: e.Key, Position: e.KeyPosition, Value: member})
			}
		}
	case cfn.NodeText:
		v.Kind, v.Text = iam.ValueString, n.Text
	case cfn.NodeNumber, cfn.NodeBool:
		v.Kind, v.Text = iam.ValueNumber, n.Text
		if n.Kind == cfn.NodeBool {
			v.Kind = iam.ValueBool
		}
		if r.textual {
			v.Kind = iam.ValueString
		}
	}
	return v, true
}

// transformed reports whether a macro or a loop adds to a map.
func transformed(n *cfn.Node) bool {
	for _, e := range n.Entries {
		if e.Key == "Fn::Transform" || strings.HasPrefix(e.Key, "Fn::ForEach") {
			return true
		}
	}
	return false
}

// symbol is the value of a node that is not known at all.
func symbol(id string, n *cfn.Node) iam.Value {
	return iam.Value{Kind: iam.ValueString, Text: iam.Symbol(id), Position: n.Position}
}

// isUnknown reports whether nothing at all is known of a value.
func isUnknown(v *iam.Value) bool {
	if v == nil || v.Kind != iam.ValueString {
		return false
	}
	pieces := iam.Pieces(v.Text)
	return len(pieces) == 1 && pieces[0].IsSymbol
}

// function returns the value of an intrinsic function.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
func (r *resolver) function(name string, argument, n *cfn.Node) (iam.Value, bool) {
	switch name {
	case "Ref":
		if argument.Text == "AWS::NoValue" {
			return iam.Value{}, false
		}
	case "Fn::If":
		if len(argument.Items) == 3 {
			if r.choice[argument.Items[0].Text] {
				return r.value(argument.Items[1])
			}
			return r.value(argument.Items[2])
		}
	case "Fn::ToJsonString":
		return r.value(argument) // a policy may be written as an object or as its text
	case "Fn::Select":
		if item := r.selected(argument); item != nil {
			return r.value(item)
		}
	case "Fn::Split":
		if v, ok := r.split(argument, n); ok {
			return v, true
		}
	case "Fn::FindInMap":
		if found := r.template.find(argument); found != nil {
			return r.value(found)
		}
	}
	return iam.Value{Kind: iam.ValueString, Text: joined(r.pieces(n)), Position: n.Position}, true
}

// selected returns the item that Fn::Select picks from a list that is written
// out, or nil.
func (r *resolver) selected(argument *cfn.Node) *cfn.Node {
	if len(argument.Items) != 2 {
		return nil
	}
	i, err := strconv.Atoi(argument.Items[0].Text)
	if list := argument.Items[1]; err == nil && i >= 0 && list.Kind == cfn.NodeList && i < len(list.Items) {
		return list.Items[i]
	}
	return nil
}

func (r *resolver) split(argument, n *cfn.Node) (iam.Value, bool) {
	if len(argument.Items) != 2 || argument.Items[0].Text == "" {
		return iam.Value{}, false
	}
	text := joined(r.pieces(argument.Items[1]))
	if iam.HasSymbol(text) {
		return iam.Value{}, false
	}
	v := iam.Value{Kind: iam.ValueArray, Position: n.Position}
	for _, part := range strings.Split(text, argument.Items[0].Text) {
		v.Items = append(v.Items, iam.Value{Kind: iam.ValueString, Text: part, Position: n.Position})
	}
	return v, true
}

// text returns the text of a node with symbols for what is not known.
func (r *resolver) text(n *cfn.Node) string {
	if n == nil {
		return ""
	}
	return joined(r.pieces(n))
}

// pieces returns the text of a node in pieces. A node that is not text at all is
// one symbol.
func (r *resolver) pieces(n *cfn.Node) []piece {
	if n.IsScalar() {
		return []piece{{n.Text, n, 0}}
	}
	opaque := func(id string) []piece { return []piece{{iam.Symbol(id), n, -1}} }
	name, argument, ok := n.Function()
	if !ok {
		return opaque("value")
	}
	switch name {
	case "Ref":
		if argument.Kind == cfn.NodeText {
			return []piece{{r.template.ref(argument.Text), n, -1}}
		}
	case "Fn::GetAtt":
		if resource, attribute, ok := attributeOf(argument); ok {
			return []piece{{r.template.attribute(resource, attribute), n, -1}}
		}
	case "Fn::Sub":
		if pieces, ok := r.substitute(argument); ok {
			return pieces
		}
	case "Fn::Join":
		if pieces, ok := r.join(argument, n); ok {
			return pieces
		}
	case "Fn::If":
		if len(argument.Items) == 3 {
			if r.choice[argument.Items[0].Text] {
				return r.pieces(argument.Items[1])
			}
			return r.pieces(argument.Items[2])
		}
	case "Fn::Select":
		if item := r.selected(argument); item != nil {
			return r.pieces(item)
		}
	case "Fn::FindInMap":
		if found := r.template.find(argument); found != nil && found.IsScalar() {
			return []piece{{found.Text, n, -1}}
		}
	case "Fn::ToJsonString":
		if v, ok := r.value(argument); ok {
			var b strings.Builder
			writeJSON(&b, v)
			return []piece{{b.String(), n, -1}}
		}
	case "Fn::ImportValue":
		if argument.IsScalar() {
			return opaque("import " + argument.Text)
		}
	}
	return opaque(name)
}

// attributeOf takes the argument of Fn::GetAtt apart, in either notation.
func attributeOf(argument *cfn.Node) (resource, attribute string, ok bool) {
	if argument.Kind == cfn.NodeText {
		return strings.Cut(argument.Text, ".")
	}
	if len(argument.Items) == 2 && argument.Items[0].IsScalar() && argument.Items[1].IsScalar() {
		return argument.Items[0].Text, argument.Items[1].Text, true
	}
	return "", "", false
}

// substitute takes Fn::Sub apart: "${Name}" is a variable and "${!Name}" the
// literal text "${Name}".
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-sub.html
func (r *resolver) substitute(argument *cfn.Node) ([]piece, bool) {
	text, variables := argument, (*cfn.Node)(nil)
	if argument.Kind == cfn.NodeList && len(argument.Items) == 2 {
		text, variables = argument.Items[0], argument.Items[1]
	}
	if text.Kind != cfn.NodeText {
		return nil, false
	}
	pieces := []piece{}
	for at := 0; at < len(text.Text); {
		start := strings.Index(text.Text[at:], "${")
		end := -1
		if start >= 0 {
			end = strings.IndexByte(text.Text[at+start:], '}')
		}
		if end < 0 {
			return append(pieces, piece{text.Text[at:], text, at}), true
		}
		start, end = at+start, at+start+end
		pieces = append(pieces, piece{text.Text[at:start], text, at})
		name := strings.TrimSpace(text.Text[start+2 : end])
		switch {
		case strings.HasPrefix(name, "!"):
			pieces = append(pieces, piece{"${", text, start}, piece{text.Text[start+3 : end+1], text, start + 3})
		case variables.Get(name) != nil:
			for _, p := range r.pieces(variables.Get(name)) {
				pieces = append(pieces, piece{p.text, text, -1})
			}
		default:
			resource, attribute, ok := strings.Cut(name, ".")
			value := r.template.ref(name)
			if ok {
				value = r.template.attribute(resource, attribute)
			}
			pieces = append(pieces, piece{value, text, -1})
		}
		at = end + 1
	}
	return pieces, true
}

func (r *resolver) join(argument, n *cfn.Node) ([]piece, bool) {
	if len(argument.Items) != 2 || !argument.Items[0].IsScalar() || argument.Items[1].Kind != cfn.NodeList {
		return nil, false
	}
	pieces, first := []piece{}, true
	for _, item := range argument.Items[1].Items {
		if v, ok := r.value(item); !ok || v.Kind == iam.ValueArray {
			if ok { // a list within the list, whose length is not known
				return nil, false
			}
			continue
		}
		if !first && argument.Items[0].Text != "" {
			pieces = append(pieces, piece{argument.Items[0].Text, n, -1})
		}
		first = false
		pieces = append(pieces, r.pieces(item)...)
	}
	return pieces, true
}

// writeJSON writes a value as JSON text.
func writeJSON(b *strings.Builder, v iam.Value) {
	switch v.Kind {
	case iam.ValueObject:
		b.WriteByte('{')
		for i, m := range v.Members {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, iam.Value{Kind: iam.ValueString, Text: m.Name})
			b.WriteByte(':')
			writeJSON(b, m.Value)
		}
		b.WriteByte('}')
	case iam.ValueArray:
		b.WriteByte('[')
		for i, item := range v.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, item)
		}
		b.WriteByte(']')
	case iam.ValueString:
		text, _ := json.Marshal(v.Text) // a string always encodes
		b.Write(text)
	case iam.ValueNull:
		b.WriteString("null")
	default:
		b.WriteString(v.Text)
	}
}
