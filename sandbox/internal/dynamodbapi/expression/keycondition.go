package expression

import "github.com/crossaccount/crossaccount/sandbox/internal/wire"

// A KeyCondition is a KeyConditionExpression: one value of the partition key,
// and perhaps a condition on the sort key.
type KeyCondition struct {
	Partition  Value
	sort       *node
	attributes []string
}

// ParseKeyCondition reads a KeyConditionExpression for a key. Sort is empty if
// the key has no sort key.
func ParseKeyCondition(text, partition, sort string, placeholders *Placeholders) (*KeyCondition, error) {
	p, err := newParser("KeyConditionExpression", text, placeholders)
	if err != nil {
		return nil, err
	}
	root, err := p.condition()
	if err != nil {
		return nil, err
	}
	k := &KeyCondition{attributes: p.attributes}
	found := false
	var take func(*node) *wire.Error
	take = func(n *node) *wire.Error {
		if n.op == opAnd {
			if err := take(n.args[0]); err != nil {
				return err
			}
			return take(n.args[1])
		}
		name, err := p.keyOf(n)
		switch {
		case err != nil:
			return err
		case name == partition && found, name == sort && k.sort != nil:
			return Invalid("KeyConditionExpressions must only contain one condition per key")
		case name == partition && n.op == "=":
			k.Partition, found = n.args[1].value, true
		case name == partition:
			return Invalid("Query key condition not supported")
		case name == sort && sort != "":
			k.sort = n
		default:
			missed := partition
			if found {
				missed = sort
			}
			if missed == "" {
				return Invalid("Query key condition not supported")
			}
			return Invalid("Query condition missed key schema element: %s", missed)
		}
		return nil
	}
	if err := take(root); err != nil {
		return nil, err
	}
	if !found {
		return nil, Invalid("Query condition missed key schema element: %s", partition)
	}
	return k, nil
}

// keyOf returns which attribute a part of a key condition is about, and checks
// its form.
func (p *parser) keyOf(n *node) (string, *wire.Error) {
	switch n.op {
	case "=", "<", "<=", ">", ">=", opBetween, opBegins:
	default:
		return "", p.invalid("Invalid operator used in KeyConditionExpression: %s", n.op)
	}
	if n.args[0].op == opValue && n.args[1].op == opPath {
		// :value = key is the same as key = :value.
		mirrored, ok := map[operator]operator{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}[n.op]
		if ok {
			n.op, n.args[0], n.args[1] = mirrored, n.args[1], n.args[0]
		}
	}
	if n.args[0].op != opPath {
		return "", p.invalid("Invalid condition in KeyConditionExpression: %s operator must have a key attribute as first operand", n.op)
	}
	if len(n.args[0].path) > 1 {
		return "", p.invalid("KeyConditionExpressions cannot have conditions on nested attributes")
	}
	for _, arg := range n.args[1:] {
		if arg.op != opValue {
			return "", p.invalid("Invalid condition in KeyConditionExpression: %s operator must have values as remaining operands", n.op)
		}
	}
	return n.args[0].path[0].name, nil
}

// SortType returns the type that the condition asks of the sort key, false if
// there is no such condition.
func (k *KeyCondition) SortType() (Type, bool) {
	if k.sort == nil {
		return "", false
	}
	return k.sort.args[1].value.Type, true
}

// Matches reports whether an item with that partition key is meant.
func (k *KeyCondition) Matches(i Item) bool { return k.sort == nil || k.sort.holds(i) }

// Attributes returns the names of the attributes that the condition reads.
func (k *KeyCondition) Attributes() []string { return k.attributes }
