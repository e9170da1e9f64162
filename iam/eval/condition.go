package eval

import (
	"net/netip"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
)

// A condition is one compiled key of a condition block.
type condition struct {
	key      string // in lower case
	kind     valueKind
	compare  comparison
	set      iam.SetOperator
	ifExists bool
	negated  bool
	anything bool // a wildcard operator with a lone *: whatever the key's value is, it matches

	// The policy's values, in the form the kind needs. Values that cannot be
	// read as what the operator compares match nothing and are left out.
	patterns            []pattern
	texts               []string
	numbers             []number
	dates               []time.Time
	networks            []netip.Prefix
	wantTrue, wantFalse bool // for Null
}

// valueKind says what an operator compares.
type valueKind int8

const (
	kindPattern valueKind = iota // StringEquals, StringLike, Bool: text, perhaps with variables
	kindARN
	kindFold // text without regard to case, perhaps with variables
	kindNumber
	kindDate
	kindBinary
	kindAddress
	kindNull
)

type comparison int8

const (
	equal comparison = iota
	less
	lessOrEqual
	greater
	greaterOrEqual
)

func (c comparison) holds(order int) bool {
	switch c {
	case less:
		return order < 0
	case lessOrEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterOrEqual:
		return order >= 0
	}
	return order == 0
}

// compileCondition translates a condition. Policy variables are text unless the
// policy's version has them and the operator supports them.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
func compileCondition(c *iam.Condition, variables bool) (condition, error) {
	op, err := iam.ParseOperator(c.Operator)
	if err != nil {
		return condition{}, err
	}
	compiled := condition{key: strings.ToLower(c.Key), set: op.Set, ifExists: op.IfExists, negated: op.Negated()}
	syntax := patternSyntax{variables: variables}
	switch {
	case strings.HasSuffix(op.Name, "IgnoreCase"):
		compiled.kind = kindFold
	case op.Name == "StringLike", op.Name == "StringNotLike":
		syntax.wildcards = true
	case strings.HasPrefix(op.Name, "Arn"):
		compiled.kind, syntax.wildcards, syntax.arn = kindARN, true, true
	case strings.HasPrefix(op.Name, "Numeric"):
		compiled.kind, compiled.compare = kindNumber, comparisonOf(op.Name)
	case strings.HasPrefix(op.Name, "Date"):
		compiled.kind, compiled.compare = kindDate, comparisonOf(op.Name)
	case op.Name == "BinaryEquals":
		compiled.kind = kindBinary
	case strings.HasSuffix(op.Name, "IpAddress"):
		compiled.kind = kindAddress
	case op.Name == "Null":
		compiled.kind = kindNull
	case op.Name == "Bool":
		compiled.kind = kindFold // "True" is as good as "true"
	}
	for _, v := range c.Values {
		compiled.addValue(v, syntax)
	}
	return compiled, nil
}

// HasVariables reports whether ${…} has a meaning in the operator's values, in
// policies of version 2012-10-17.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-wheretouse
func HasVariables(op iam.Operator) bool {
	return op.Name == "Bool" || strings.HasPrefix(op.Name, "String") || strings.HasPrefix(op.Name, "Arn")
}

func comparisonOf(operator string) comparison {
	switch {
	case strings.HasSuffix(operator, "LessThan"):
		return less
	case strings.HasSuffix(operator, "LessThanEquals"):
		return lessOrEqual
	case strings.HasSuffix(operator, "GreaterThan"):
		return greater
	case strings.HasSuffix(operator, "GreaterThanEquals"):
		return greaterOrEqual
	}
	return equal
}

func (c *condition) addValue(v string, syntax patternSyntax) {
	switch c.kind {
	case kindPattern, kindARN, kindFold:
		p := compilePattern(v, syntax)
		c.patterns = append(c.patterns, p)
		c.anything = c.anything || p.shape == shapeAny && c.kind == kindPattern
	case kindBinary:
		c.texts = append(c.texts, strings.TrimRight(v, "="))
	case kindNumber:
		if n, ok := parseNumber(v); ok {
			c.numbers = append(c.numbers, n)
		}
	case kindDate:
		if t, ok := parseDate(v); ok {
			c.dates = append(c.dates, t)
		}
	case kindAddress:
		if n, ok := parseNetwork(v); ok {
			c.networks = append(c.networks, n)
		}
	case kindNull:
		switch strings.ToLower(v) {
		case "true":
			c.wantTrue = true
		case "false":
			c.wantFalse = true
		}
	}
}

// holds reports whether the condition is met.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
func (c *condition) holds(ctx *iam.Context) tri {
	values, multi, state := ctx.Lookup(c.key)
	if state == iam.KeyUnknown {
		return c.holdsUnknown()
	}
	missing := state == iam.KeyAbsent || len(values) == 0
	if c.kind == kindNull {
		return truth(missing && c.wantTrue || !missing && c.wantFalse)
	}
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
	switch c.set {
	case iam.SetForAllValues:
		// Every value of the request must match; of no values every one does.
		if len(values) == 1 && values[0] == "" && switchForAllValuesHoldsForEmptyString {
			return yes
		}
		result := yes
		for _, v := range values {
			result = and(result, c.matches(v, ctx))
		}
		return result
	case iam.SetForAnyValue:
		if missing {
			return truth(c.ifExists && switchIfExistsBeatsForAnyValue)
		}
		result := no
		for _, v := range values {
			result = or(result, c.matches(v, ctx))
		}
		return result
	}
	switch {
	case missing:
		return truth(c.ifExists || c.negated)
	case multi:
		return truth(switchMultivaluedWithoutSetOperator && c.negated)
	}
	return c.matches(values[0], ctx)
}

// holdsUnknown answers for a key that may be missing or have any value.
func (c *condition) holdsUnknown() tri {
	switch {
	case c.kind == kindNull && c.wantTrue && c.wantFalse:
		return yes
	case c.anything && !c.negated && (c.ifExists && switchIfExistsBeatsForAnyValue || c.set == iam.SetForAllValues):
		return yes
	}
	return maybe
}

// matches compares one value of the request with all values of the policy: one
// of them has to match, or for a negated operator none may.
func (c *condition) matches(v string, ctx *iam.Context) tri {
	result := c.matchesAny(v, ctx)
	switch {
	case !c.negated:
		return result
	case !switchNegatedHoldsForUnreadable && !c.canRead(v):
		return no
	}
	return not(result)
}

// canRead reports whether a value of the request is what the operator compares.
func (c *condition) canRead(v string) bool {
	ok := true
	switch c.kind {
	case kindNumber:
		_, ok = parseNumber(v)
	case kindDate:
		_, ok = parseDate(v)
	case kindAddress:
		_, ok = parseAddress(v)
	case kindARN:
		ok = fenceOf(v) > 0
	}
	return ok
}

func (c *condition) matchesAny(v string, ctx *iam.Context) tri {
	result := no
	switch c.kind {
	case kindPattern:
		for i := range c.patterns {
			if result = or(result, c.patterns[i].match(v, reach{}, ctx)); result == yes {
				break
			}
		}
	case kindARN:
		for i := range c.patterns {
			if result = or(result, c.patterns[i].matchARN(v, ctx)); result == yes {
				break
			}
		}
	case kindFold:
		for i := range c.patterns {
			if result = or(result, c.patterns[i].matchFold(v, ctx)); result == yes {
				break
			}
		}
	case kindBinary:
		for _, t := range c.texts {
			result = or(result, truth(strings.TrimRight(v, "=") == t))
		}
	case kindNumber:
		n, ok := parseNumber(v)
		for i := 0; ok && i < len(c.numbers); i++ {
			result = or(result, truth(c.compare.holds(n.compare(c.numbers[i]))))
		}
	case kindDate:
		t, ok := parseDate(v)
		for i := 0; ok && i < len(c.dates); i++ {
			result = or(result, truth(c.compare.holds(t.Compare(c.dates[i]))))
		}
	case kindAddress:
		a, ok := parseAddress(v)
		for i := 0; ok && i < len(c.networks); i++ {
			result = or(result, truth(c.networks[i].Contains(a)))
		}
	}
	return result
}

// matchFold compares without regard to case. There are no wildcards here, only
// literals and variables.
func (p *pattern) matchFold(s string, ctx *iam.Context) tri {
	if p.shape == shapeLiteral {
		return truth(strings.EqualFold(s, p.text))
	}
	if p.shape != shapeTemplate {
		return no
	}
	unknown := false
	for i := range p.tokens {
		text, state := p.tokens[i].text, yes
		if p.tokens[i].kind == tokenVariable {
			text, state = resolve(&p.tokens[i], ctx)
		}
		switch {
		case state == no:
			return no
		case state == maybe:
			unknown = true
		case unknown:
		case len(s) < len(text) || !strings.EqualFold(s[:len(text)], text):
			return no
		default:
			s = s[len(text):]
		}
	}
	if unknown {
		return maybe
	}
	return truth(s == "")
}
