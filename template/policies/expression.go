package policies

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// terraformConfig finds the policies in configuration in JSON syntax. Policies
// that are calls of jsonencode on written objects are read; what is computed
// otherwise is reported as unread.
//
// https://developer.hashicorp.com/terraform/language/syntax/json
func (f *finder) terraformConfig(root *cfn.Node) {
	f.expressions = true
	for _, types := range blocks(root.Get("resource")) {
		for _, typ := range entries(types) {
			for _, named := range blocks(typ.Value) {
				for _, r := range entries(named) {
					for _, body := range blocks(r.Value) {
						f.terraformResource("managed", typ.Key, typ.Key+"."+r.Key, body, nil)
					}
				}
			}
		}
	}
}

// blocks returns the blocks that a value of the JSON syntax stands for: itself,
// or those of a list.
func blocks(n *cfn.Node) []*cfn.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == cfn.NodeList:
		return n.Items
	}
	return []*cfn.Node{n}
}

// opened replaces the expressions in a text of Terraform's configuration by
// functions of CloudFormation that say the same, so that both are resolved
// alike. In plans, which have values, it changes nothing.
func (f *finder) opened(n *cfn.Node) *cfn.Node {
	if !f.expressions || n == nil || n.Kind != cfn.NodeText {
		return n
	}
	e := &expression{text: n.Text, at: n.Position, source: f.source, places: f.source.offsets(n)}
	return e.template(0, len(n.Text))
}

// An expression reads Terraform's expressions as far as policies need: objects,
// lists, texts, conditionals, and the functions that put lists together.
// Everything else becomes a reference to itself, which is opaque.
//
// https://developer.hashicorp.com/terraform/language/expressions
type expression struct {
	text   string
	at     iam.Position
	source *source
	places []int // of the bytes of text in the file; nil if they are not known
	next   int
	end    int
	depth  int
	wrong  bool // something was not understood
}

func (e *expression) position(offset int) iam.Position {
	if offset >= len(e.places) {
		return e.at
	}
	return e.source.position(e.places[offset])
}

func (e *expression) opaque(start, end int) *cfn.Node {
	at := e.position(start)
	return object(at, "Ref", text(strings.TrimSpace(e.text[start:end]), at))
}

// template reads a text with interpolations. One that is nothing but an
// interpolation has the interpolation's own type.
func (e *expression) template(start, end int) *cfn.Node {
	var parts []*cfn.Node
	var literal strings.Builder
	literalAt := start
	flush := func(next int) {
		if literal.Len() > 0 {
			part := text(literal.String(), e.position(literalAt))
			if literal.Len() == next-literalAt && next <= len(e.places) { // nothing is escaped
				e.source.places[part] = e.places[literalAt:next]
			}
			parts = append(parts, part)
		}
		literal.Reset()
		literalAt = next
	}
	for i := start; i < end; {
		rest := e.text[i:end]
		switch {
		case strings.HasPrefix(rest, "$${"), strings.HasPrefix(rest, "%%{"):
			literal.WriteString(rest[1:3])
			i += 3
		case strings.HasPrefix(rest, "%{"):
			return e.opaque(start, end)
		case strings.HasPrefix(rest, "${"):
			flush(i)
			inner, after := e.interpolation(i+2, end)
			if after < 0 {
				return e.opaque(start, end)
			}
			parts = append(parts, inner)
			i, literalAt = after, after
		default:
			literal.WriteByte(rest[0])
			i++
		}
	}
	flush(end)
	at := e.position(start)
	switch {
	case len(parts) == 0:
		return text("", at)
	case len(parts) == 1:
		return parts[0]
	}
	return object(at, "Fn::Join", &cfn.Node{Kind: cfn.NodeList, Position: at, Items: []*cfn.Node{
		text("", at), {Kind: cfn.NodeList, Position: at, Items: parts},
	}})
}

// interpolation reads an expression up to its closing brace. It returns the
// place after the brace, or -1 if there is none.
func (e *expression) interpolation(start, end int) (*cfn.Node, int) {
	inner := &expression{text: e.text, at: e.at, source: e.source, places: e.places, next: start, end: end, depth: e.depth + 1}
	if inner.depth > 60 {
		return nil, -1
	}
	n := inner.value()
	if inner.peek() == '}' && !inner.wrong {
		return n, inner.next + 1
	}
	closing := closingBrace(e.text[:end], start)
	if closing < 0 {
		return nil, -1
	}
	return e.opaque(start, closing), closing + 1
}

// closingBrace finds the brace that ends an interpolation, past texts and braces
// inside it.
func closingBrace(s string, at int) int {
	for depth := 0; at < len(s); at++ {
		switch s[at] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return at
			}
			depth--
		case '"':
			for at++; at < len(s) && s[at] != '"'; at++ {
				if s[at] == '\\' {
					at++
				}
			}
		}
	}
	return -1
}

// peek skips white space and returns the next byte, 0 at the end.
func (e *expression) peek() byte {
	for e.next < e.end && isSpace(e.text[e.next]) {
		e.next++
	}
	if e.next >= e.end {
		return 0
	}
	return e.text[e.next]
}

func (e *expression) accept(token string) bool {
	e.peek()
	if strings.HasPrefix(e.text[e.next:e.end], token) {
		e.next += len(token)
		return true
	}
	return false
}

// value reads an expression with its operators.
func (e *expression) value() *cfn.Node {
	e.peek()
	start := e.next
	if e.depth++; e.depth > 60 {
		e.wrong = true
		return e.opaque(start, start)
	}
	defer func() { e.depth-- }()
	n := e.operand()
	for !e.wrong && e.operator() {
		e.operand()
		n = e.opaque(start, e.next)
	}
	if e.wrong || e.peek() != '?' {
		return n
	}
	condition := strings.TrimSpace(e.text[start:e.next])
	e.next++
	yes := e.value()
	if !e.accept(":") {
		e.wrong = true
		return n
	}
	no := e.value()
	at := e.position(start)
	return choose(condition, yes, no, at)
}

func choose(condition string, yes, no *cfn.Node, at iam.Position) *cfn.Node {
	return object(at, "Fn::If", &cfn.Node{Kind: cfn.NodeList, Position: at, Items: []*cfn.Node{text(condition, at), yes, no}})
}

func nothing(at iam.Position) *cfn.Node { return object(at, "Ref", text("AWS::NoValue", at)) }

func (e *expression) operator() bool {
	for _, o := range []string{"==", "!=", ">=", "<=", "&&", "||", "+", "-", "*", "/", "%", "<", ">"} {
		if e.accept(o) {
			return true
		}
	}
	return false
}

func (e *expression) operand() *cfn.Node {
	start := 0
	switch c := e.peek(); {
	case c == '!' || c == '-':
		start = e.next
		e.next++
		e.operand()
		return e.opaque(start, e.next)
	case c == '(':
		e.next++
		n := e.value()
		e.wrong = e.wrong || !e.accept(")")
		return n
	case c == '"':
		return e.quoted()
	case c == '[':
		return e.list()
	case c == '{':
		return e.object()
	case c >= '0' && c <= '9':
		start = e.next
		for e.next < e.end && strings.IndexByte("0123456789.eE", e.text[e.next]) >= 0 {
			e.next++
		}
		return &cfn.Node{Kind: cfn.NodeNumber, Text: e.text[start:e.next], Position: e.position(start)}
	case isName(c):
		return e.named()
	}
	e.wrong = true
	return nothing(e.at)
}

func isName(c byte) bool {
	return c == '_' || c == '-' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func (e *expression) name() string {
	start := e.next
	for e.next < e.end && isName(e.text[e.next]) {
		e.next++
	}
	return e.text[start:e.next]
}

// named reads a keyword, a call, or a reference with its attributes.
func (e *expression) named() *cfn.Node {
	start := e.next
	name := e.name()
	at := e.position(start)
	switch {
	case name == "true" || name == "false":
		return &cfn.Node{Kind: cfn.NodeBool, Text: name, Position: at}
	case name == "null":
		return nothing(at)
	case e.peek() == '(':
		return e.call(name, start)
	}
	for !e.wrong {
		switch c := e.peek(); {
		case c == '.':
			e.next++
			if e.peek() == '*' {
				e.next++
			} else if e.name() == "" {
				e.wrong = true
			}
		case c == '[':
			e.next++
			if e.peek() == '*' {
				e.next++
			} else {
				e.value()
			}
			e.wrong = e.wrong || !e.accept("]")
		default:
			return e.opaque(start, e.next)
		}
	}
	return e.opaque(start, e.next)
}

// call reads a function call.
//
// https://developer.hashicorp.com/terraform/language/functions
func (e *expression) call(name string, start int) *cfn.Node {
	arguments := e.sequence('(', ')')
	if e.wrong {
		return nothing(e.at)
	}
	at := e.position(start)
	switch {
	case len(arguments) == 1 && (name == "jsonencode" || name == "tostring" || name == "tolist" || name == "toset" || name == "sort" || name == "distinct" || name == "compact"):
		return arguments[0]
	case name == "concat":
		all := &cfn.Node{Kind: cfn.NodeList, Position: at}
		for _, a := range arguments {
			all.Items = append(all.Items, spread(a)...)
		}
		return all
	}
	return e.opaque(start, e.next)
}

// spread returns the items of a list that becomes a part of another one. An item
// that is there under a condition is otherwise no value.
func spread(n *cfn.Node) []*cfn.Node {
	if n.Kind == cfn.NodeList {
		return n.Items
	}
	name, argument, ok := n.Function()
	if !ok || name != "Fn::If" || argument.Items[1].Kind != cfn.NodeList || argument.Items[2].Kind != cfn.NodeList {
		return []*cfn.Node{n}
	}
	var found []*cfn.Node
	for _, item := range argument.Items[1].Items {
		found = append(found, choose(argument.Items[0].Text, item, nothing(item.Position), item.Position))
	}
	for _, item := range argument.Items[2].Items {
		found = append(found, choose(argument.Items[0].Text, nothing(item.Position), item, item.Position))
	}
	return found
}

// sequence reads values with commas between them.
func (e *expression) sequence(open, closing byte) []*cfn.Node {
	var found []*cfn.Node
	e.accept(string(open))
	for !e.wrong {
		if e.peek() == closing {
			e.next++
			return found
		}
		found = append(found, e.value())
		if e.peek() == ',' {
			e.next++
		} else if e.peek() != closing {
			e.wrong = true
		}
	}
	return found
}

func (e *expression) list() *cfn.Node {
	at := e.position(e.next)
	return &cfn.Node{Kind: cfn.NodeList, Position: at, Items: e.sequence('[', ']')}
}

func (e *expression) object() *cfn.Node {
	n := &cfn.Node{Kind: cfn.NodeMap, Position: e.position(e.next)}
	e.accept("{")
	for !e.wrong {
		if e.peek() == '}' {
			e.next++
			return n
		}
		at := e.position(e.next)
		key := ""
		if e.peek() == '"' {
			k := e.quoted()
			if key = k.Text; k.Kind != cfn.NodeText {
				e.wrong = true // a computed key
			}
		} else {
			key = e.name()
		}
		if key == "" || key == "for" || !e.accept("=") && !e.accept(":") {
			e.wrong = true
			return n
		}
		n.Entries = append(n.Entries, cfn.Entry{Key: key, KeyPosition: at, Value: e.value()})
		e.accept(",")
	}
	return n
}

// quoted reads a text in double quotes, in which escapes are written as in
// JSON.
func (e *expression) quoted() *cfn.Node {
	start := e.next
	e.next++
	first := e.next
	for e.next < e.end && e.text[e.next] != '"' {
		switch {
		case e.text[e.next] == '\\':
			e.next++
		case strings.HasPrefix(e.text[e.next:e.end], "$${"):
			e.next += 2
		case strings.HasPrefix(e.text[e.next:e.end], "${"):
			closing := closingBrace(e.text[:e.end], e.next+2)
			if closing < 0 {
				e.wrong = true
				return nothing(e.at)
			}
			e.next = closing
		}
		e.next++
	}
	if e.next >= e.end {
		e.wrong = true
		return nothing(e.at)
	}
	last := e.next
	e.next++
	var n *cfn.Node
	if inner := e.text[first:last]; !strings.Contains(inner, `\`) {
		n = e.template(first, last)
	} else {
		unescaped := &expression{text: unescapeAll(inner), at: e.position(start), source: e.source, depth: e.depth}
		n = unescaped.template(0, len(unescaped.text))
	}
	if n.Kind == cfn.NodeText {
		n.Position = e.position(start)
	}
	return n
}

func unescapeAll(s string) string {
	var b strings.Builder
	for s != "" {
		if decoded, size := unescape([]byte(s)); s[0] == '\\' && size > 0 {
			b.WriteString(decoded)
			s = s[size:]
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}
