package lint

import (
	"fmt"
	"strings"

	"github.com/crossaccount/crossaccount/iam"
)

// clip shortens text from the document for a message and shows its symbols by
// name.
func clip(s string) string {
	s = iam.ReplaceSymbols(s, func(id string) string { return "<" + id + ">" })
	const limit = 120
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// conditionPath is the path of a condition, see [iam.Policy.Position].
func conditionPath(statement string, c iam.Condition) string {
	return statement + ".Condition." + c.Operator + "." + c.Key
}

// eachVariableText calls visit for every text in which policy variables are
// replaced.
func eachVariableText(r *reporter, visit func(path, text string)) {
	r.statements(func(path string, s *iam.Statement) {
		values(path+".Resource", s.Resource, visit)
		values(path+".NotResource", s.NotResource, visit)
		for _, c := range s.Conditions {
			values(conditionPath(path, c), c.Values, visit)
		}
	})
}

// open reports whether part of s is not known before the policy is used: a
// symbol or a policy variable.
func open(s string) bool { return iam.HasSymbol(s) || strings.Contains(s, "${") }

// hasWildcard reports whether s has a wildcard outside policy variables.
func hasWildcard(s string) bool {
	return strings.ContainsAny(withoutVariables(s), "*?")
}

// allWildcards reports whether s matches every text.
func allWildcards(s string) bool { return s != "" && strings.Trim(s, "*") == "" }

// withoutVariables removes policy variables, among them ${*}, which stands for
// a literal asterisk.
func withoutVariables(s string) string {
	var b strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			return b.String() + s
		}
		b.WriteString(s[:start])
		end := strings.IndexByte(s[start:], '}')
		if end < 0 {
			return b.String()
		}
		s = s[start+end+1:]
	}
}
