package expression

import (
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// An operator says what a node is.
type operator string

const (
	opPath    operator = "path"
	opValue   operator = "value"
	opAnd     operator = "AND"
	opOr      operator = "OR"
	opNot     operator = "NOT"
	opBetween operator = "BETWEEN"
	opIn      operator = "IN"
	opExists  operator = "attribute_exists"
	opMissing operator = "attribute_not_exists"
	opType    operator = "attribute_type"
	opBegins  operator = "begins_with"
	opHas     operator = "contains"
	opSize    operator = "size"
	opDefault operator = "if_not_exists"
	opAppend  operator = "list_append"
	opPlus    operator = "+"
	opMinus   operator = "-"
)

// A function is what may be called in which expressions.
type function struct {
	operands int
	update   bool // in the values of an update, not in conditions
	operand  bool // returns a value, not a truth
	path     bool // its first operand must be a document path
}

var functions = map[operator]function{
	opExists:  {operands: 1, path: true},
	opMissing: {operands: 1, path: true},
	opType:    {operands: 2, path: true},
	opBegins:  {operands: 2},
	opHas:     {operands: 2},
	opSize:    {operands: 1, operand: true},
	opDefault: {operands: 2, update: true, operand: true, path: true},
	opAppend:  {operands: 2, update: true, operand: true},
}

var comparators = []string{"=", "<>", "<", "<=", ">", ">="}

// A node is a part of a parsed expression.
type node struct {
	op            operator
	args          []*node
	path          path
	value         Value
	parenthesised bool
}

func (n *node) isOperand() bool {
	return n.op == opPath || n.op == opValue || n.op == opPlus || n.op == opMinus || functions[n.op].operand
}

// A Condition is a ConditionExpression or a FilterExpression. The nil
// Condition always holds.
type Condition struct {
	root       *node
	attributes []string
}

// ParseCondition reads a condition. Kind is the parameter's name, for messages:
// "ConditionExpression" or "FilterExpression".
func ParseCondition(kind, text string, placeholders *Placeholders) (*Condition, error) {
	p, err := newParser(kind, text, placeholders)
	if err != nil {
		return nil, err
	}
	root, err := p.condition()
	if err != nil {
		return nil, err
	}
	return &Condition{root, p.attributes}, nil
}

// Attributes returns the names of the attributes that the condition reads.
func (c *Condition) Attributes() []string {
	if c == nil {
		return nil
	}
	return c.attributes
}

// Holds reports whether the condition is true of an item. An item that does not
// exist is a nil Item.
func (c *Condition) Holds(i Item) bool { return c == nil || c.root.holds(i) }

func (p *parser) condition() (*node, *wire.Error) {
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != endToken || root.isOperand() {
		return nil, p.syntaxError()
	}
	return root, nil
}

func (p *parser) or() (*node, *wire.Error) {
	return p.chain(opOr, func() (*node, *wire.Error) { return p.chain(opAnd, p.not) })
}

// chain reads operands of AND or OR.
func (p *parser) chain(op operator, operand func() (*node, *wire.Error)) (*node, *wire.Error) {
	left, err := operand()
	if err != nil {
		return nil, err
	}
	for p.next < len(p.tokens) {
		if left.isOperand() || !p.keyword(string(op)) {
			break
		}
		if err := p.countOperator(); err != nil {
			return nil, err
		}
		right, err := operand()
		if err != nil {
			return nil, err
		}
		if right.isOperand() {
			return nil, p.syntaxError()
		}
		left = &node{op: op, args: []*node{left, right}}
	}
	return left, nil
}

func (p *parser) not() (*node, *wire.Error) {
	if !p.keyword("NOT") {
		return p.comparison()
	}
	if err := p.countOperator(); err != nil {
		return nil, err
	}
	inner, err := p.not()
	if err != nil {
		return nil, err
	}
	if inner.isOperand() {
		return nil, p.syntaxError()
	}
	return &node{op: opNot, args: []*node{inner}}, nil
}

// comparison reads an operand and what is asked of it. What is in parentheses
// may turn out to be an operand or a condition.
func (p *parser) comparison() (*node, *wire.Error) {
	left, err := p.primary(false)
	if err != nil || !left.isOperand() {
		return left, err
	}
	t := p.peek()
	switch {
	case t.kind == symbolToken && slices.Contains(comparators, t.text):
		p.take()
		right, err := p.operand(false)
		if err != nil {
			return nil, err
		}
		return p.checked(&node{op: operator(t.text), args: []*node{left, right}})
	case p.keyword("BETWEEN"):
		low, err := p.operand(false)
		if err != nil {
			return nil, err
		}
		if !p.keyword("AND") {
			return nil, p.syntaxError()
		}
		high, err := p.operand(false)
		if err != nil {
			return nil, err
		}
		return p.checked(&node{op: opBetween, args: []*node{left, low, high}})
	case p.keyword("IN"):
		if err := p.expect("("); err != nil {
			return nil, err
		}
		among, err := p.operands()
		if err != nil {
			return nil, err
		}
		if len(among) > 100 {
			return nil, p.invalid("The IN operator is provided with too many operands; number of operands: %d", len(among))
		}
		return p.checked(&node{op: opIn, args: append([]*node{left}, among...)})
	}
	return left, nil
}

// operands reads a list up to the closing parenthesis.
func (p *parser) operands() ([]*node, *wire.Error) {
	var list []*node
	for {
		n, err := p.operand(true)
		if err != nil {
			return nil, err
		}
		if list = append(list, n); !p.symbol(",") {
			return list, p.expect(")")
		}
	}
}

// operand reads a path, a value, or a function that returns one.
func (p *parser) operand(update bool) (*node, *wire.Error) {
	n, err := p.primary(update)
	if err != nil {
		return nil, err
	}
	if !n.isOperand() {
		return nil, p.invalid("The function is not allowed to be used this way in an expression; function: %s", n.op)
	}
	return n, nil
}

func (p *parser) primary(update bool) (*node, *wire.Error) {
	switch t := p.peek(); {
	case p.symbol("("):
		read := p.or
		if p.updates() {
			read = p.sum
		}
		n, err := read()
		if err != nil {
			return nil, err
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
		if n.parenthesised {
			return nil, p.invalid("The expression has redundant parentheses;")
		}
		n.parenthesised = true
		return n, nil
	case t.kind == valueToken:
		return p.value()
	case t.kind == wordToken && p.tokens[p.next+1].text == "(":
		return p.call(t, update)
	}
	to, err := p.path()
	if err != nil {
		return nil, err
	}
	return &node{op: opPath, path: to}, nil
}

func (p *parser) updates() bool { return p.kind == updateKind }

// call reads the call of a function.
func (p *parser) call(name token, nested bool) (*node, *wire.Error) {
	op := operator(name.text)
	f, ok := functions[op]
	if !ok {
		if slices.Contains([]string{"AND", "OR", "NOT", "IN", "BETWEEN"}, strings.ToUpper(name.text)) {
			return nil, p.syntaxError()
		}
		return nil, p.invalid("Invalid function name; function: %s", clip(name.text))
	}
	if f.update != p.updates() || nested && !f.operand {
		return nil, p.invalid("The function is not allowed to be used this way in an expression; function: %s", op)
	}
	p.next += 2
	args, err := p.operands()
	if err != nil {
		return nil, err
	}
	if len(args) != f.operands {
		return nil, p.invalid("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", op, len(args))
	}
	if f.path && args[0].op != opPath {
		return nil, p.invalid("Operator or function requires a document path; operator or function: %s", op)
	}
	return p.checked(&node{op: op, args: args})
}

// checked refuses what is wrong with an operation whatever the item is.
func (p *parser) checked(n *node) (*node, *wire.Error) {
	if err := p.countOperator(); err != nil {
		return nil, err
	}
	wrong := func(v Value) *wire.Error {
		return p.invalid("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", n.op, v.Type)
	}
	for i, arg := range n.args {
		if i > 0 && arg.op == opPath && n.args[0].op == opPath && arg.path.compare(n.args[0].path) == 0 && n.op != opDefault && n.op != opAppend && n.op != opPlus && n.op != opMinus {
			return nil, p.invalid("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", n.op, arg.path)
		}
		if arg.op != opValue {
			continue
		}
		t := arg.value.Type
		switch n.op {
		case "<", "<=", ">", ">=", opBetween:
			if t != String && t != Number && t != Binary {
				return nil, wrong(arg.value)
			}
		case opBegins:
			if t != String && t != Binary {
				return nil, wrong(arg.value)
			}
		case opType:
			if t != String {
				return nil, wrong(arg.value)
			}
			if _, known := typeNames[Type(arg.value.Text)]; !known {
				return nil, p.invalid("Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", clip(arg.value.Text))
			}
		case opSize:
			if _, ok := arg.value.length(); !ok {
				return nil, wrong(arg.value)
			}
		case opPlus, opMinus:
			if t != Number {
				return nil, wrong(arg.value)
			}
		case opAppend:
			if t != List {
				return nil, wrong(arg.value)
			}
		}
	}
	if n.op == opBetween && n.args[1].op == opValue && n.args[2].op == opValue {
		low, high := n.args[1].value, n.args[2].value
		order, ok := low.Compare(high)
		if !ok {
			return nil, p.invalid("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: %s, upper bound operand: %s", low.describe(), high.describe())
		}
		if order > 0 {
			return nil, p.invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: %s, upper bound operand: %s", low.describe(), high.describe())
		}
	}
	return n, nil
}

// evaluate returns the value of an operand in a condition, false if there is
// none.
func (n *node) evaluate(i Item) (Value, bool) {
	switch n.op {
	case opValue:
		return n.value, true
	case opPath:
		return n.path.find(i)
	case opSize:
		v, ok := n.args[0].evaluate(i)
		if !ok {
			return Value{}, false
		}
		length, ok := v.length()
		return Int(length), ok
	default:
		return Value{}, false // the rest are conditions, or belong to updates
	}
}

// holds evaluates a condition. What is compared with something that does not
// exist, or is of another type, is different from it and neither less nor
// greater.
func (n *node) holds(i Item) bool {
	switch n.op {
	case opAnd:
		return n.args[0].holds(i) && n.args[1].holds(i)
	case opOr:
		return n.args[0].holds(i) || n.args[1].holds(i)
	case opNot:
		return !n.args[0].holds(i)
	}
	values := make([]Value, len(n.args))
	exist := make([]bool, len(n.args))
	for k, arg := range n.args {
		values[k], exist[k] = arg.evaluate(i)
	}
	both := func(k int) bool { return exist[0] && exist[k] }
	compared := func(k int, accept func(int) bool) bool {
		order, ok := values[0].Compare(values[k])
		return both(k) && ok && accept(order)
	}
	switch n.op {
	case opExists:
		return exist[0]
	case opMissing:
		return !exist[0]
	case opType:
		return both(1) && values[0].Type == Type(values[1].Text)
	case opBegins:
		return both(1) && values[0].Type == values[1].Type && (values[0].Type == String || values[0].Type == Binary) && strings.HasPrefix(values[0].Text, values[1].Text)
	case opHas:
		return both(1) && values[0].contains(values[1])
	case "=":
		return both(1) && values[0].Equal(values[1])
	case "<>":
		return !both(1) || !values[0].Equal(values[1])
	case "<":
		return compared(1, func(o int) bool { return o < 0 })
	case "<=":
		return compared(1, func(o int) bool { return o <= 0 })
	case ">":
		return compared(1, func(o int) bool { return o > 0 })
	case ">=":
		return compared(1, func(o int) bool { return o >= 0 })
	case opBetween:
		return compared(1, func(o int) bool { return o >= 0 }) && compared(2, func(o int) bool { return o <= 0 })
	case opIn:
		for k := 1; k < len(values); k++ {
			if both(k) && values[0].Equal(values[k]) {
				return true
			}
		}
	}
	return false
}

func (v Value) contains(part Value) bool {
	switch v.Type {
	case String, Binary:
		return part.Type == v.Type && strings.Contains(v.Text, part.Text)
	case StringSet, NumberSet, BinarySet:
		return part.Type == v.Type[:1] && slices.Contains(v.Set, part.Text)
	case List:
		return slices.ContainsFunc(v.List, part.Equal)
	default:
		return false
	}
}
