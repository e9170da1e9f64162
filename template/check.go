package template

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

// Check returns nil for a stack AWS can create, and otherwise an [*Error] that
// lists everything AWS would refuse, each with the limit or rule and where it
// is. Parameters whose value decides about a size count with their SizeHint.
// The size of the whole document depends on the format; writers check it.
func (s *Stack) Check() error {
	c := &checker{
		parameters:  map[string]Parameter{},
		conditions:  map[string]Condition{},
		resources:   map[string]Resource{},
		attachments: map[*Role]int{},
		needed:      map[string][]string{},
	}
	c.stack(s)
	if len(c.problems) > 0 {
		return &Error{c.problems}
	}
	return nil
}

// Size returns how many characters IAM counts for a policy of this stack, with
// every reference at its longest. See [Parameter] for the SizeHint.
func (s *Stack) Size(p *iam.Policy) int {
	c := &checker{parameters: map[string]Parameter{}, resources: map[string]Resource{}}
	for _, p := range s.Parameters {
		c.parameters[p.ID] = p
	}
	for _, r := range s.Resources {
		c.resources[r.ID] = r
	}
	return c.longestPolicy(p).Size()
}

// maxParameterDescription is the documented length of a parameter's
// description, in characters.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
const maxParameterDescription = 4000

// A checker collects the problems of one stack.
type checker struct {
	parameters  map[string]Parameter // :: id → parameter
	conditions  map[string]Condition // :: id → condition
	resources   map[string]Resource  // :: logical id → resource
	attachments map[*Role]int        // managed policies of the stack attached to the role
	needed      map[string][]string  // :: logical id → those it refers to
	current     Resource             // being checked
	problems    []Problem
}

func (c *checker) problem(at, format string, args ...any) {
	c.problems = append(c.problems, Problem{at, fmt.Sprintf(format, args...)})
}

func (c *checker) stack(s *Stack) {
	c.limit("Stack", reference.CheckTemplateCounts(len(s.Parameters), 0, len(s.Resources), len(s.Outputs)))
	if len(s.Resources) == 0 {
		c.problem("Resources", "there are none; a stack needs at least one")
	}
	c.limit("Description", reference.CheckTemplateDescription(s.Description))
	c.plain("Description", s.Description)
	c.plain("Metadata.Version", s.Metadata.Version)
	c.plain("Metadata.Generator", s.Metadata.Generator)

	ids := map[string]string{} // :: id in snake case → field that has it
	id := func(at, id string) {
		name := SnakeCase(id)
		switch earlier, taken := ids[name]; {
		case reference.CheckLogicalID(id) != nil:
			c.problem(at, "%v", reference.CheckLogicalID(id))
		case taken:
			c.problem(at, "id %q is taken by %s; ids must differ in more than their case", id, earlier)
		}
		ids[name] = at
	}
	for i, p := range s.Parameters {
		id(index("Parameters", i), p.ID)
		c.parameters[p.ID] = p
	}
	for i, r := range s.Resources {
		id(index("Resources", i), r.ID)
		c.resources[r.ID] = r
	}
	clear(ids) // conditions and outputs have their own names
	for i, d := range s.Conditions {
		id(index("Conditions", i), d.ID)
		c.conditions[d.ID] = d
	}
	clear(ids)
	for i, o := range s.Outputs {
		id(index("Outputs", i), o.ID)
	}

	for _, p := range s.Parameters {
		c.parameter("Parameters."+p.ID, p)
	}
	for _, d := range s.Conditions {
		c.condition("Conditions."+d.ID, d.Expr, []string{d.ID})
	}
	for _, r := range s.Resources {
		c.resource(r)
	}
	c.current = Resource{}
	c.cycles(s)
	for _, r := range s.Resources {
		if role, ok := r.Kind.(*Role); ok {
			if n := c.attachments[role] + len(role.ManagedPolicyARNs); n > reference.MaxManagedPoliciesPerRole {
				c.problem("Resources."+r.ID, "has %d managed policies; a role may have %d attached", n, reference.MaxManagedPoliciesPerRole)
			}
		}
	}
	for _, o := range s.Outputs {
		at := "Outputs." + o.ID
		if len(o.Description) > reference.MaxTemplateDescription {
			c.problem(at+".Description", "has %d bytes; an output's description may have %d", len(o.Description), reference.MaxTemplateDescription)
		}
		c.plain(at+".Description", o.Description)
		if o.Value == "" {
			c.problem(at+".Value", "is empty")
		}
		c.text(at+".Value", o.Value, false)
	}
}

func (c *checker) parameter(at string, p Parameter) {
	c.plain(at+".Label", p.Label)
	c.plain(at+".Description", p.Description)
	c.plain(at+".Constraint", p.Constraint)
	if n := utf8.RuneCountInString(p.Description); n > maxParameterDescription {
		c.problem(at+".Description", "has %d characters; a parameter's description may have %d", n, maxParameterDescription)
	}
	if p.MinLength < 0 || p.MaxLength < 0 || p.MaxLength > 0 && p.MinLength > p.MaxLength {
		c.problem(at, "lengths %d to %d leave no legal value", p.MinLength, p.MaxLength)
	}
	if strings.Contains(p.Pattern, `\`) || strings.Contains(p.Pattern, "(?") {
		c.problem(at+".Pattern", "contains a backslash or \"(?\"; formats disagree about what they mean")
	} else if _, err := regexp.Compile(p.Pattern); err != nil {
		c.problem(at+".Pattern", "is no regular expression: %v", err)
	}
	for i, v := range p.AllowedValues {
		c.plain(index(at+".AllowedValues", i), v)
	}
	if p.Default != nil {
		c.plain(at+".Default", *p.Default)
		if err := p.Accepts(*p.Default); err != nil {
			c.problem(at+".Default", "%v", err)
		}
	}
}

// Accepts returns why the parameter cannot have this value, or nil. The error
// does not repeat the value.
func (p Parameter) Accepts(value string) error {
	n := utf8.RuneCountInString(value)
	rule := p.Constraint
	if rule != "" {
		rule = ": " + rule
	}
	switch {
	case len(value) > reference.MaxTemplateParameterValue:
		return reference.CheckParameterValue(value)
	case strings.ContainsFunc(value, unicode.IsControl) || !utf8.ValidString(value):
		return fmt.Errorf("contains a control character or is not UTF-8")
	case n < p.MinLength:
		return fmt.Errorf("has %d characters; needs at least %d", n, p.MinLength)
	case p.MaxLength > 0 && n > p.MaxLength:
		return fmt.Errorf("has %d characters; may have at most %d", n, p.MaxLength)
	case len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, value):
		return fmt.Errorf("must be one of %s", strings.Join(p.AllowedValues, ", "))
	case p.Type == Number && !numberPattern.MatchString(value):
		return fmt.Errorf("must be a number")
	}
	if p.Pattern != "" {
		pattern, err := regexp.Compile("^(?:" + p.Pattern + ")$")
		if err != nil || !pattern.MatchString(value) {
			return fmt.Errorf("must match %s%s", p.Pattern, rule)
		}
	}
	return nil
}

var numberPattern = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

func (c *checker) condition(at string, e Expr, path []string) {
	list := func(n int) {
		if n < 2 || n > 10 {
			c.problem(at, "And and Or take 2 to 10 expressions, not %d", n)
		}
	}
	switch e := e.(type) {
	case Equals:
		for _, s := range []string{e.A, e.B} {
			for _, part := range Parts(s) {
				switch part.(type) {
				case Literal, ParameterRef, Variable:
				default:
					c.problem(at, "a condition can only compare text, parameters and variables")
				}
			}
			c.text(at, s, false)
		}
	case Not:
		c.condition(at, e.Expr, path)
	case And:
		list(len(e))
		for _, sub := range e {
			c.condition(at, sub, path)
		}
	case Or:
		list(len(e))
		for _, sub := range e {
			c.condition(at, sub, path)
		}
	case Is:
		other, ok := c.conditions[string(e)]
		switch {
		case !ok:
			c.problem(at, "there is no condition %q", clip(string(e)))
		case slices.Contains(path, other.ID):
			c.problem(at, "depends on itself through %s", strings.Join(path, ", "))
		default:
			c.condition(at, other.Expr, append(path[:len(path):len(path)], other.ID))
		}
	default:
		c.problem(at, "has no expression")
	}
}

func (c *checker) resource(r Resource) {
	at := "Resources." + r.ID
	c.current = r
	if r.Condition != "" {
		c.needsCondition(at+".Condition", r.Condition)
	}
	if r.Kind == nil {
		c.problem(at, "has no kind")
		return
	}
	r.Kind.rewrite(func(at, s string, element bool) (string, bool) {
		c.text(at, s, element)
		return s, true
	}, at)
	r.Kind.check(c, at)
}

// text checks the references of one string.
func (c *checker) text(at, s string, element bool) {
	if !utf8.ValidString(s) {
		c.problem(at, "is not valid UTF-8")
		return
	}
	parts := Parts(s)
	for i, part := range parts {
		switch part := part.(type) {
		case Literal:
			if strings.ContainsRune(string(part), 0) {
				c.problem(at, "contains a NUL character")
			}
			c.dynamic(at, string(part))
			if i+1 < len(parts) && endsLikeDynamic(string(part)) {
				if _, ok := parts[i+1].(ParameterRef); ok {
					c.problem(at, "becomes a dynamic reference of CloudFormation ({{resolve:) with some values of parameter %q; put other text before it", parts[i+1])
				}
			}
		case ParameterRef:
			if _, ok := c.parameters[string(part)]; !ok {
				c.problem(at, "there is no parameter %q", part)
			}
		case AttributeRef:
			r, ok := c.resources[part.Resource]
			if !ok || r.Kind == nil {
				c.problem(at, "there is no resource %q", clip(part.Resource))
				continue
			}
			if _, ok := r.Kind.attributes()[part.Attribute]; !ok {
				c.problem(at, "%s has no attribute %q", r.Kind.Type(), clip(part.Attribute))
			}
			c.needs(at, r)
		case Conditional:
			if len(parts) > 1 {
				c.problem(at, "If must be the whole of a string")
			}
			c.needsCondition(at, part.Condition)
			c.unconditional(at, part.Then, part.Otherwise)
		case OptionalElement:
			if !element || len(parts) > 1 || strings.HasSuffix(at, "[0]") {
				c.problem(at, "Optional must be the whole of a list's element, and not of its first")
			}
			c.needsCondition(at, part.Condition)
			c.unconditional(at, part.Value)
		case Unknown:
			c.problem(at, "contains an unknown reference")
		}
	}
}

func (c *checker) unconditional(at string, texts ...string) {
	for _, s := range texts {
		for _, part := range Parts(s) {
			switch part.(type) {
			case Conditional, OptionalElement:
				c.problem(at, "If and Optional cannot be nested")
				return
			}
		}
		c.text(at, s, false)
	}
}

// needs checks that r exists whenever the current resource does, and notes that
// it must exist before.
func (c *checker) needs(at string, r Resource) {
	c.needed[c.current.ID] = append(c.needed[c.current.ID], r.ID)
	if r.Condition != "" && r.Condition != c.current.Condition {
		c.problem(at, "refers to %s, which exists only while condition %s holds", r.ID, r.Condition)
	}
}

// cycles reports resources that would have to exist before themselves.
func (c *checker) cycles(s *Stack) {
	state := map[string]int{} // :: logical id → 1 while it is visited, 2 after
	var visit func(id string)
	visit = func(id string) {
		state[id] = 1
		for _, other := range c.needed[id] {
			switch state[other] {
			case 0:
				visit(other)
			case 1:
				c.problem("Resources."+id, "depends on itself through %s", other)
			}
		}
		state[id] = 2
	}
	for _, r := range s.Resources {
		if state[r.ID] == 0 {
			visit(r.ID)
		}
	}
}

func (c *checker) needsCondition(at, id string) {
	if _, ok := c.conditions[id]; !ok {
		c.problem(at, "there is no condition %q", clip(id))
	}
}

// plain checks text that cannot contain references.
func (c *checker) plain(at, s string) {
	c.dynamic(at, s)
	switch {
	case !utf8.ValidString(s):
		c.problem(at, "is not valid UTF-8")
	case iam.HasSymbol(s):
		c.problem(at, "cannot contain references")
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		c.problem(at, "contains a control character")
	}
}

// dynamicReference begins a reference that CloudFormation replaces by a value of
// the customer's Parameter Store or Secrets Manager, wherever it is in a
// template and after all functions. Nothing we write means that.
//
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
const dynamicReference = "{{resolve:"

// HasDynamicReference reports whether literal text contains a dynamic reference
// of CloudFormation, such as "{{resolve:ssm:name}}". A stack with one does not
// pass Check.
func HasDynamicReference(s string) bool {
	return strings.Contains(strings.ToLower(s), dynamicReference)
}

func (c *checker) dynamic(at, s string) {
	if HasDynamicReference(s) {
		c.problem(at, "contains {{resolve:, a dynamic reference, which CloudFormation would replace by a value of the account the stack is in; write it out or leave it out")
	}
}

// endsLikeDynamic reports whether text ends in the beginning of a dynamic
// reference, which what follows may complete.
func endsLikeDynamic(s string) bool {
	s = strings.ToLower(s)
	for n := 1; n < len(dynamicReference); n++ {
		if strings.HasSuffix(s, dynamicReference[:n]) {
			return true
		}
	}
	return false
}

func index(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }

// clip keeps messages readable when somebody passes ten thousand characters.
func clip(s string) string {
	const limit = 100
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
