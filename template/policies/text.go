package policies

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// A source is the text of a file, for finding places in it.
type source struct {
	data   []byte
	starts []int               // offset at which each line begins
	places map[*cfn.Node][]int // see offsets
}

func newSource(data []byte) *source {
	s := &source{data: data, starts: []int{0}, places: make(map[*cfn.Node][]int)}
	for i, c := range data {
		if c == '\n' {
			s.starts = append(s.starts, i+1)
		}
	}
	return s
}

// position returns the place of a byte.
func (s *source) position(offset int) iam.Position {
	line := sort.SearchInts(s.starts, offset+1) - 1
	return iam.Position{Offset: offset, Line: line + 1, Column: offset - s.starts[line] + 1}
}

// offsets returns, for each byte of a scalar's value, where in the file it was
// written; nil if the notation is not understood that far, as in a quoted text
// that is folded over several lines.
func (s *source) offsets(n *cfn.Node) []int {
	if known, ok := s.places[n]; ok {
		return known
	}
	found := s.align(n.Position.Offset, n.Text)
	s.places[n] = found
	return found
}

func (s *source) align(at int, text string) []int {
	if at < 0 || at >= len(s.data) || text == "" {
		return nil
	}
	for s.data[at] == '!' || s.data[at] == '&' { // a tag or an anchor stands before the value
		for at < len(s.data) && !isSpace(s.data[at]) {
			at++
		}
		for at < len(s.data) && isSpace(s.data[at]) {
			at++
		}
		if at == len(s.data) {
			return nil
		}
	}
	switch s.data[at] {
	case '"':
		return s.alignDouble(at+1, text)
	case '\'':
		return s.alignSingle(at+1, text)
	case '|', '>':
		return s.alignBlock(at, text)
	}
	return s.alignLines(at, 1<<30, text)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// alignDouble follows a text in double quotes, of JSON or YAML.
func (s *source) alignDouble(at int, text string) []int {
	places := make([]int, 0, len(text))
	for len(places) < len(text) {
		if at >= len(s.data) || s.data[at] == '\n' || s.data[at] == '"' {
			return nil
		}
		decoded, size := string(s.data[at]), 1
		if s.data[at] == '\\' {
			if decoded, size = unescape(s.data[at:]); size == 0 {
				return nil
			}
		}
		if !strings.HasPrefix(text[len(places):], decoded) {
			return nil
		}
		for range len(decoded) {
			places = append(places, at)
		}
		at += size
	}
	return places
}

// unescape decodes one escape sequence that JSON and YAML share. The size is 0
// if it is none.
func unescape(data []byte) (decoded string, size int) {
	if len(data) < 2 {
		return "", 0
	}
	if i := strings.IndexByte(`"\/bfnrt`, data[1]); i >= 0 {
		return "\"\\/\b\f\n\r\t"[i : i+1], 2
	}
	if data[1] != 'u' || len(data) < 6 {
		return "", 0
	}
	high, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return "", 0
	}
	if !utf16.IsSurrogate(rune(high)) {
		return string(rune(high)), 6
	}
	if len(data) < 12 || data[6] != '\\' || data[7] != 'u' {
		return "", 0
	}
	low, err := strconv.ParseUint(string(data[8:12]), 16, 16)
	pair := utf16.DecodeRune(rune(high), rune(low))
	if err != nil || pair == utf8.RuneError {
		return "", 0
	}
	return string(pair), 12
}

// alignSingle follows a YAML text in single quotes, in which a quote is doubled.
func (s *source) alignSingle(at int, text string) []int {
	places := make([]int, 0, len(text))
	for len(places) < len(text) {
		if at >= len(s.data) || s.data[at] == '\n' || s.data[at] != text[len(places)] {
			return nil
		}
		places = append(places, at)
		if s.data[at] == '\'' {
			at++
		}
		at++
	}
	return places
}

// alignBlock follows a YAML block text, which begins after its header "|-".
func (s *source) alignBlock(at int, text string) []int {
	for at < len(s.data) && s.data[at] != '\n' {
		at++
	}
	at++
	indent, first := 0, at
	for first < len(s.data) && isSpace(s.data[first]) {
		if indent++; s.data[first] == '\n' {
			indent = 0
		}
		first++
	}
	for skip := indent; skip > 0 && at < len(s.data) && s.data[at] == ' '; skip-- {
		at++
	}
	return s.alignLines(at, indent, text)
}

// alignLines follows text over lines that are indented by at most so many
// spaces and may be folded: a line break is then written for a space.
func (s *source) alignLines(at, indent int, text string) []int {
	places := make([]int, 0, len(text))
	nextLine := func() {
		at++
		for n := 0; n < indent && at < len(s.data) && s.data[at] == ' '; n++ {
			at++
		}
	}
	for len(places) < len(text) {
		switch c := text[len(places)]; {
		case at >= len(s.data):
			return nil
		case s.data[at] == '\r' && c != '\r':
			at++
		case s.data[at] == c && c == '\n':
			places = append(places, at)
			nextLine()
		case s.data[at] == c:
			places = append(places, at)
			at++
		case s.data[at] == '\n' && c == ' ':
			places = append(places, at)
			nextLine()
		case s.data[at] == '\n':
			nextLine()
		default:
			return nil
		}
	}
	return places
}

// A piece is a part of a text that a template puts together: a part of a
// scalar's own text, or a symbol.
type piece struct {
	text string
	node *cfn.Node // where the text comes from
	at   int       // of the text in the node's text; -1 for a symbol
}

func joined(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// place returns where in the file a byte of joined pieces was written.
func (s *source) place(pieces []piece, offset int) iam.Position {
	for i, p := range pieces {
		if offset >= len(p.text) && i < len(pieces)-1 {
			offset -= len(p.text)
			continue
		}
		if p.at >= 0 {
			if places := s.offsets(p.node); p.at+offset < len(places) {
				return s.position(places[p.at+offset])
			}
		}
		return p.node.Position
	}
	return iam.Position{}
}

// moved replaces the positions in a value, which are offsets in joined pieces,
// by those of the file.
func (s *source) moved(v *iam.Value, pieces []piece) {
	v.Position = s.place(pieces, v.Position.Offset)
	for i := range v.Items {
		s.moved(&v.Items[i], pieces)
	}
	for i := range v.Members {
		v.Members[i].Position = s.place(pieces, v.Members[i].Position.Offset)
		s.moved(&v.Members[i].Value, pieces)
	}
}
