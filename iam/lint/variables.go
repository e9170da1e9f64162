package lint

import (
	"strings"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

func checkVariables(r *reporter) {
	if r.policy.Version != iam.Version2012 {
		return // GX-S04
	}
	r.reportUnreplaced()
	eachVariableText(r, func(path, text string) {
		for {
			start := strings.Index(text, "${")
			if start < 0 {
				return
			}
			text = text[start+2:]
			end := strings.IndexByte(text, '}')
			if end < 0 {
				r.report(Error, path, "", "a policy variable has no closing brace")
				return
			}
			if fault := faultOfVariable(text[:end]); fault != "" {
				r.report(Error, path, "", "the policy variable %q %s", "${"+clip(text[:end])+"}", fault)
			}
			text = text[end+1:]
		}
	})
}

// reportUnreplaced reports variables where AWS does not replace any.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-wheretouse
func (r *reporter) reportUnreplaced() {
	report := func(path, where string) {
		r.report(Error, path, "use variables in Resource and in values of String and ARN operators only", "variables are not replaced in %s", where)
	}
	eachAction(r, func(path, action string, _ *iam.Statement) {
		if strings.Contains(action, "${") {
			report(path, "actions")
		}
	})
	eachPrincipal(r, func(path, _, principal string) {
		if strings.Contains(principal, "${") {
			report(path, "principals")
		}
	})
	eachCondition(r, func(path string, c iam.Condition, _ *iam.Statement) {
		op, err := iam.ParseOperator(c.Operator)
		if err != nil || op.Name != "Null" && op.Name != "BinaryEquals" && (operatorKind(op) == reference.KeyString || operatorKind(op) == reference.KeyARN) {
			return
		}
		values(path, c.Values, func(path, value string) {
			if strings.Contains(value, "${") {
				report(path, "values of "+op.Name)
			}
		})
	})
}

func faultOfVariable(v string) string {
	if iam.HasSymbol(v) || v == "*" || v == "?" || v == "$" {
		return ""
	}
	key, fallback, hasFallback := strings.Cut(v, ",")
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return "is empty"
	case strings.ContainsAny(key, "${\"'"):
		return "has a brace, dollar or quote in its name"
	case !strings.Contains(key, ":"):
		return "names no condition key"
	}
	if hasFallback {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return "has a default that is not in single quotes"
		}
	}
	return ""
}
