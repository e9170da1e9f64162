package cfn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
)

// Limits of CloudFormation, in bytes, on templates given in a request and on
// templates read from a URL.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const (
	MaxBodySize = 51_200
	MaxURLSize  = 1 << 20
)

// maxDepth bounds nesting. CloudFormation documents no such limit; templates
// that people write stay below twenty.
const maxDepth = 100

// A Problem is one reason why a template is refused.
type Problem struct {
	Path     string       // "/Resources/Role/Properties"; empty for the whole document
	Position iam.Position // zero if not known
	Message  string       // without path and position
}

// String returns position and message.
func (p Problem) String() string {
	if p.Position.Line == 0 {
		return p.Message
	}
	return fmt.Sprintf("%d:%d: %s", p.Position.Line, p.Position.Column, p.Message)
}

// A SyntaxError says why a template is refused, with at least one problem.
type SyntaxError struct{ Problems []Problem }

// Error lists the problems, at most five.
func (e *SyntaxError) Error() string {
	var lines []string
	for i, p := range e.Problems {
		if i == 5 {
			lines = append(lines, fmt.Sprintf("and %d more", len(e.Problems)-i))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "; ")
}

func syntaxError(path string, pos iam.Position, format string, args ...any) error {
	return &SyntaxError{Problems: []Problem{{Path: path, Position: pos, Message: fmt.Sprintf(format, args...)}}}
}

// Parse reads one JSON or YAML document into a tree. A document that begins
// with "{" is JSON. Duplicate keys, keys that are not strings, YAML aliases and
// merge keys, unknown tags, more than one document, more than [MaxURLSize]
// bytes and nesting beyond 100 levels are refused, as a [*SyntaxError]. Nulls
// are kept.
//
// YAML is read by the rules of YAML 1.1 that CloudFormation uses: yes, no, on
// and off are booleans. A plain scalar is a number only if JSON would write it
// so: 012345678901 is a string, and timestamps are strings.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
func Parse(data []byte) (*Node, error) { return Dialect{}.Parse(data) }

// A Dialect says what a document may have that a template may not. The zero
// value is CloudFormation itself.
type Dialect struct {
	// Aliases says that YAML aliases and merge keys are replaced by what they
	// stand for, as `aws cloudformation package` and SAM do before CloudFormation
	// sees a template. A document that would grow beyond [MaxAliasedNodes] is
	// refused.
	Aliases bool

	// Macros says that the template is written for macros or for other tools as
	// well, so that it may have functions CloudFormation does not know and keys
	// that are numbers.
	Macros bool

	// MaxSize is the largest document in bytes; [MaxURLSize] if it is 0.
	MaxSize int
}

// MaxAliasedNodes bounds what the aliases of one document may add to it.
const MaxAliasedNodes = 100_000

// Parse is the function [Parse] for this dialect.
func (d Dialect) Parse(data []byte) (*Node, error) {
	most := d.MaxSize
	if most == 0 {
		most = MaxURLSize
	}
	if len(data) > most {
		return nil, syntaxError("", iam.Position{}, "Template format error: the template has %d bytes, at most %d are allowed", len(data), most)
	}
	if !utf8.Valid(data) {
		return nil, syntaxError("", iam.Position{}, "Template format error: the template is not valid UTF-8")
	}
	trimmed := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\ufeff")), " \t\r\n")
	if len(trimmed) == 0 {
		return nil, syntaxError("", iam.Position{}, "Template format error: the template is empty")
	}
	if trimmed[0] == '{' {
		return parseJSON(data)
	}
	return parseYAML(data, d)
}

// A jsonReader turns the tokens of encoding/json into nodes with positions.
type jsonReader struct {
	data  []byte
	lines lineTable
	dec   *json.Decoder
	base  int // bytes of a byte order mark before what dec sees
}

func parseJSON(data []byte) (*Node, error) {
	body := bytes.TrimPrefix(data, []byte("\ufeff"))
	r := &jsonReader{data: data, lines: newLineTable(data), dec: json.NewDecoder(bytes.NewReader(body)), base: len(data) - len(body)}
	r.dec.UseNumber()
	n, err := r.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); err != io.EOF {
		return nil, syntaxError("", r.next(), "Template format error: JSON not well-formed. There is text after the template's end.")
	}
	return n, nil
}

// next returns the position of the token that comes next.
func (r *jsonReader) next() iam.Position {
	at := r.base + int(r.dec.InputOffset())
	for at < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[at]) >= 0 {
		at++
	}
	return r.lines.at(at)
}

func (r *jsonReader) token(path string) (json.Token, iam.Position, error) {
	pos := r.next()
	t, err := r.dec.Token()
	if err != nil {
		return nil, pos, syntaxError(path, pos, "Template format error: JSON not well-formed. (line %d, column %d)", pos.Line, pos.Column)
	}
	return t, pos, nil
}

func (r *jsonReader) value(path string, depth int) (*Node, error) {
	t, pos, err := r.token(path)
	if err != nil {
		return nil, err
	}
	n := &Node{Position: pos}
	switch t := t.(type) {
	case nil:
		n.Kind = NodeNull
	case string:
		n.Kind, n.Text = NodeText, t
	case json.Number:
		n.Kind, n.Text = NodeNumber, t.String()
	case bool:
		n.Kind, n.Text = NodeBool, fmt.Sprint(t)
	case json.Delim:
		if depth == maxDepth {
			return nil, syntaxError(path, pos, "Template format error: the template is nested more than %d levels deep", maxDepth)
		}
		if t == '[' {
			n.Kind = NodeList
			return n, r.list(n, path, depth+1)
		}
		n.Kind = NodeMap
		return n, r.object(n, path, depth+1)
	}
	return n, nil
}

func (r *jsonReader) list(n *Node, path string, depth int) error {
	for r.dec.More() {
		item, err := r.value(fmt.Sprintf("%s/%d", path, len(n.Items)), depth)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	_, _, err := r.token(path)
	return err
}

func (r *jsonReader) object(n *Node, path string, depth int) error {
	seen := make(map[string]bool)
	for r.dec.More() {
		t, pos, err := r.token(path)
		if err != nil {
			return err
		}
		key := t.(string) // the decoder accepts nothing else as a key
		if seen[key] {
			return duplicateKey(path, key, pos)
		}
		seen[key] = true
		v, err := r.value(path+"/"+key, depth)
		if err != nil {
			return err
		}
		n.Entries = append(n.Entries, Entry{Key: key, KeyPosition: pos, Value: v})
	}
	_, _, err := r.token(path)
	return err
}

func duplicateKey(path, key string, pos iam.Position) error {
	return syntaxError(path, pos, "Template format error: [%s] duplicate key %q (line %d, column %d)", pathOrRoot(path), key, pos.Line, pos.Column)
}

func pathOrRoot(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// A lineTable holds the offset at which each line begins.
type lineTable struct {
	data   []byte
	starts []int
}

func newLineTable(data []byte) lineTable {
	t := lineTable{data: data, starts: []int{0}}
	for i, c := range data {
		if c == '\n' {
			t.starts = append(t.starts, i+1)
		}
	}
	return t
}

// at returns the position of a byte.
func (t lineTable) at(offset int) iam.Position {
	low, high := 0, len(t.starts)
	for high-low > 1 {
		middle := (low + high) / 2
		if t.starts[middle] <= offset {
			low = middle
		} else {
			high = middle
		}
	}
	return iam.Position{Offset: offset, Line: low + 1, Column: offset - t.starts[low] + 1}
}

// ofRune returns the position of the column-th character of a line, both
// counted from 1, which is how the YAML parser counts.
func (t lineTable) ofRune(line, column int) iam.Position {
	if line < 1 || line > len(t.starts) {
		return iam.Position{}
	}
	offset := t.starts[line-1]
	for range column - 1 {
		if offset >= len(t.data) {
			break
		}
		_, size := utf8.DecodeRune(t.data[offset:])
		offset += size
	}
	return iam.Position{Offset: offset, Line: line, Column: offset - t.starts[line-1] + 1}
}
