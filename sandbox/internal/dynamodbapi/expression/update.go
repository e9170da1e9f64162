package expression

import (
	"maps"
	"slices"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

const updateKind = "UpdateExpression"

// An Update is an UpdateExpression. The nil Update changes nothing.
type Update struct {
	actions    []action // in the order in which they are applied
	attributes []string
}

type action struct {
	section string // SET, REMOVE, ADD or DELETE
	path    path
	value   *node // nil for REMOVE
}

var sections = []string{"SET", "ADD", "DELETE", "REMOVE"}

// ParseUpdate reads an UpdateExpression.
func ParseUpdate(text string, placeholders *Placeholders) (*Update, error) {
	p, err := newParser(updateKind, text, placeholders)
	if err != nil {
		return nil, err
	}
	u := &Update{}
	seen := make(map[string]bool)
	for p.peek().kind != endToken {
		section := strings.ToUpper(p.peek().text)
		if !slices.Contains(sections, section) {
			return nil, p.syntaxError()
		}
		if seen[section] {
			return nil, p.invalid(`The "%s" section can only be used once in an update expression;`, section)
		}
		seen[section] = true
		p.take()
		for {
			a, err := p.action(section)
			if err != nil {
				return nil, err
			}
			if u.actions = append(u.actions, a); !p.symbol(",") {
				break
			}
		}
	}
	var paths []path
	for _, a := range u.actions {
		paths = append(paths, a.path)
	}
	if err := p.distinct(paths); err != nil {
		return nil, err
	}
	u.attributes = p.attributes
	u.sort()
	return u, nil
}

// sort puts what makes lists longer first, by index, and then what makes them
// shorter, from their ends. So indexes always mean the elements that they mean
// before the update.
func (u *Update) sort() {
	shrinks := func(a action) bool { return a.section == "REMOVE" || a.section == "DELETE" }
	slices.SortStableFunc(u.actions, func(a, b action) int {
		switch {
		case shrinks(a) != shrinks(b):
			if shrinks(a) {
				return 1
			}
			return -1
		case shrinks(a):
			return b.path.compare(a.path)
		}
		return a.path.compare(b.path)
	})
}

func (p *parser) action(section string) (action, *wire.Error) {
	to, err := p.path()
	if err != nil {
		return action{}, err
	}
	a := action{section: section, path: to}
	switch section {
	case "REMOVE":
	case "SET":
		if err := p.expect("="); err != nil {
			return a, err
		}
		a.value, err = p.sum()
	default:
		if a.value, err = p.value(); err != nil {
			return a, err
		}
		t := a.value.value.Type
		isSet := t == StringSet || t == NumberSet || t == BinarySet
		if !isSet && (section == "DELETE" || t != Number) {
			return a, p.invalid("Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND", section, typeNames[t], section)
		}
	}
	return a, err
}

// sum reads the value of a SET: an operand, or two with plus or minus.
func (p *parser) sum() (*node, *wire.Error) {
	left, err := p.operand(true)
	if err != nil {
		return nil, err
	}
	op := opPlus
	switch {
	case p.symbol("+"):
	case p.symbol("-"):
		op = opMinus
	default:
		return left, nil
	}
	right, err := p.operand(true)
	if err != nil {
		return nil, err
	}
	return p.checked(&node{op: op, args: []*node{left, right}})
}

// Attributes returns the names of the attributes that the update reads or
// writes.
func (u *Update) Attributes() []string {
	if u == nil {
		return nil
	}
	return u.attributes
}

// Writes reports whether the update changes an attribute or a part of it.
func (u *Update) Writes(attribute string) bool {
	return u != nil && slices.ContainsFunc(u.actions, func(a action) bool { return a.path[0].name == attribute })
}

// Updated returns the parts of an item that the update writes.
func (u *Update) Updated(i Item) Item {
	if u == nil {
		return Item{}
	}
	p := &Projection{}
	for _, a := range u.actions {
		p.paths = append(p.paths, a.path)
	}
	return p.Apply(i)
}

// Apply returns the item as it is after the update. The item itself is not
// changed. All values are those from before the update.
func (u *Update) Apply(i Item) (Item, error) {
	after := Value{Type: Map, Map: i}
	if u == nil {
		return i, nil
	}
	for _, a := range u.actions {
		var operand Value
		if a.value != nil {
			var err *wire.Error
			if operand, err = a.value.compute(i); err != nil {
				return nil, err
			}
		}
		var err *wire.Error
		if after, err = change(after, a.path, func(old Value, exists bool) (Value, bool, *wire.Error) {
			return a.apply(old, exists, operand)
		}); err != nil {
			return nil, err
		}
	}
	return after.Map, nil
}

func wrongDataType() *wire.Error {
	return Invalid("An operand in the update expression has an incorrect data type")
}

// apply returns what an attribute becomes, false if it goes.
func (a action) apply(old Value, exists bool, operand Value) (Value, bool, *wire.Error) {
	switch {
	case a.section == "SET":
		return operand, true, nil
	case a.section == "REMOVE", a.section == "DELETE" && !exists:
		return Value{}, false, nil
	case !exists: // ADD
		return operand, true, nil
	case old.Type != operand.Type:
		return Value{}, false, wrongDataType()
	}
	changed := Value{Type: old.Type}
	switch {
	case a.section == "DELETE":
		changed.Set = slices.DeleteFunc(slices.Clone(old.Set), func(e string) bool { return slices.Contains(operand.Set, e) })
		return changed, len(changed.Set) > 0, nil
	case old.Type == Number:
		sum, err := number(old.Text).add(number(operand.Text), false)
		changed.Text = sum.String()
		return changed, true, err
	}
	changed.Set = slices.Clone(old.Set)
	for _, e := range operand.Set {
		if !slices.Contains(changed.Set, e) {
			changed.Set = append(changed.Set, e)
		}
	}
	return changed, true, nil
}

// change returns v with what the path leads to replaced, copying what is on
// the way.
func change(v Value, p path, apply func(old Value, exists bool) (Value, bool, *wire.Error)) (Value, *wire.Error) {
	s := p[0]
	if s.list && v.Type != List || !s.list && v.Type != Map {
		return v, Invalid("The document path provided in the update expression is invalid for update")
	}
	old, exists := path{s}.find(v.Map)
	if s.list {
		if exists = s.index < len(v.List); exists {
			old = v.List[s.index]
		}
	}
	var after Value
	keep := true
	var err *wire.Error
	switch {
	case len(p) == 1:
		after, keep, err = apply(old, exists)
	case !exists:
		err = Invalid("The document path provided in the update expression is invalid for update")
	default:
		after, err = change(old, p[1:], apply)
	}
	if err != nil || !keep && !exists {
		return v, err
	}
	out := Value{Type: v.Type}
	if s.list {
		out.List = slices.Clone(v.List)
		switch {
		case !keep:
			out.List = slices.Delete(out.List, s.index, s.index+1)
		case exists:
			out.List[s.index] = after
		default:
			out.List = append(out.List, after)
		}
		return out, nil
	}
	if out.Map = maps.Clone(v.Map); out.Map == nil {
		out.Map = make(map[string]Value)
	}
	if keep {
		out.Map[s.name] = after
	} else {
		delete(out.Map, s.name)
	}
	return out, nil
}

// compute returns the value of an operand of SET.
func (n *node) compute(i Item) (Value, *wire.Error) {
	switch n.op {
	case opValue:
		return n.value, nil
	case opPath:
		v, ok := n.path.find(i)
		if !ok {
			return v, Invalid("The provided expression refers to an attribute that does not exist in the item")
		}
		return v, nil
	case opDefault:
		if v, ok := n.args[0].path.find(i); ok {
			return v, nil
		}
		return n.args[1].compute(i)
	}
	left, err := n.args[0].compute(i)
	if err != nil {
		return left, err
	}
	right, err := n.args[1].compute(i)
	if err != nil {
		return right, err
	}
	if n.op == opAppend {
		if left.Type != List || right.Type != List {
			return left, wrongDataType()
		}
		return Value{Type: List, List: slices.Concat(left.List, right.List)}, nil
	}
	if left.Type != Number || right.Type != Number {
		return left, wrongDataType()
	}
	sum, err := number(left.Text).add(number(right.Text), n.op == opMinus)
	return Value{Type: Number, Text: sum.String()}, err
}
