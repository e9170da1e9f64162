package lint

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/reference"
)

var contradictionRules = []Rule{
	{
		ID:       "GX-C08",
		Title:    "two conditions on one key cannot both hold",
		Why:      "all conditions of a statement must hold, so the statement never applies",
		Fix:      "put alternatives into one list of values, or into statements of their own",
		Link:     "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html",
		Severity: Error,
		check:    checkContradictions,
	},
}

// A demand is a condition on a key with one value that only holds if the key is
// there.
type demand struct {
	iam.Condition
	op iam.Operator
}

// checkContradictions compares the conditions of a statement in pairs. A
// condition that also holds without its key contradicts nothing by itself.
func checkContradictions(r *reporter) {
	r.statements(func(path string, s *iam.Statement) {
		const most = 60 // far more than a policy can hold; bounds the work on hostile input
		if len(s.Conditions) < 2 || len(s.Conditions) > most {
			return
		}
		var all []demand
		for _, c := range s.Conditions {
			op, err := iam.ParseOperator(c.Operator)
			if err != nil || op.Set != iam.SetNone || len(c.Values) == 0 || len(c.Values) > most || slices.ContainsFunc(c.Values, open) {
				continue
			}
			if key, ok := reference.LookupKey(c.Key); ok && key.Type.Multivalued {
				continue
			}
			all = append(all, demand{c, op})
		}
		for i, second := range all {
			for _, first := range all[:i] {
				if strings.EqualFold(first.Key, second.Key) && contradict(first, second) {
					r.report(Error, conditionPath(path, second.Condition), "", "%s and %s on %s cannot both hold", first.Operator, second.Operator, clip(second.Key))
					break
				}
			}
		}
	})
}

// contradict reports whether no value, and not the key's absence either, meets
// both conditions.
func contradict(a, b demand) bool {
	if a.op.Name == "Null" {
		a, b = b, a
	}
	if b.op.Name == "Null" {
		return contradictsNull(a, b)
	}
	// Absence meets an operator that is negated or has IfExists.
	if (a.op.Negated() || a.op.IfExists) && (b.op.Negated() || b.op.IfExists) {
		return false
	}
	switch kind := operatorKind(a.op); {
	case kind != operatorKind(b.op) && !(isTextual(a.op) && isTextual(b.op)):
		return false
	case kind == reference.KeyNumeric || kind == reference.KeyDate:
		return emptyRange(a, b)
	case kind == reference.KeyBool:
		return !slices.ContainsFunc(a.Values, func(v string) bool {
			return slices.ContainsFunc(b.Values, func(w string) bool { return strings.EqualFold(v, w) })
		})
	case !isTextual(a.op):
		return false
	case a.op.Negated():
		return excludesAll(b, a)
	case b.op.Negated():
		return excludesAll(a, b)
	}
	// Asterisks that are ordinary characters, and case that matters, are not
	// told apart here, which can only find more values that meet both.
	return !slices.ContainsFunc(a.Values, func(v string) bool {
		return slices.ContainsFunc(b.Values, func(w string) bool { return reference.Overlap(strings.ToLower(v), strings.ToLower(w)) })
	})
}

func contradictsNull(a, null demand) bool {
	absent := slices.ContainsFunc(null.Values, func(v string) bool { return strings.EqualFold(v, "true") })
	present := slices.ContainsFunc(null.Values, func(v string) bool { return strings.EqualFold(v, "false") })
	if a.op.Name == "Null" {
		other := slices.ContainsFunc(a.Values, func(v string) bool { return strings.EqualFold(v, "true") })
		return len(a.Values) == 1 && len(null.Values) == 1 && other != absent
	}
	return absent && !present && !a.op.Negated() && !a.op.IfExists
}

// isTextual reports whether an operator compares text. ARN operators compare
// part by part, which only ever makes them match less.
func isTextual(op iam.Operator) bool {
	return op.Name != "BinaryEquals" && (strings.HasPrefix(op.Name, "String") || strings.HasPrefix(op.Name, "Arn"))
}

// excludesAll reports whether a negated condition excludes every value that a
// positive one lists.
func excludesAll(positive, negated demand) bool {
	fold := strings.Contains(negated.op.Name, "IgnoreCase")
	return !slices.ContainsFunc(positive.Values, func(v string) bool {
		return !slices.ContainsFunc(negated.Values, func(w string) bool {
			if v == w || fold && strings.EqualFold(v, w) && !hasWildcard(v) {
				return !hasWildcard(v) || isLike(negated.op) || !isLike(positive.op)
			}
			return negated.op.Name == "StringNotLike" && iam.MatchWildcard(w, v)
		})
	})
}

func isLike(op iam.Operator) bool {
	return strings.HasSuffix(op.Name, "Like") || strings.HasPrefix(op.Name, "Arn")
}

// emptyRange reports whether two comparisons of numbers or dates leave nothing
// between them. Only single values are judged.
func emptyRange(a, b demand) bool {
	if len(a.Values) != 1 || len(b.Values) != 1 || a.op.Negated() || b.op.Negated() {
		return false
	}
	lowA, highA, okA := bounds(a)
	lowB, highB, okB := bounds(b)
	if !okA || !okB {
		return false
	}
	low, high := lowA, highA
	if lowB.at > low.at || lowB.at == low.at && lowB.open {
		low = lowB
	}
	if highB.at < high.at || highB.at == high.at && highB.open {
		high = highB
	}
	return low.at > high.at || low.at == high.at && (low.open || high.open)
}

type bound struct {
	at   float64
	open bool // the bound itself is left out
}

// bounds returns the range of values that meet a comparison.
func bounds(d demand) (low, high bound, ok bool) {
	const infinity = 1e300
	n, ok := numberOf(d.op, d.Values[0])
	low, high = bound{at: -infinity}, bound{at: infinity}
	switch {
	case strings.HasSuffix(d.op.Name, "GreaterThan"):
		low = bound{n, true}
	case strings.HasSuffix(d.op.Name, "GreaterThanEquals"):
		low = bound{n, false}
	case strings.HasSuffix(d.op.Name, "LessThan"):
		high = bound{n, true}
	case strings.HasSuffix(d.op.Name, "LessThanEquals"):
		high = bound{n, false}
	default:
		low, high = bound{n, false}, bound{n, false}
	}
	return low, high, ok
}

func numberOf(op iam.Operator, value string) (float64, bool) {
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return n, true
	}
	if operatorKind(op) == reference.KeyDate {
		if t, err := time.Parse(time.RFC3339, value); err == nil {
			return float64(t.Unix()), true
		}
	}
	return 0, false
}
