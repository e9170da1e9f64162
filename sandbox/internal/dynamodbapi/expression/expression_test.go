package expression_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/sandbox/internal/dynamodbapi/expression"
)

const sample = `{"s":{"S":"Hello"},"n":{"N":"5"},"b":{"B":"AAEC"},"yes":{"BOOL":true},"nil":{"NULL":true},
	"l":{"L":[{"S":"a"},{"N":"2"},{"M":{"deep":{"S":"x"}}}]},"m":{"M":{"k":{"S":"v"},"more":{"N":"1"}}},
	"ss":{"SS":["a","b"]},"ns":{"NS":["1","2.50"]}}`

const values = `{":five":{"N":"5.0"},":six":{"N":"6"},":big":{"N":"60"},":he":{"S":"He"},":hello":{"S":"Hello"},":a":{"S":"a"},":two":{"N":"2e0"},
	":one":{"N":"1"},":true":{"BOOL":true},":N":{"S":"N"},":list":{"L":[{"S":"z"}]},":half":{"N":"2.5"},":set":{"SS":["a","b"]},":tes":{"SS":["b","a"]},":bytes":{"B":"AAE="}}`

func item(t testing.TB, text string) expression.Item {
	t.Helper()
	var i expression.Item
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		t.Fatal(err)
	}
	return i
}

func placeholders(t testing.TB) *expression.Placeholders {
	t.Helper()
	p, err := expression.NewPlaceholders(map[string]string{"#n": "n", "#k": "k", "#size": "size"}, item(t, values))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConditions(t *testing.T) {
	i := item(t, sample)
	for text, want := range map[string]bool{
		"n = :five": true, "#n = :five": true, "n <> :five": false, ":five = n": true, "n < :six AND n > :one": true,
		"n < :big":                  true, // by value, not by text
		"n >= :five and n <= :five": true, "n = :hello": false, "n <> :hello": true, "n < :hello": false,
		"absent = :five": false, "absent <> :five": true, "NOT absent = :five": true, "absent < :five": false,
		"n BETWEEN :one AND :six": true, "n between :six and :big": false, "n BETWEEN :one AND :six AND s = :hello": true,
		"n IN (:one, :five)": true, "s IN (:one, :five)": false,
		"n = :one OR s = :hello AND n = :five": true, "(n = :one OR s = :hello) AND n = :one": false, "NOT (n = :one)": true, "NOT NOT n = :five": true,
		"attribute_exists(m.k)": true, "attribute_exists(m.#k)": true, "attribute_exists(l[2].deep)": true, "attribute_exists(l[3])": false, "attribute_not_exists(s.k)": true,
		"attribute_type(n, :N)": true, "attribute_type(s, :N)": false,
		"begins_with(s, :he)": true, "begins_with(s, :hello)": true, "begins_with(n, :he)": false, "begins_with(b, :bytes)": true,
		"contains(s, :he)": true, "contains(ss, :a)": true, "contains(ns, :half)": true, "contains(l, :two)": true, "contains(l, :one)": false, "contains(ss, :two)": false,
		"size(s) = :five": true, "size(l) > :two": true, "size(n) = :five": false, "size(ss) = :two": true,
		"ss = :set": true, "ss = :tes": true, "l[1] = :two": true, "yes = :true": true, "(n) = (:five)": true,
	} {
		c, err := expression.ParseCondition("ConditionExpression", text, placeholders(t))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Holds(i); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestWrongConditions(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "The expression can not be empty;",
		"n":                                 `Syntax error; token: "<EOF>", near: "n"`,
		"n =":                               `Syntax error; token: "<EOF>", near: "="`,
		"n = :five AND":                     `Syntax error; token: "<EOF>", near: "AND"`,
		"n AND n = :five":                   `Syntax error; token: "AND", near: "n AND n"`,
		"n = :five s":                       `Syntax error; token: "s", near: ":five s"`,
		"n = 5":                             `Syntax error; token: "5", near: "= 5"`,
		"n ! :five":                         `Syntax error; token: "!"`,
		"((n = :five))":                     "The expression has redundant parentheses;",
		"size = :five":                      "Attribute name is a reserved keyword; reserved keyword: size",
		"m.Name = :five":                    "Attribute name is a reserved keyword; reserved keyword: Name",
		"#x = :five":                        "An expression attribute name used in the document path is not defined; attribute name: #x",
		"n = :x":                            "An expression attribute value used in expression is not defined; attribute value: :x",
		"attribute_exists(:five)":           "Operator or function requires a document path; operator or function: attribute_exists",
		"attribute_exists(n, s)":            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
		"exists(n)":                         "Invalid function name; function: exists",
		"if_not_exists(n, :five) = :five":   "The function is not allowed to be used this way in an expression; function: if_not_exists",
		"contains(begins_with(s, :he), :a)": "The function is not allowed to be used this way in an expression; function: begins_with",
		"n = begins_with(s, :he)":           "The function is not allowed to be used this way in an expression; function: begins_with",
		"begins_with(s, :five)":             "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
		"n < :true":                         "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
		"attribute_type(n, :he)":            "Invalid attribute type name found; type: He",
		"n BETWEEN :six AND :one":           "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:6}, upper bound operand: AttributeValue: {N:1}",
		"n BETWEEN :six AND :he":            "The BETWEEN operator requires same data type for lower and upper bounds",
		"n = n":                             "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [n]",
		"l[99999999999999999999] = :five":   "List index is not within the allowable range; index: [99999999999999999999]",
		strings.Repeat("n = :five OR ", 350) + "n = :five": "Expression size has exceeded",
	} {
		_, err := expression.ParseCondition("ConditionExpression", text, placeholders(t))
		if err == nil || !strings.Contains(err.Error(), "ValidationException: Invalid ConditionExpression: "+want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUpdates(t *testing.T) {
	for text, want := range map[string]string{
		"SET n = n + :one":    `"n":{"N":"6"}`,
		"SET n = :one - n":    `"n":{"N":"-4"}`,
		"SET x = (n + :half)": `"x":{"N":"7.5"}`,
		"SET n = s, s = n":    `"n":{"S":"Hello"} "s":{"N":"5"}`,
		"SET m.k = :one, m.x = if_not_exists(m.y, :two)": `"m":{"M":{"k":{"N":"1"},"more":{"N":"1"},"x":{"N":"2"}}}`,
		"SET l[0] = :one, l[7] = :two, l[5] = :six":      `"l":{"L":[{"N":"1"},{"N":"2"},{"M":{"deep":{"S":"x"}}},{"N":"6"},{"N":"2"}]}`,
		"REMOVE l[0], l[2], l[9]":                        `"l":{"L":[{"N":"2"}]}`,
		"SET l[1] = :six REMOVE l[0], absent":            `"l":{"L":[{"N":"6"},{"M":{"deep":{"S":"x"}}}]}`,
		"SET l = list_append(:list, l)":                  `"l":{"L":[{"S":"z"},{"S":"a"},{"N":"2"},{"M":{"deep":{"S":"x"}}}]}`,
		"ADD n :one, x :two, ss :set, m.more :half":      `"m":{"M":{"k":{"S":"v"},"more":{"N":"3.5"}}} "n":{"N":"6"} "ss":{"SS":["a","b"]} "x":{"N":"2"}`,
		"DELETE ss :tes":                                 `"ss" gone`,
		"DELETE absent :set REMOVE m":                    `"m" gone`,
		"SET n = n + :he":                                "Incorrect operand type for operator or function; operator or function: +, operand type: S",
		"SET n = n + s":                                  "An operand in the update expression has an incorrect data type",
		"SET n = x":                                      "The provided expression refers to an attribute that does not exist in the item",
		"SET x.y = :one":                                 "The document path provided in the update expression is invalid for update",
		"SET s[0] = :one":                                "The document path provided in the update expression is invalid for update",
		"SET m.k = :one, m = :two":                       "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m], path two: [m, k]",
		"SET x.k = :one REMOVE x[0], x[1]":               "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [x, [1]], path two: [x, k]",
		"SET n = :one SET x = :one":                      `The "SET" section can only be used once in an update expression;`,
		"ADD n :he":                                      "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
		"DELETE n :one":                                  "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND",
		"SET n = :one + :one + :one":                     `Syntax error; token: "+"`,
		"SET n = size(s)":                                "The function is not allowed to be used this way in an expression; function: size",
		"n = :one":                                       `Syntax error; token: "n", near: "n ="`,
	} {
		before := item(t, sample)
		got := apply(t, text, before)
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if after := item(t, sample); !equal(before, after) {
			t.Errorf("%s changed the item it was applied to", text)
		}
	}
}

// apply returns the attributes that an update changes, or its error.
func apply(t *testing.T, text string, i expression.Item) string {
	t.Helper()
	u, err := expression.ParseUpdate(text, placeholders(t))
	if err != nil {
		return err.Error()
	}
	after, err := u.Apply(i)
	if err != nil {
		return err.Error()
	}
	var changed []string
	for _, name := range []string{"b", "l", "m", "n", "nil", "ns", "s", "ss", "x", "yes"} {
		was, had := i[name]
		is, has := after[name]
		switch {
		case had && !has:
			changed = append(changed, `"`+name+`" gone`)
		case has && (!had || !was.Equal(is) || u.Writes(name)):
			data, err := json.Marshal(is)
			if err != nil {
				t.Fatal(err)
			}
			changed = append(changed, `"`+name+`":`+string(data))
		}
	}
	return strings.Join(changed, " ")
}

func equal(a, b expression.Item) bool {
	return expression.Value{Type: expression.Map, Map: a}.Equal(expression.Value{Type: expression.Map, Map: b})
}

func TestProjections(t *testing.T) {
	for text, want := range map[string]string{
		"s, #n":                    `{"n":{"N":"5"},"s":{"S":"Hello"}}`,
		"l[2], l[0], absent":       `{"l":{"L":[{"S":"a"},{"M":{"deep":{"S":"x"}}}]}}`,
		"l[2].deep, m.k, m.nope.x": `{"l":{"L":[{"M":{"deep":{"S":"x"}}}]},"m":{"M":{"k":{"S":"v"}}}}`,
		"absent":                   `{}`,
		"s.x, n[0]":                `{}`,
		"m.k, m":                   "ValidationException: Invalid ProjectionExpression: Two document paths overlap",
		"s,":                       `Syntax error; token: "<EOF>", near: ","`,
		"s n":                      `Syntax error; token: "n", near: "s n"`,
	} {
		p, err := expression.ParseProjection(text, placeholders(t))
		var got string
		if err != nil {
			got = err.Error()
		} else {
			data, _ := json.Marshal(p.Apply(item(t, sample)))
			got = string(data)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]string{
		`{"N":"0012.500"}`: `{"N":"12.5"}`, `{"N":"-0"}`: `{"N":"0"}`, `{"N":"1e-5"}`: `{"N":"0.00001"}`, `{"N":"1E20"}`: `{"N":"100000000000000000000"}`,
		`{"N":"9999999999999999999999999999999999999900"}`: `{"N":"9999999999999999999999999999999999999900"}`,
		`{"N":"1e126"}`: "Number overflow", `{"N":"1e-131"}`: "Number underflow", `{"N":"1.2.3"}`: "cannot be converted to a numeric value",
		`{"N":"0.123456789012345678901234567890123456789"}`: "more than 38 significant digits",
		`{}`: "Supplied AttributeValue is empty", `{"X":"a"}`: "Supplied AttributeValue is empty", `{"S":"a","N":"1"}`: "more than one datatypes set",
		`{"NULL":false}`: "Null attribute value types must have the value of true", `{"SS":[]}`: "An string set  may not be empty",
		`{"NS":["1","1.0"]}`: "contains duplicates", `{"B":"!"}`: "Base64",
		strings.Repeat(`{"L":[`, 34) + `{"S":"x"}` + strings.Repeat(`]}`, 34): "Nesting Levels have exceeded supported limits",
	} {
		var v expression.Value
		got := ""
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			got = err.Error()
		} else if data, err := json.Marshal(v); err == nil {
			got = string(data)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Numbers add and compare as rational numbers do, or overflow.
func TestNumbersAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,15})?(e-?[1-9])?`)
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		var i expression.Item
		data, _ := json.Marshal(map[string]map[string]string{"a": {"N": a}, "b": {"N": b}})
		if err := json.Unmarshal(data, &i); err != nil {
			t.Fatal(err)
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		none, err := expression.NewPlaceholders(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]bool{"a < b": x.Cmp(y) < 0, "a = b": x.Cmp(y) == 0, "a >= b": x.Cmp(y) >= 0} {
			c, err := expression.ParseCondition("ConditionExpression", text, none)
			if err != nil {
				t.Fatal(err)
			}
			if c.Holds(i) != want {
				t.Fatalf("%s is %v with %s and %s", text, !want, a, b)
			}
		}
		u, err := expression.ParseUpdate("SET diff = a - b", none)
		if err != nil {
			t.Fatal(err)
		}
		after, err := u.Apply(i)
		if err != nil {
			if !strings.Contains(err.Error(), "38 significant digits") {
				t.Fatal(err)
			}
			return
		}
		if got, _ := new(big.Rat).SetString(after["diff"].Text); got.Cmp(x.Sub(x, y)) != 0 {
			t.Fatalf("%s - %s = %s", a, b, after["diff"].Text)
		}
	})
}

func TestKeyConditions(t *testing.T) {
	for text, want := range map[string]string{
		"s = :hello": "", "s = :hello AND n > :one": "", ":hello = s AND begins_with(n, :he)": "", "(s = :hello) AND n BETWEEN :one AND :six": "",
		"n = :one":                   "Query condition missed key schema element: s",
		"s > :hello":                 "Query key condition not supported",
		"s = :hello AND m = :one":    "Query condition missed key schema element: n",
		"s = :hello AND s = :he":     "KeyConditionExpressions must only contain one condition per key",
		"s = :hello OR s = :he":      "Invalid operator used in KeyConditionExpression: OR",
		"s = :hello AND n IN (:one)": "Invalid operator used in KeyConditionExpression: IN",
		"s = :hello AND n <> :one":   "Invalid operator used in KeyConditionExpression: <>",
		"s.k = :hello":               "KeyConditionExpressions cannot have conditions on nested attributes",
		"s = n":                      "must have values as remaining operands",
		"size(s) = :one":             "must have a key attribute as first operand",
	} {
		_, err := expression.ParseKeyCondition(text, "s", "n", placeholders(t))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Whatever is given for an expression, it is refused with a ValidationException
// or means the same each time, and applying it changes no item it was given.
func FuzzExpressions(f *testing.F) {
	for _, text := range []string{
		"n = :five AND (s <> :he OR NOT contains(ss, :a))", "SET l[1] = if_not_exists(x, :one), m.k = n - :half REMOVE l[0] ADD n :one DELETE ss :set",
		"n BETWEEN :one AND :six", "size(l[2].deep) IN (:one, :two)", "l[0], m.k, #n", "s = :hello AND begins_with(n, :he)", "((", "l[", "#", "REMOVE l[0], l[1], l[2]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		i := item(t, sample)
		refused := func(err error) bool {
			if err != nil && !strings.HasPrefix(err.Error(), "ValidationException: ") {
				t.Fatalf("%q: %v", text, err)
			}
			return err != nil
		}
		if c, err := expression.ParseCondition("ConditionExpression", text, placeholders(t)); !refused(err) {
			if first, again := c.Holds(i), c.Holds(i); first != again {
				t.Fatalf("%q holds and does not", text)
			}
		}
		if p, err := expression.ParseProjection(text, placeholders(t)); !refused(err) {
			part := p.Apply(i)
			if part.Size() > i.Size() {
				t.Fatalf("%q returns more than there is", text)
			}
		}
		if k, err := expression.ParseKeyCondition(text, "s", "n", placeholders(t)); !refused(err) {
			k.Matches(i)
		}
		if u, err := expression.ParseUpdate(text, placeholders(t)); !refused(err) {
			after, err := u.Apply(i)
			if !refused(err) {
				if _, err := json.Marshal(after); err != nil {
					t.Fatalf("%q makes what cannot be written: %v", text, err)
				}
			}
		}
		if !equal(i, item(t, sample)) {
			t.Fatalf("%q changed the item", text)
		}
	})
}
