package eval_test

import (
	"encoding/base64"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/iam/eval"
)

// This file reads statements as the documentation describes them, one by one
// and with no thought of speed: regular expressions for wildcards, rationals
// for numbers, nothing prepared. Compiled policies must agree with it.

// interpret decides a request of an account's own user under one policy.
func interpret(p *iam.Policy, r *iam.Request) eval.Verdict {
	verdict := eval.ImplicitlyDenied
	for i := range p.Statements {
		s := &p.Statements[i]
		if !interpretStatement(s, r, p.Version == iam.Version2012) {
			continue
		}
		if s.Effect == iam.Deny {
			return eval.ExplicitlyDenied
		}
		verdict = eval.Allowed
	}
	return verdict
}

func interpretStatement(s *iam.Statement, r *iam.Request, variables bool) bool {
	action := func(a string) bool { return glob(a, "(?is)", ".").MatchString(r.Action) }
	if slices.ContainsFunc(s.Action, action) == (s.NotAction != nil) && s.Action != nil || slices.ContainsFunc(s.NotAction, action) {
		return false
	}
	unresolved := false
	resource := func(written string) bool {
		expression, ok := resourceExpression(written, r, variables)
		if !ok {
			unresolved = true
			return false
		}
		return expression.MatchString(r.Resource)
	}
	if s.Resource != nil && !slices.ContainsFunc(s.Resource, resource) {
		return false
	}
	if s.NotResource != nil {
		spared := false
		for _, written := range s.NotResource {
			spared = resource(written) || spared
		}
		if spared || unresolved && s.Effect == iam.Allow {
			return false
		}
	}
	return !slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool { return !interpretCondition(&c, &r.Context, variables) })
}

// glob makes a regular expression of a pattern; any is what a wildcard matches.
func glob(pattern, flags, any string) *regexp.Regexp {
	var b strings.Builder
	for _, c := range pattern {
		switch c {
		case '*':
			b.WriteString(any + "*")
		case '?':
			b.WriteString(any)
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return regexp.MustCompile(flags + "^" + b.String() + "$")
}

var variable = regexp.MustCompile(`\$\{([^},]+)(?:, *'([^']*)' *)?\}`)

// substitute replaces variables. The text that comes in is quoted, as it must
// not act as a wildcard; literal turns what is between them into a pattern.
func substitute(written string, ctx *iam.Context, literal func(string) string) (string, bool) {
	var b strings.Builder
	from := 0
	for _, at := range variable.FindAllStringSubmatchIndex(written, -1) {
		b.WriteString(literal(written[from:at[0]]))
		from = at[1]
		key := strings.TrimSpace(written[at[2]:at[3]])
		values, multi, state := ctx.Lookup(key)
		switch {
		case key == "*" || key == "?" || key == "$":
			b.WriteString(regexp.QuoteMeta(key))
		case state == iam.KeyGiven && !multi:
			b.WriteString(regexp.QuoteMeta(values[0]))
		case at[4] >= 0:
			b.WriteString(regexp.QuoteMeta(written[at[4]:at[5]]))
		default:
			return "", false
		}
	}
	b.WriteString(literal(written[from:]))
	return b.String(), true
}

// wildcards writes a pattern as a regular expression without anchors.
func wildcards(any string) func(string) string {
	return func(s string) string {
		expression := glob(s, "", any).String()
		return expression[1 : len(expression)-1]
	}
}

func resourceExpression(written string, r *iam.Request, variables bool) (*regexp.Regexp, bool) {
	// A * at the very end may match colons, others only after the fifth.
	end := ""
	if strings.HasSuffix(written, "*") {
		written, end = strings.TrimRight(written, "*"), ".*"
	}
	segments := strings.SplitN(written, ":", 6)
	var b strings.Builder
	for i, segment := range segments {
		any := "[^:]"
		if i == 5 || !strings.HasPrefix(r.Resource, "arn:") || strings.Count(r.Resource, ":") < 5 {
			any = "."
		}
		if i > 0 {
			b.WriteByte(':')
		}
		switch {
		case !variables:
			b.WriteString(wildcards(any)(segment))
		case i < 5 && variable.MatchString(segment):
			return regexp.MustCompile(`[^\s\S]`), true // matches nothing
		default:
			text, ok := substitute(segment, &r.Context, wildcards(any))
			if !ok {
				return nil, false
			}
			b.WriteString(text)
		}
	}
	return regexp.MustCompile("(?s)^" + b.String() + end + "$"), true
}

func interpretCondition(c *iam.Condition, ctx *iam.Context, variables bool) bool {
	op, err := iam.ParseOperator(c.Operator)
	if err != nil {
		panic(err)
	}
	values, multi, state := ctx.Lookup(c.Key)
	missing := state != iam.KeyGiven || len(values) == 0
	if op.Name == "Null" {
		want := "false"
		if missing {
			want = "true"
		}
		return slices.Contains(c.Values, want)
	}
	one := func(v string) bool {
		positive := strings.Replace(op.Name, "Not", "", 1)
		matched := slices.ContainsFunc(c.Values, func(written string) bool { return interpretValue(positive, written, v, ctx, variables) })
		return matched != op.Negated()
	}
	switch {
	case op.Set == iam.SetForAllValues:
		return missing || slices.Equal(values, []string{""}) || !slices.ContainsFunc(values, func(v string) bool { return !one(v) })
	case missing:
		return op.IfExists || op.Set == iam.SetNone && op.Negated()
	case op.Set == iam.SetForAnyValue:
		return slices.ContainsFunc(values, one)
	}
	return !multi && one(values[0])
}

func interpretValue(operator, written, v string, ctx *iam.Context, variables bool) bool {
	number := func(s string) (*big.Rat, bool) {
		if strings.ContainsAny(s, "/_") {
			return nil, false
		}
		return new(big.Rat).SetString(s)
	}
	compare := func(order int) bool {
		switch {
		case strings.HasSuffix(operator, "LessThan"):
			return order < 0
		case strings.HasSuffix(operator, "LessThanEquals"):
			return order <= 0
		case strings.HasSuffix(operator, "GreaterThan"):
			return order > 0
		case strings.HasSuffix(operator, "GreaterThanEquals"):
			return order >= 0
		}
		return order == 0
	}
	quote := regexp.QuoteMeta
	switch operator {
	case "StringEquals", "StringEqualsIgnoreCase", "Bool", "StringLike":
		literal, flags := quote, "(?s)"
		if operator == "StringLike" {
			literal = wildcards(".")
		}
		if operator == "StringEqualsIgnoreCase" || operator == "Bool" {
			flags = "(?is)"
		}
		text := literal(written)
		if variables {
			var ok bool
			if text, ok = substitute(written, ctx, literal); !ok {
				return false
			}
		}
		return regexp.MustCompile(flags + "^" + text + "$").MatchString(v)
	case "ArnEquals", "ArnLike":
		if strings.Count(v, ":") < 5 {
			return false
		}
		if written == "*" {
			return true
		}
		segments, have := strings.SplitN(written, ":", 6), strings.SplitN(v, ":", 6)
		if len(segments) != 6 {
			return false
		}
		for i := range segments {
			text := wildcards(".")(segments[i])
			if variables {
				var ok bool
				if text, ok = substitute(segments[i], ctx, wildcards(".")); !ok {
					return false
				}
			}
			if !regexp.MustCompile("(?s)^" + text + "$").MatchString(have[i]) {
				return false
			}
		}
		return true
	case "BinaryEquals":
		a, errA := base64.StdEncoding.DecodeString(written)
		b, errB := base64.StdEncoding.DecodeString(v)
		return errA == nil && errB == nil && string(a) == string(b)
	case "IpAddress":
		address, err := netip.ParseAddr(v)
		if !strings.Contains(written, "/") {
			same, wrong := netip.ParseAddr(written)
			return err == nil && wrong == nil && same == address
		}
		network, wrong := netip.ParsePrefix(written)
		return err == nil && wrong == nil && network.Contains(address)
	}
	if strings.HasPrefix(operator, "Numeric") {
		a, okA := number(v)
		b, okB := number(written)
		return okA && okB && compare(a.Cmp(b))
	}
	date := func(s string) (time.Time, bool) {
		if seconds, ok := number(s); ok && seconds.IsInt() {
			return time.Unix(seconds.Num().Int64(), 0), true
		}
		t, err := time.Parse(time.RFC3339, s)
		return t, err == nil
	}
	a, okA := date(v)
	b, okB := date(written)
	return okA && okB && compare(a.Compare(b))
}

// Values that meet each other often, for every kind of operator.
var valuesOf = map[string][]string{
	"String":  {"red", "Red", "r*", "r?d", "*", "", "blue", "${aws:username}", "${aws:username}-*", "${aws:none, 'red'}", "${aws:none}", "${*}", "x${$}y"},
	"Bool":    {"true", "false", "True", "${aws:username}"},
	"Numeric": {"10", "10.0", "-1", "9.5", "x", "${aws:username}"},
	"Date":    {"2026-01-01T00:00:00Z", "1767225600", "2026-01-01T01:00:00+01:00", "2025-06-01T00:00:00Z", "yesterday"},
	"Binary":  {"QUE=", "QUI=", "QQ=="},
	"Ip":      {"203.0.113.0/24", "203.0.113.7", "2001:db8::/32", "2001:db8::1", "x"},
	"NotIp":   {"203.0.113.0/24", "203.0.113.7", "2001:db8::/32", "2001:db8::1", "x"},
	"Arn":     {"arn:aws:iam::111122223333:role/reader", "arn:aws:iam::*:role/*", "arn:aws:iam::*", "*", "arn:*:iam::111122223333:role/${aws:username}", "arn:aws:s3:::a:b", "arn:aws:s3:::a*", "role"},
	"Null":    {"true", "false"},
}

func TestCompiledEqualsInterpreted(t *testing.T) {
	for kind, values := range valuesOf {
		var operators []string
		for _, name := range iam.Operators() {
			if strings.HasPrefix(name, kind) {
				operators = append(operators, name)
			}
		}
		t.Run(kind, func(t *testing.T) { compareReadings(t, operators, values) })
	}
}

// compareReadings compares the two readings of policies with these operators.
func compareReadings(t *testing.T, operators, values []string) {
	verdicts := map[eval.Verdict]int{}
	rapid.Check(t, func(t *rapid.T) {
		r := &iam.Request{Principal: callers[0], ResourceAccount: account}
		r.Action = rapid.SampledFrom([]string{"s3:GetObject", "S3:getobject", "s3:PutObject", "iam:GetRole", "s3"}).Draw(t, "action")
		r.Resource = rapid.SampledFrom([]string{
			"arn:aws:s3:::data/a.txt", "arn:aws:s3:::data", "arn:aws:s3:::alice/a:b", "arn:aws:iam::444455556666:role/target", "*", "data/a.txt", "arn:aws:sqs:eu-west-1:111122223333:data",
		}).Draw(t, "resource")
		r.Context.Set("aws:username", rapid.SampledFrom([]string{"alice", "red", "r*", "true", "10", "reader"}).Draw(t, "username"))

		p := &iam.Policy{Version: rapid.SampledFrom([]string{iam.Version2012, iam.Version2012, iam.Version2008, ""}).Draw(t, "version")}
		for i := range rapid.IntRange(1, 3).Draw(t, "statements") {
			s := statement(t, iam.KindIdentity)
			if i == 0 { // its conditions alone decide
				s.Action, s.NotAction, s.Resource, s.NotResource = []string{"*"}, nil, []string{"*"}, nil
			}
			op := iam.Operator{Name: rapid.SampledFrom(operators).Draw(t, "operator")}
			if op.Name != "Null" {
				op.Set = rapid.SampledFrom([]iam.SetOperator{iam.SetNone, iam.SetNone, iam.SetForAllValues, iam.SetForAnyValue}).Draw(t, "set")
				op.IfExists = rapid.Bool().Draw(t, "ifExists")
			}
			s.Conditions = []iam.Condition{{Operator: op.String(), Key: "test:key", Values: some(t, "values", values)}}
			p.Statements = append(p.Statements, s)
		}
		switch rapid.IntRange(0, 4).Draw(t, "given") {
		case 0:
		case 1:
			r.Context.SetMulti("test:key", rapid.SliceOfN(rapid.SampledFrom(values), 0, 2).Draw(t, "many")...)
		default:
			r.Context.Set("test:key", rapid.SampledFrom(values).Draw(t, "one"))
		}
		compiled, err := eval.Compile(p, iam.KindIdentity, "p")
		if err != nil {
			t.Fatal(err)
		}
		want := interpret(p, r)
		got := eval.Decide(&eval.Input{Request: r, Identity: []*eval.Policy{compiled}})
		if got.Verdict != want {
			t.Fatalf("compiled %s, interpreted %s\n%s\n%+v", got.Verdict, want, p.Indent(), r)
		}
		verdicts[want]++
	})
	for _, v := range []eval.Verdict{eval.Allowed, eval.ImplicitlyDenied, eval.ExplicitlyDenied} {
		if verdicts[v] == 0 {
			t.Errorf("no request was %s", v)
		}
	}
}
