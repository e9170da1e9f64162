package iam

import (
	"fmt"
	"strings"
)

// SetOperator says how a condition treats a key with several values.
type SetOperator int

// The set operators.
const (
	SetNone         SetOperator = iota // the key has one value
	SetForAllValues                    // every value of the request must match
	SetForAnyValue                     // at least one value of the request must match
)

// An Operator is a condition operator, taken apart.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
type Operator struct {
	Name     string // in AWS's spelling, such as "StringEquals"
	Set      SetOperator
	IfExists bool
}

var operatorNames = []string{
	"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
	"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
	"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
	"Bool", "BinaryEquals", "IpAddress", "NotIpAddress",
	"ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike", "Null",
}

// Operators returns the names of all condition operators, without prefixes and
// suffixes.
func Operators() []string { return append([]string(nil), operatorNames...) }

// ParseOperator takes a condition operator apart. Case does not matter, as in
// AWS. The error suggests the operator that was probably meant.
func ParseOperator(s string) (Operator, error) {
	var op Operator
	name := s
	if prefix, rest, ok := strings.Cut(s, ":"); ok {
		switch strings.ToLower(prefix) {
		case "forallvalues":
			op.Set = SetForAllValues
		case "foranyvalue":
			op.Set = SetForAnyValue
		default:
			return Operator{}, fmt.Errorf("unknown set operator %q; use ForAllValues or ForAnyValue", clip(prefix))
		}
		name = rest
	}
	const ifExists = "ifexists"
	if len(name) > len(ifExists) && strings.EqualFold(name[len(name)-len(ifExists):], ifExists) {
		op.IfExists = true
		name = name[:len(name)-len(ifExists)]
	}
	for _, known := range operatorNames {
		if strings.EqualFold(known, name) {
			op.Name = known
		}
	}
	switch {
	case op.Name == "":
		message := fmt.Sprintf("unknown condition operator %q", clip(s))
		if near := nearest(name, operatorNames); near != "" {
			message += fmt.Sprintf("; did you mean %q?", near)
		}
		return Operator{}, fmt.Errorf("%s", message)
	case op.Name == "Null" && op.IfExists:
		return Operator{}, fmt.Errorf("the operator Null cannot have the suffix IfExists")
	}
	return op, nil
}

// String returns the operator in AWS's spelling.
func (o Operator) String() string {
	s := o.Name
	switch o.Set {
	case SetForAllValues:
		s = "ForAllValues:" + s
	case SetForAnyValue:
		s = "ForAnyValue:" + s
	}
	if o.IfExists {
		s += "IfExists"
	}
	return s
}

// Negated reports whether the operator matches when the key's value is not
// among the condition's values. Negated operators also match when the key is
// absent.
func (o Operator) Negated() bool {
	return strings.Contains(o.Name, "Not")
}

// nearest returns the candidate that s was probably meant to be, or "" if none
// is near: at most two edits away, and at most a third of its length.
func nearest(s string, candidates []string) string {
	best, bestDistance := "", 3
	for _, c := range candidates {
		if len(s) > 2*len(c)+2 {
			continue
		}
		if d := editDistance(strings.ToLower(s), strings.ToLower(c)); d < bestDistance && 3*d <= len(c) {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance of two short strings, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
