package cfnapi

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// masked is what CloudFormation shows instead of the value of a parameter with
// NoEcho.
const masked = "****"

const maxParameterValue = 4096 // bytes

// A parameterValue is a parameter with the value it has in one revision.
type parameterValue struct {
	name   string
	value  string
	noEcho bool
	node   *cfn.Node // a string, or a list for list types
}

func (p parameterValue) shown() string {
	if p.noEcho {
		return masked
	}
	return p.value
}

// scopeParameters returns the values as the evaluator wants them.
func scopeParameters(values []parameterValue) map[string]*cfn.Node {
	m := make(map[string]*cfn.Node, len(values))
	for _, v := range values {
		m[v.name] = v.node
	}
	return m
}

func invalid(format string, args ...any) error {
	return wire.BadRequest("ValidationError", format, args...)
}

// bindParameters gives every parameter of a template its value: the one given,
// the previous one, or the default. Previous is nil when a stack is created.
// Messages name parameters and rules and never repeat a value.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
func bindParameters(t *cfn.Template, given []Parameter, previous []parameterValue) ([]parameterValue, error) {
	byKey := make(map[string]Parameter)
	var unknown []string
	for _, g := range given {
		if _, twice := byKey[g.ParameterKey]; twice {
			return nil, invalid("Parameter %s is given more than once", clip(g.ParameterKey))
		}
		byKey[g.ParameterKey] = g
		if t.Parameter(g.ParameterKey) == nil {
			unknown = append(unknown, clip(g.ParameterKey))
		}
	}
	if len(unknown) > 0 {
		return nil, invalid("Parameters: [%s] do not exist in the template", strings.Join(unknown, ", "))
	}
	var values []parameterValue
	var missing []string
	for _, p := range t.Parameters {
		value, ok, err := chooseValue(p, byKey, previous)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, p.Name)
			continue
		}
		node, err := checkValue(p, value)
		if err != nil {
			return nil, err
		}
		values = append(values, parameterValue{name: p.Name, value: value, noEcho: p.NoEcho, node: node})
	}
	if len(missing) > 0 {
		return nil, invalid("Parameters: [%s] must have values", strings.Join(missing, ", "))
	}
	return values, nil
}

// chooseValue picks the value of one parameter; ok is false if it has none.
func chooseValue(p *cfn.Parameter, given map[string]Parameter, previous []parameterValue) (value string, ok bool, err error) {
	g, isGiven := given[p.Name]
	if isGiven && g.UsePreviousValue != nil && *g.UsePreviousValue {
		if g.ParameterValue != nil && *g.ParameterValue != "" {
			return "", false, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true and a non empty value for a parameter", p.Name)
		}
		for _, old := range previous {
			if old.name == p.Name {
				return old.value, true, nil
			}
		}
		return "", false, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true for a parameter key not in the previous template", p.Name)
	}
	if isGiven && g.ParameterValue != nil {
		return *g.ParameterValue, true, nil
	}
	if p.Default != nil {
		return p.Default.Text, true, nil
	}
	return "", false, nil
}

// checkDeclarations refuses parameter declarations that no value could satisfy
// or that the sandbox cannot check.
func checkDeclarations(t *cfn.Template) error {
	for _, p := range t.Parameters {
		switch p.Type {
		case "String", "Number", "CommaDelimitedList", "List<Number>":
		default:
			if strings.HasPrefix(p.Type, "AWS::") || strings.HasPrefix(p.Type, "List<AWS::") {
				return invalid("Template format error: the sandbox does not support the parameter type %s (parameter %s); it has String, Number, CommaDelimitedList and List<Number>", p.Type, p.Name)
			}
			return invalid("Template format error: Unrecognized parameter type: %s", p.Type)
		}
		if p.AllowedPattern != "" {
			if _, err := compilePattern(p); err != nil {
				return err
			}
		}
		for _, limit := range []struct {
			attribute string
			node      *cfn.Node
			whole     bool
		}{
			{"MinLength", p.MinLength, true}, {"MaxLength", p.MaxLength, true},
			{"MinValue", p.MinValue, false}, {"MaxValue", p.MaxValue, false},
		} {
			if limit.node == nil {
				continue
			}
			if _, err := strconv.ParseFloat(limit.node.Text, 64); err != nil {
				return invalid("Template format error: %s of parameter %s must be a number", limit.attribute, p.Name)
			}
			if _, err := strconv.Atoi(limit.node.Text); limit.whole && err != nil {
				return invalid("Template format error: %s of parameter %s must be a whole number", limit.attribute, p.Name)
			}
		}
	}
	return nil
}

// compilePattern compiles an AllowedPattern, which must match the whole value.
// CloudFormation uses Java's expressions; those with lookaround,
// backreferences or possessive quantifiers are refused, because Go's linear
// time matcher has none of them.
func compilePattern(p *cfn.Parameter) (*regexp.Regexp, error) {
	re, err := regexp.Compile(`\A(?:` + p.AllowedPattern + `)\z`)
	if err != nil {
		return nil, invalid("Template error: AllowedPattern of parameter %s is not a regular expression the sandbox can match; lookaround, backreferences and possessive quantifiers are not supported", p.Name)
	}
	return re, nil
}

// checkValue checks a value against its declaration and returns it as the
// evaluator wants it.
func checkValue(p *cfn.Parameter, value string) (*cfn.Node, error) {
	if len(value) > maxParameterValue {
		return nil, invalid("Parameter '%s' is longer than %d bytes", p.Name, maxParameterValue)
	}
	items := []string{value}
	isList := p.Type == "CommaDelimitedList" || p.Type == "List<Number>"
	if isList {
		items = splitList(value)
	}
	for _, item := range items {
		if rule := brokenRule(p, item); rule != "" {
			if p.ConstraintDescription != "" {
				return nil, invalid("Parameter '%s' failed to satisfy constraint: %s", p.Name, p.ConstraintDescription)
			}
			return nil, invalid("Parameter '%s' %s", p.Name, rule)
		}
	}
	if isList {
		return cfn.NewTextList(items), nil
	}
	return cfn.NewText(value), nil
}

func splitList(value string) []string {
	if value == "" {
		return nil
	}
	items := strings.Split(value, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// brokenRule returns the rule that a value breaks, or "".
func brokenRule(p *cfn.Parameter, value string) string {
	if len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, value) {
		return "must be one of AllowedValues"
	}
	if p.Type == "Number" || p.Type == "List<Number>" {
		return brokenNumberRule(p, value)
	}
	length := len([]rune(value))
	if p.MinLength != nil && float64(length) < number(p.MinLength) {
		return "must contain at least " + p.MinLength.Text + " characters"
	}
	if p.MaxLength != nil && float64(length) > number(p.MaxLength) {
		return "must contain at most " + p.MaxLength.Text + " characters"
	}
	if p.AllowedPattern != "" {
		re, err := compilePattern(p)
		if err != nil || !re.MatchString(value) {
			return "must match pattern " + p.AllowedPattern
		}
	}
	return ""
}

func brokenNumberRule(p *cfn.Parameter, value string) string {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || strings.ContainsAny(value, "xXpP_iInN") {
		if p.Type == "List<Number>" {
			return "must be a list of numbers"
		}
		return "must be a number"
	}
	if p.MinValue != nil && v < number(p.MinValue) {
		return "must be a number not less than " + p.MinValue.Text
	}
	if p.MaxValue != nil && v > number(p.MaxValue) {
		return "must be a number not greater than " + p.MaxValue.Text
	}
	return ""
}

// number reads a limit that checkDeclarations has accepted.
func number(n *cfn.Node) float64 {
	v, _ := strconv.ParseFloat(n.Text, 64)
	return v
}
