package expression

import (
	"regexp"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// A token is one piece of an expression; its text is empty at the end.
type token struct {
	kind tokenKind
	text string
	from int // where it starts in the expression
}

type tokenKind int

const (
	endToken    tokenKind = iota
	wordToken             // a name, a keyword or a function
	nameToken             // #name
	valueToken            // :value
	indexToken            // digits
	symbolToken           // punctuation and operators
)

var tokenPattern = regexp.MustCompile(`^(?:([A-Za-z_][A-Za-z0-9_]*)|(#[A-Za-z0-9_]+)|(:[A-Za-z0-9_]+)|([0-9]+)|(<>|<=|>=|[=<>()\[\].,+-]))`)

// maxLength is how long an expression may be, in bytes.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-expression-parameters
const maxLength = 4096

// maxOperators is how many operators and functions an expression may have.
const maxOperators = 300

// A parser reads one expression.
type parser struct {
	kind         string // "ConditionExpression"
	text         string
	tokens       []token
	next         int
	placeholders *Placeholders
	attributes   []string // top-level attributes, as they were met
	operators    int
}

func newParser(kind, text string, placeholders *Placeholders) (*parser, *wire.Error) {
	p := &parser{kind: kind, text: text, placeholders: placeholders}
	if len(text) > maxLength {
		return nil, p.invalid("Expression size has exceeded the maximum allowed size;")
	}
	if strings.TrimSpace(text) == "" {
		return nil, p.invalid("The expression can not be empty;")
	}
	for at := 0; at < len(text); {
		if strings.IndexByte(" \t\r\n", text[at]) >= 0 {
			at++
			continue
		}
		m := tokenPattern.FindStringSubmatch(text[at:])
		if m == nil {
			p.tokens = append(p.tokens, token{symbolToken, text[at : at+1], at}, token{from: len(text)})
			p.next = len(p.tokens) - 2
			return nil, p.syntaxError()
		}
		for group := 1; group < len(m); group++ {
			if m[group] != "" {
				p.tokens = append(p.tokens, token{tokenKind(group), m[group], at})
			}
		}
		at += len(m[0])
	}
	p.tokens = append(p.tokens, token{from: len(text)})
	return p, nil
}

func (p *parser) invalid(format string, args ...any) *wire.Error {
	return Invalid("Invalid "+p.kind+": "+format, args...)
}

// syntaxError shows the token at hand with its neighbours.
func (p *parser) syntaxError() *wire.Error {
	at := p.tokens[p.next]
	shown := at.text
	if at.kind == endToken {
		shown = "<EOF>"
	}
	from, to := at.from, len(p.text)
	if p.next > 0 {
		from = p.tokens[p.next-1].from
	}
	if p.next+2 < len(p.tokens) {
		to = p.tokens[p.next+2].from
	}
	return p.invalid(`Syntax error; token: "%s", near: "%s"`, strings.ToValidUTF8(clip(shown), "?"), strings.ToValidUTF8(clip(strings.TrimSpace(p.text[from:to])), "?"))
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != endToken {
		p.next++
	}
	return t
}

// symbol takes a symbol if it comes next.
func (p *parser) symbol(text string) bool {
	if t := p.peek(); t.kind == symbolToken && t.text == text {
		p.next++
		return true
	}
	return false
}

func (p *parser) expect(symbol string) *wire.Error {
	if !p.symbol(symbol) {
		return p.syntaxError()
	}
	return nil
}

// keyword takes a keyword, in whatever case, if it comes next.
func (p *parser) keyword(word string) bool {
	if t := p.peek(); t.kind == wordToken && strings.EqualFold(t.text, word) {
		p.next++
		return true
	}
	return false
}

func (p *parser) countOperator() *wire.Error {
	if p.operators++; p.operators > maxOperators {
		return p.invalid("The expression contains too many operators; the maximum is %d", maxOperators)
	}
	return nil
}
