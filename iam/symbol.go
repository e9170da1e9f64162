package iam

import (
	"strings"
)

// A symbol is written in runes of the Unicode private use area, which the
// character set of IAM policies excludes. No separator of an ARN, no wildcard
// and no quote can therefore occur inside one.
const (
	symbolStart = '\uE000'
	symbolEnd   = '\uE001'
	symbolBase  = '\uE100' // symbolBase+b stands for the byte b of the id
)

// Symbol returns opaque text that stands for a value not known yet, such as
// Symbol("AWS::Partition") for a template's pseudo parameter. The result may be
// used as a part of any string of a policy or an ARN.
func Symbol(id string) string {
	var b strings.Builder
	b.WriteRune(symbolStart)
	for i := range len(id) {
		b.WriteRune(symbolBase + rune(id[i]))
	}
	b.WriteRune(symbolEnd)
	return b.String()
}

// HasSymbol reports whether s contains a symbol.
func HasSymbol(s string) bool { return strings.ContainsRune(s, symbolStart) }

// A Piece is a part of a string that may contain symbols: either literal text
// or the id of one symbol.
type Piece struct {
	Text     string // literal text, or the symbol's id
	IsSymbol bool
}

// Pieces splits s into literal text and symbols, in order. A string without
// symbols is one piece; the empty string has none. Malformed symbols, which
// [Symbol] never makes, are kept as literal text.
func Pieces(s string) []Piece {
	var pieces []Piece
	for s != "" {
		start := strings.IndexRune(s, symbolStart)
		if start < 0 {
			return append(pieces, Piece{Text: s})
		}
		id, rest, ok := cutSymbol(s[start:])
		if !ok {
			return append(pieces, Piece{Text: s})
		}
		if start > 0 {
			pieces = append(pieces, Piece{Text: s[:start]})
		}
		pieces = append(pieces, Piece{Text: id, IsSymbol: true})
		s = rest
	}
	return pieces
}

// ReplaceSymbols returns s with each symbol replaced by what replace returns
// for its id.
func ReplaceSymbols(s string, replace func(id string) string) string {
	if !HasSymbol(s) {
		return s
	}
	var b strings.Builder
	for _, p := range Pieces(s) {
		if p.IsSymbol {
			b.WriteString(replace(p.Text))
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// cutSymbol splits s, which begins with symbolStart, after its first symbol.
func cutSymbol(s string) (id, rest string, ok bool) {
	var b strings.Builder
	for i, r := range s {
		switch {
		case i == 0:
		case r == symbolEnd:
			return b.String(), s[i+len(string(symbolEnd)):], true
		case r >= symbolBase && r <= symbolBase+0xFF:
			b.WriteByte(byte(r - symbolBase))
		default:
			return "", s, false
		}
	}
	return "", s, false
}
