package iam

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding/json keeps neither positions nor duplicate keys, and both decide
// whether a policy means what its author believes. This file reads JSON
// (RFC 8259) into a tree that has them.

type nodeKind int

const (
	nodeNull nodeKind = iota
	nodeBool
	nodeNumber
	nodeString
	nodeArray
	nodeObject
)

func (k nodeKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

type node struct {
	kind    nodeKind
	pos     Position
	text    string // string value, or the literal of a number or boolean
	items   []node
	members []member
}

type member struct {
	name  string
	pos   Position
	value node
}

// Policies nest six deep; anything much deeper is an attack on the stack.
const maxJSONDepth = 64

type jsonReader struct {
	data      string
	offset    int
	line      int
	lineStart int
}

// jsonError is a syntax error at a position.
type jsonError struct {
	pos     Position
	message string
}

func (e *jsonError) Error() string { return e.message }

// readJSON reads exactly one JSON value.
func readJSON(data []byte) (node, *jsonError) {
	r := &jsonReader{data: string(data), line: 1}
	for i := 0; i < len(r.data); {
		c, size := utf8.DecodeRuneInString(r.data[i:])
		if c == utf8.RuneError && size == 1 {
			r.advance(i)
			return node{}, r.fail("not valid UTF-8")
		}
		i += size
	}
	n, err := r.value(0)
	if err != nil {
		return node{}, err
	}
	r.space()
	if r.offset < len(r.data) {
		return node{}, r.fail("unexpected text after the end of the document")
	}
	return n, nil
}

func (r *jsonReader) position() Position {
	return Position{Offset: r.offset, Line: r.line, Column: r.offset - r.lineStart + 1}
}

func (r *jsonReader) fail(format string, args ...any) *jsonError {
	return &jsonError{r.position(), fmt.Sprintf(format, args...)}
}

func (r *jsonReader) advance(n int) {
	for range n {
		if r.data[r.offset] == '\n' {
			r.line++
			r.lineStart = r.offset + 1
		}
		r.offset++
	}
}

func (r *jsonReader) space() {
	for r.offset < len(r.data) && strings.IndexByte(" \t\r\n", r.data[r.offset]) >= 0 {
		r.advance(1)
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *jsonReader) peek() byte {
	r.space()
	if r.offset == len(r.data) {
		return 0
	}
	return r.data[r.offset]
}

func (r *jsonReader) value(depth int) (node, *jsonError) {
	c := r.peek()
	n := node{pos: r.position()}
	if depth > maxJSONDepth {
		return n, r.fail("nested more than %d deep", maxJSONDepth)
	}
	var err *jsonError
	switch {
	case c == '{':
		n.kind = nodeObject
		n.members, err = r.object(depth)
	case c == '[':
		n.kind = nodeArray
		n.items, err = r.array(depth)
	case c == '"':
		n.kind = nodeString
		n.text, err = r.string()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = nodeNumber
		n.text, err = r.number()
	case c == 0 && r.offset == len(r.data):
		err = r.fail("unexpected end of the document")
	default:
		n.kind, n.text, err = r.word()
	}
	return n, err
}

func (r *jsonReader) object(depth int) ([]member, *jsonError) {
	r.advance(1)
	members := []member{}
	for {
		switch c := r.peek(); {
		case c == '}' && len(members) == 0:
			r.advance(1)
			return members, nil
		case c == '}':
			return nil, r.fail("trailing comma before }")
		case c != '"':
			return nil, r.fail("expected a key in double quotes")
		}
		m := member{pos: r.position()}
		var err *jsonError
		if m.name, err = r.string(); err != nil {
			return nil, err
		}
		if r.peek() != ':' {
			return nil, r.fail("expected : after the key %q", clip(m.name))
		}
		r.advance(1)
		if m.value, err = r.value(depth + 1); err != nil {
			return nil, err
		}
		members = append(members, m)
		switch r.peek() {
		case ',':
			r.advance(1)
		case '}':
			r.advance(1)
			return members, nil
		default:
			return nil, r.fail("expected , or } after the value of %q", clip(m.name))
		}
	}
}

func (r *jsonReader) array(depth int) ([]node, *jsonError) {
	r.advance(1)
	items := []node{}
	for {
		switch c := r.peek(); {
		case c == ']' && len(items) == 0:
			r.advance(1)
			return items, nil
		case c == ']':
			return nil, r.fail("trailing comma before ]")
		}
		item, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		switch r.peek() {
		case ',':
			r.advance(1)
		case ']':
			r.advance(1)
			return items, nil
		default:
			return nil, r.fail("expected , or ] in the array")
		}
	}
}

func (r *jsonReader) word() (nodeKind, string, *jsonError) {
	for word, kind := range map[string]nodeKind{"true": nodeBool, "false": nodeBool, "null": nodeNull} {
		if strings.HasPrefix(r.data[r.offset:], word) {
			r.advance(len(word))
			return kind, word, nil
		}
	}
	c, _ := utf8.DecodeRuneInString(r.data[r.offset:])
	return 0, "", r.fail("unexpected %q; a JSON value was expected", c)
}

func (r *jsonReader) number() (string, *jsonError) {
	start := r.offset
	digits := func() bool {
		first := r.offset
		for r.offset < len(r.data) && r.data[r.offset] >= '0' && r.data[r.offset] <= '9' {
			r.advance(1)
		}
		return r.offset > first
	}
	at := func(set string) bool {
		return r.offset < len(r.data) && strings.IndexByte(set, r.data[r.offset]) >= 0
	}
	if at("-") {
		r.advance(1)
	}
	leadingZero := at("0")
	intStart := r.offset
	if !digits() || leadingZero && r.offset > intStart+1 {
		return "", r.fail("malformed number")
	}
	if at(".") {
		r.advance(1)
		if !digits() {
			return "", r.fail("malformed number")
		}
	}
	if at("eE") {
		r.advance(1)
		if at("+-") {
			r.advance(1)
		}
		if !digits() {
			return "", r.fail("malformed number")
		}
	}
	return r.data[start:r.offset], nil
}

func (r *jsonReader) string() (string, *jsonError) {
	r.advance(1)
	var b strings.Builder
	for r.offset < len(r.data) {
		switch c := r.data[r.offset]; {
		case c == '"':
			r.advance(1)
			return b.String(), nil
		case c < ' ':
			return "", r.fail("control character in a string; write it as an escape sequence")
		case c == '\\':
			if err := r.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			r.advance(1)
		}
	}
	return "", r.fail("the string has no closing quote")
}

func (r *jsonReader) escape(b *strings.Builder) *jsonError {
	if r.offset+1 == len(r.data) {
		return r.fail("the string has no closing quote")
	}
	c := r.data[r.offset+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		r.advance(2)
		return nil
	}
	if c != 'u' {
		return r.fail("unknown escape sequence")
	}
	high, ok := r.hex(r.offset + 2)
	if !ok {
		return r.fail("malformed \\u escape sequence")
	}
	if !utf16.IsSurrogate(high) {
		b.WriteRune(high)
		r.advance(6)
		return nil
	}
	low, ok := r.hex(r.offset + 8)
	pair := utf16.DecodeRune(high, low)
	if !ok || !strings.HasPrefix(r.data[r.offset+6:], `\u`) || pair == utf8.RuneError {
		return r.fail("half of a surrogate pair")
	}
	b.WriteRune(pair)
	r.advance(12)
	return nil
}

func (r *jsonReader) hex(at int) (rune, bool) {
	if at+4 > len(r.data) {
		return 0, false
	}
	v, err := strconv.ParseUint(r.data[at:at+4], 16, 16)
	return rune(v), err == nil
}
