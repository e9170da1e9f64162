package asl_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// A host answers tasks by their resource: the text after the last colon.
type host struct {
	events []string
	texts  strings.Builder
	tasks  []*asl.Task
	fails  int // how many tasks still fail with the error Busy
}

func (h *host) Record(e *asl.Event) {
	h.events = append(h.events, e.Type)
	text, _ := json.Marshal(e.Fields) // strings and numbers
	h.texts.Write(text)
}

func (h *host) Begin(t *asl.Task) asl.Job {
	h.tasks = append(h.tasks, t)
	switch action := t.Resource[strings.LastIndexByte(t.Resource, ':')+1:]; action {
	case "echo":
		return &asl.Done{Output: t.Input}
	case "fail":
		return &asl.Done{Failure: &asl.Failure{Name: "Boom", Cause: "as told"}}
	case "busy":
		if h.fails > 0 {
			h.fails--
			return &asl.Done{Failure: &asl.Failure{Name: "Busy"}}
		}
		return &asl.Done{Output: "free"}
	case "large":
		return &asl.Done{Output: strings.Repeat("x", asl.MaxData)}
	case "never":
		return never{}
	}
	return &asl.Done{Failure: &asl.Failure{Name: "Unknown", Cause: t.Resource}}
}

type never struct{}

func (never) Poll(time.Time) (*asl.Result, time.Time) { return nil, time.Time{} }
func (never) Stop()                                   {}

func parse(t *testing.T, definition string) *asl.Machine {
	t.Helper()
	m, diagnostics, err := asl.Parse(definition, asl.Standard)
	if m == nil {
		t.Fatalf("%v %v\n%s", diagnostics, err, definition)
	}
	return m
}

func newRun(t *testing.T, definition, input string) (*asl.Run, *host) {
	t.Helper()
	in, err := asl.Decode([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	h := &host{}
	return asl.Start(asl.Options{
		Machine: parse(t, definition), Kind: asl.Standard, Input: in, Role: "role", Region: "us-east-1", Host: h, Random: &seed{}, Now: start, Limit: 24 * time.Hour,
		Context: map[string]any{"Execution": map[string]any{"Name": "run", "Input": in}},
	}), h
}

// seed is randomness that is always the same.
type seed struct{ n byte }

func (s *seed) Read(p []byte) (int, error) {
	for i := range p {
		s.n++
		p[i] = s.n
	}
	return len(p), nil
}

// outcome is the output of a run, or its failure.
func outcome(r *asl.Run) string {
	switch {
	case r.Status == asl.Succeeded:
		return asl.Encode(r.Output)
	case r.Failure != nil:
		return fmt.Sprintf("%s %s", r.Status, r.Failure.Name)
	}
	return string(r.Status)
}

func run(t *testing.T, definition, input string) (string, *host) {
	t.Helper()
	r, h := newRun(t, definition, input)
	r.Advance(start)
	return outcome(r), h
}

// pass wraps fields into a machine of one Pass state.
func pass(fields string) string {
	return `{"StartAt":"A","States":{"A":{"Type":"Pass",` + fields + `"End":true}}}`
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // strings always encode
	return strings.TrimSpace(b.String())
}

// evaluate evaluates a path or an intrinsic function.
func evaluate(t *testing.T, expression, input string) string {
	t.Helper()
	out, _ := run(t, pass(`"Parameters":{"r.$":`+quote(expression)+`},"OutputPath":"$.r",`), input)
	return out
}

// Each case is: an expression, the input, and the value or the error. The
// examples of AWS's page about intrinsic functions and of the language's
// specification are among them.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
// https://states-language.net/spec.html#appendix-b
func TestIntrinsicFunctions(t *testing.T) {
	const failed = "FAILED States.IntrinsicFailure"
	for _, c := range [][3]string{
		{`States.Array($.Id)`, `{"Id":123456}`, `[123456]`},
		{`States.Array('Foo', 2020, $.someJson, null)`, `{"someJson":{"random":"abcdefg"}}`, `["Foo",2020,{"random":"abcdefg"},null]`},
		{`States.Array()`, `{}`, `[]`},
		{`States.ArrayPartition($.a, 4)`, `{"a":[1,2,3,4,5,6,7,8,9]}`, `[[1,2,3,4],[5,6,7,8],[9]]`},
		{`States.ArrayPartition($.a, 0)`, `{"a":[1]}`, failed},
		{`States.ArrayPartition($.a, 2.4)`, `{"a":[1,2,3]}`, `[[1,2],[3]]`},
		{`States.ArrayContains($.a, $.v)`, `{"a":[1,2,5.0],"v":5}`, `true`},
		{`States.ArrayContains($.a, 'x')`, `{"a":[1]}`, `false`},
		{`States.ArrayRange(1, 9, 2)`, `{}`, `[1,3,5,7,9]`},
		{`States.ArrayRange(3, 1, -1)`, `{}`, `[3,2,1]`},
		{`States.ArrayRange(1, 9, 0)`, `{}`, failed},
		{`States.ArrayRange(1, 1001, 1)`, `{}`, failed},
		{`States.ArrayGetItem($.a, $.i)`, `{"a":[1,2,3,4,5,6,7,8,9],"i":5}`, `6`},
		{`States.ArrayGetItem($.a, 9)`, `{"a":[1]}`, failed},
		{`States.ArrayLength($.a)`, `{"a":[1,2,3]}`, `3`},
		{`States.ArrayLength($.a)`, `{"a":"no"}`, failed},
		{`States.ArrayUnique($.a)`, `{"a":[1,2,3,3,3,3,1.0,{"a":1,"b":2},{"b":2,"a":1}]}`, `[1,2,3,{"a":1,"b":2}]`},
		{`States.Base64Encode('Data to encode')`, `{}`, `"RGF0YSB0byBlbmNvZGU="`},
		{`States.Base64Decode($.b)`, `{"b":"RGVjb2RlZCBkYXRh"}`, `"Decoded data"`},
		{`States.Base64Decode('***')`, `{}`, failed},
		{`States.Hash('input data', 'SHA-1')`, `{}`, `"aaff4a450a104cd177d28d18d74485e8cae074b7"`},
		{`States.Hash('input data', 'MD4')`, `{}`, failed},
		{`States.Hash('', 'MD5')`, `{}`, `"d41d8cd98f00b204e9800998ecf8427e"`},
		{`States.Hash('abc', 'SHA-256')`, `{}`, `"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`},
		{`States.JsonMerge($.j1, $.j2, false)`, `{"j1":{"a":{"a1":1,"a2":2},"b":2},"j2":{"a":{"a3":1},"c":3}}`, `{"a":{"a3":1},"b":2,"c":3}`},
		{`States.JsonMerge($.j1, $.j1, true)`, `{"j1":{}}`, failed},
		{`States.StringToJson($.s)`, `{"s":"{\"foo\": \"bar\"}"}`, `{"foo":"bar"}`},
		{`States.StringToJson('{')`, `{}`, failed},
		{`States.JsonToString($.u)`, `{"u":{"foo":"<bar>"}}`, `"{\"foo\":\"<bar>\"}"`},
		{`States.MathAdd($.v, -1)`, `{"v":111}`, `110`},
		{`States.MathAdd(1.5, 1.2)`, `{}`, `3`},
		{`States.MathAdd(2147483647, 1)`, `{}`, failed},
		{`States.StringSplit('1,2,3,4,5', ',')`, `{}`, `["1","2","3","4","5"]`},
		{`States.StringSplit('This.is+a,test=string', '.+,=')`, `{}`, `["This","is","a","test","string"]`},
		{`States.Format('Hello, my name is {}.', $.name)`, `{"name":"Arnav"}`, `"Hello, my name is Arnav."`},
		{`States.Format('{} and {}', $.a, 3)`, `{"a":{"b":[1]}}`, `"{\"b\":[1]} and 3"`},
		{`States.Format('\{\} \'{}\' \\', 'x')`, `{}`, `"{} 'x' \\"`},
		{`States.Format($.t, 'x')`, `{"t":"\\{\\}: {}"}`, `"{}: x"`},
		{`States.Format('{}', 1, 2)`, `{}`, failed},
		{`States.Format('{} {}', 1)`, `{}`, failed},
		{`States.Format('{')`, `{}`, failed},
		{`States.Format('{}', States.JsonToString(States.Array(1, States.MathAdd(1, 1))))`, `{}`, `"[1,2]"`},
		{`States.UUID()`, `{}`, `"01020304-0506-4708-890a-0b0c0d0e0f10"`},
		{`States.ArrayContains(States.ArrayRange(1, 3, 1), States.MathRandom(1, 4))`, `{}`, `true`},
		{`States.MathRandom(2, 1)`, `{}`, failed},
		{`States.Array($.missing)`, `{}`, `FAILED States.Runtime`},
	} {
		if got := evaluate(t, c[0], c[1]); got != c[2] {
			t.Errorf("%s of %s\n got %s\nwant %s", c[0], c[1], got, c[2])
		}
	}
	// The same seed gives the same number.
	if a, b := evaluate(t, `States.MathRandom(0, 1000000, 7)`, `{}`), evaluate(t, `States.MathRandom(0, 1000000, 7)`, `{"another":1}`); a != b {
		t.Errorf("the same seed gave %s and %s", a, b)
	}
}

const shop = `{"store":{"book":[
	{"category":"reference","author":"Rees","title":"Sayings","price":8.95},
	{"category":"fiction","author":"Waugh","title":"Sword","price":12.99},
	{"category":"fiction","author":"Melville","title":"Moby","isbn":"0-553","price":8.99},
	{"category":"fiction","author":"Tolkien","title":"Rings","isbn":"0-395","price":22.99}],
	"bicycle":{"color":"red","price":19.95}},"ex pensive":10,"max":10,"a.b":{"c":[[1,2],[3]]}}`

// The store is the one of JSONPath's own examples.
//
// https://goessner.net/articles/JsonPath/
func TestPaths(t *testing.T) {
	for path, want := range map[string]string{
		`$.store.bicycle.color`:                           `"red"`,
		`$['store']["bicycle"].color`:                     `"red"`,
		`$.store.book[*].author`:                          `["Rees","Waugh","Melville","Tolkien"]`,
		`$..author`:                                       `["Rees","Waugh","Melville","Tolkien"]`,
		`$.store..price`:                                  `[19.95,8.95,12.99,8.99,22.99]`,
		`$..book[2].title`:                                `["Moby"]`,
		`$..book[-1:].title`:                              `["Rings"]`,
		`$..book[0,1].title`:                              `["Sayings","Sword"]`,
		`$..book[:2].title`:                               `["Sayings","Sword"]`,
		`$.store.book[1:4:2].title`:                       `["Sword","Rings"]`,
		`$.store.book[-1].title`:                          `"Rings"`,
		`$..book[?(@.isbn)].title`:                        `["Moby","Rings"]`,
		`$..book[?(@.price < 10)].title`:                  `["Sayings","Moby"]`,
		`$.store.book[?(@.price<=$.max)].title`:           `["Sayings","Moby"]`,
		`$.store.book[?(@['author'] == 'Rees')].title`:    `["Sayings"]`,
		`$.store.book[?(!(@.isbn) && @.price>9)].title`:   `["Sword"]`,
		`$.store.book[?(@.price>20||@.price<8.96)].title`: `["Sayings","Rings"]`,
		`$['ex pensive']`:                                 `10`,
		`$['store']['bicycle']['color','price']`:          `["red",19.95]`,
		`$['a.b'].c[0][1]`:                                `2`,
		`$['a.b'].c[*][0]`:                                `[1,3]`,
		`$..missing`:                                      `[]`,
		`$.missing`:                                       `FAILED States.Runtime`,
		`$.store.book[4]`:                                 `FAILED States.Runtime`,
		`$$.Execution.Name`:                               `"run"`,
		`$$.State.Name`:                                   `"A"`,
		`$$.State.EnteredTime`:                            `"2026-11-22T10:00:00.000Z"`,
		`$unset`:                                          `FAILED States.Runtime`,
	} {
		if got := evaluate(t, path, shop); got != want {
			t.Errorf("%s\n got %s\nwant %s", path, got, want)
		}
	}
	for _, path := range []string{``, `store`, `$.`, `$..`, `$[`, `$[]`, `$['a`, `$.a b`, `$[1:2:0]`, `$[?(@.a]`, `$[?()]`, `$[?(@.a ==)]`, `$.a.length()`, `$[99999999999]`, `$$$`, `$[?(1)]`, `$.a[`} {
		if _, err := asl.ParsePath(path); err == nil {
			t.Errorf("%q is accepted", path)
		}
	}
	for _, path := range []string{`$..a`, `$.*`, `$[0,1]`, `$[1:]`, `$[?(@.a)]`, `$['a','b']`} {
		if _, err := asl.ParseReferencePath(path); err == nil {
			t.Errorf("%q is accepted as a reference path", path)
		}
	}
}

// Cases of the specification's section about ResultPath.
//
// https://states-language.net/spec.html#using-paths
func TestResultPath(t *testing.T) {
	for _, c := range [][3]string{
		{`"ResultPath":"$",`, `{"a":1}`, `6`},
		{`"ResultPath":null,`, `{"a":1}`, `{"a":1}`},
		{`"ResultPath":"$.sum",`, `{"title":"Numbers","numbers":[3,3]}`, `{"numbers":[3,3],"sum":6,"title":"Numbers"}`},
		{`"ResultPath":"$.a.b",`, `{"a":{"c":1}}`, `{"a":{"b":6,"c":1}}`},
		{`"ResultPath":"$.a[1]",`, `{"a":[1,2]}`, `{"a":[1,6]}`},
		{`"ResultPath":"$.a[2]",`, `{"a":[1,2]}`, `FAILED States.ResultPathMatchFailure`},
		{`"ResultPath":"$.a.b",`, `{"a":"text"}`, `FAILED States.ResultPathMatchFailure`},
		{`"ResultPath":"$.r","OutputPath":"$.r",`, `{}`, `6`},
		{`"OutputPath":null,`, `{}`, `{}`},
		{`"InputPath":"$.missing",`, `{}`, `FAILED States.Runtime`},
	} {
		if got, _ := run(t, pass(`"Result":6,`+c[0]), c[1]); got != c[2] {
			t.Errorf("%s on %s\n got %s\nwant %s", c[0], c[1], got, c[2])
		}
	}
	if got, _ := run(t, pass(`"InputPath":"$.a","Parameters":{"x":{"y.$":"$.b"},"z":[{"w.$":"$$.Execution.Name"}]},"ResultPath":"$.r",`), `{"a":{"b":1}}`); got != `{"a":{"b":1},"r":{"x":{"y":1},"z":[{"w":"run"}]}}` {
		t.Errorf("InputPath and Parameters: %s", got)
	}
	if got, _ := run(t, pass(`"InputPath":null,`), `{"a":1}`); got != `{}` {
		t.Errorf("InputPath null: %s", got)
	}
}

func TestChoice(t *testing.T) {
	for rule, inputs := range map[string][2][]string{ // rule → inputs that match, and that do not
		`"Variable":"$.a","StringEquals":"x"`:                                   {{`"x"`}, {`"y"`, `1`, `null`}},
		`"Variable":"$.a","StringEqualsPath":"$.b"`:                             {{`"b"`}, {`"x"`, `1`}},
		`"Variable":"$.a","StringLessThan":"m"`:                                 {{`"a"`}, {`"m"`, `"z"`, `1`}},
		`"Variable":"$.a","StringMatches":"log-*.txt"`:                          {{`"log-.txt"`, `"log-a-b.txt"`}, {`"log.txt"`, `"log-a.txt2"`}},
		`"Variable":"$.a","StringMatches":"a\\*b*"`:                             {{`"a*bc"`}, {`"axbc"`}},
		`"Variable":"$.a","NumericGreaterThanEquals":3.5`:                       {{`3.5`, `4`}, {`3`, `"4"`}},
		`"Variable":"$.a","NumericLessThanPath":"$.n"`:                          {{`1`}, {`2`}},
		`"Variable":"$.a","BooleanEquals":false`:                                {{`false`}, {`true`, `0`, `"false"`}},
		`"Variable":"$.a","TimestampGreaterThan":"2026-01-01T00:00:00Z"`:        {{`"2026-01-01T01:00:00+00:30"`}, {`"2025-12-31T23:59:59Z"`, `"soon"`}},
		`"Variable":"$.a","TimestampLessThanEqualsPath":"$$.State.EnteredTime"`: {{`"2026-11-22T10:00:00Z"`}, {`"2026-11-22T10:00:01Z"`}},
		`"Variable":"$.a","IsNull":true`:                                        {{`null`}, {`0`}},
		`"Variable":"$.a.b","IsPresent":true`:                                   {{`{"b":null}`}, {`{}`, `1`}},
		`"Variable":"$.a.b","IsPresent":false`:                                  {{`{}`}, {`{"b":1}`}},
		`"Variable":"$.a","IsNumeric":true`:                                     {{`1`}, {`"1"`}},
		`"Variable":"$.a","IsTimestamp":true`:                                   {{`"2026-01-01T00:00:00Z"`}, {`"2026-01-01"`}},
		`"Not":{"Variable":"$.a","IsString":true}`:                              {{`1`}, {`"x"`}},
		`"And":[{"Variable":"$.a","IsNumeric":true},{"Or":[{"Variable":"$.a","NumericEquals":1},{"Variable":"$.a","NumericEquals":2}]}]`: {{`1`, `2`}, {`3`, `"1"`}},
	} {
		definition := `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{` + rule + `,"Next":"Yes"}],"Default":"No"},
			"Yes":{"Type":"Pass","Result":"yes","End":true},"No":{"Type":"Pass","Result":"no","End":true}}}`
		for i, want := range []string{`"yes"`, `"no"`} {
			for _, value := range inputs[i] {
				if got, _ := run(t, definition, `{"a":`+value+`,"b":"b","n":2}`); got != want {
					t.Errorf("%s with %s: %s, want %s", rule, value, got, want)
				}
			}
		}
	}
	if got, _ := run(t, `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true,"Next":"E"}]},"E":{"Type":"Succeed"}}}`, `{"a":1}`); got != "FAILED States.NoChoiceMatched" {
		t.Error(got)
	}
	if got, _ := run(t, `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true,"Next":"E"}]},"E":{"Type":"Succeed"}}}`, `{}`); got != "FAILED States.Runtime" {
		t.Error(got)
	}
}

func task(name, more string) string {
	return `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::` + name + `",` + more + `"End":true},
		"Caught":{"Type":"Pass","Parameters":{"error.$":"$.e.Error","cause.$":"$.e.Cause","kept.$":"$.kept"},"End":true}}}`
}

func TestErrorsAreRetriedAndCaught(t *testing.T) {
	const catchAll = `"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"Caught"}],`
	caught := func(name, cause string) string {
		return `{"cause":"` + cause + `","error":"` + name + `","kept":1}`
	}
	for _, c := range []struct{ definition, want string }{
		{task("fail", catchAll), caught("Boom", "as told")},
		{task("fail", strings.Replace(catchAll, "States.ALL", "States.TaskFailed", 1)), caught("Boom", "as told")},
		{task("fail", strings.Replace(catchAll, "States.ALL", "Boom", 1)), caught("Boom", "as told")},
		{task("fail", strings.Replace(catchAll, "States.ALL", "Bang", 1)), "FAILED Boom"},
		{task("large", catchAll), "FAILED States.DataLimitExceeded"},
		{task("large", strings.Replace(catchAll, "States.ALL", "States.DataLimitExceeded", 1)), ""},
		{task("echo", `"Parameters":{"x.$":"$.missing"},`+catchAll), "FAILED States.Runtime"},
		{task("echo", `"ResultSelector":{"x.$":"States.StringToJson('{')"},`+catchAll), ""},
	} {
		got, _ := run(t, c.definition, `{"kept":1}`)
		if c.want == "" { // caught, whatever the words are
			if !strings.HasPrefix(got, `{"cause"`) {
				t.Errorf("not caught: %s", got)
			}
		} else if got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}

	// Two retries at 2 and 6 seconds, then success; MaxDelaySeconds caps.
	for _, c := range []struct {
		retry string
		fails int
		after time.Duration
		want  string
	}{
		{`{"ErrorEquals":["Busy"],"IntervalSeconds":2,"BackoffRate":3}`, 2, 8 * time.Second, `"free"`},
		{`{"ErrorEquals":["States.ALL"],"IntervalSeconds":2,"BackoffRate":3,"MaxDelaySeconds":4}`, 2, 6 * time.Second, `"free"`},
		{`{"ErrorEquals":["Busy"],"MaxAttempts":1}`, 2, time.Second, "FAILED Busy"},
		{`{"ErrorEquals":["Busy"],"MaxAttempts":0}`, 1, 0, "FAILED Busy"},
		{`{"ErrorEquals":["Other"]},{"ErrorEquals":["States.ALL"]}`, 1, time.Second, `"free"`},
	} {
		r, h := newRun(t, strings.Replace(task("busy", `"Retry":[`+c.retry+`],`), `,
		"Caught":{"Type":"Pass","Parameters":{"error.$":"$.e.Error","cause.$":"$.e.Cause","kept.$":"$.kept"},"End":true}`, "", 1), `{}`)
		h.fails = c.fails
		if c.after > 0 {
			if r.Advance(start.Add(c.after - time.Millisecond)); r.Status != asl.Running {
				t.Errorf("%s: over too early: %s", c.retry, outcome(r))
			}
		}
		r.Advance(start.Add(c.after))
		if got := outcome(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.retry, got, c.want)
		}
	}
}

func TestTimeLimits(t *testing.T) {
	r, _ := newRun(t, strings.Replace(task("never", `"TimeoutSeconds":5,"Catch":[{"ErrorEquals":["States.Timeout"],"ResultPath":"$.e","Next":"Caught"}],`), `"cause.$":"$.e.Cause",`, "", 1), `{"kept":1}`)
	if r.Advance(start.Add(4 * time.Second)); r.Status != asl.Running {
		t.Fatal(outcome(r))
	}
	if r.Advance(start.Add(5 * time.Second)); outcome(r) != `{"error":"States.Timeout","kept":1}` {
		t.Error(outcome(r))
	}
	r, h := newRun(t, `{"StartAt":"W","TimeoutSeconds":10,"States":{"W":{"Type":"Wait","SecondsPath":"$.n","Next":"W2"},"W2":{"Type":"Wait","TimestampPath":"$.at","End":true}}}`, `{"n":3,"at":"2026-11-22T10:00:20Z"}`)
	if r.Advance(start.Add(time.Hour)); outcome(r) != "TIMED_OUT States.Timeout" || !r.Ended.Equal(start.Add(10*time.Second)) {
		t.Errorf("%s at %s", outcome(r), r.Ended)
	}
	if diff := cmp.Diff([]string{"ExecutionStarted", "WaitStateEntered", "WaitStateExited", "WaitStateEntered", "ExecutionTimedOut"}, h.events); diff != "" {
		t.Error(diff)
	}
	r, _ = newRun(t, `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":60,"End":true}}}`, `{}`)
	r.Advance(start)
	if r.Stop(start.Add(time.Second), &asl.Failure{Name: "Enough"}); outcome(r) != "ABORTED Enough" {
		t.Error(outcome(r))
	}
}

func TestParallelAndMap(t *testing.T) {
	const branches = `{"StartAt":"P","States":{"P":{"Type":"Parallel","ResultSelector":{"a.$":"$[0]","b.$":"$[1]"},"Catch":[{"ErrorEquals":["Boom"],"Next":"Caught"}],"End":true,"Branches":[
		{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":2,"Next":"A2"},"A2":{"Type":"Pass","Result":1,"End":true}}},
		{"StartAt":"B","States":{"B":{"Type":"Task","Resource":"arn:aws:states:::x:%s","End":true}}}]},"Caught":{"Type":"Succeed"}}}`
	r, _ := newRun(t, fmt.Sprintf(branches, "echo"), `{"x":1}`)
	if r.Advance(start.Add(time.Second)); r.Status != asl.Running {
		t.Fatal(outcome(r))
	}
	if r.Advance(start.Add(2 * time.Second)); outcome(r) != `{"a":1,"b":{"x":1}}` {
		t.Error(outcome(r))
	}
	if got, _ := run(t, fmt.Sprintf(branches, "fail"), `{}`); got != `{"Cause":"as told","Error":"Boom"}` {
		t.Error(got)
	}

	const each = `{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.list","MaxConcurrency":2,"ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value","all.$":"$.k"},"ResultPath":"$.out","End":true,
		"ItemProcessor":{"ProcessorConfig":{"Mode":"INLINE"},"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":1,"Next":"E"},"E":{"Type":"Task","Resource":"arn:aws:states:::x:echo","OutputPath":"$.v","End":true}}}}}}`
	r, h := newRun(t, each, `{"list":["a","b","c"],"k":7}`)
	r.Advance(start.Add(time.Second)) // two of them
	if len(h.tasks) != 2 || r.Status != asl.Running {
		t.Errorf("%d at a time, %s", len(h.tasks), outcome(r))
	}
	if r.Advance(start.Add(2 * time.Second)); outcome(r) != `{"k":7,"list":["a","b","c"],"out":["a","b","c"]}` || asl.Encode(h.tasks[2].Input) != `{"all":7,"i":2,"v":"c"}` {
		t.Errorf("%s %s", outcome(r), asl.Encode(h.tasks[2].Input))
	}
	if got, _ := run(t, each, `{"list":[],"k":7}`); got != `{"k":7,"list":[],"out":[]}` {
		t.Error(got)
	}
	if got, _ := run(t, each, `{"list":1,"k":7}`); got != "FAILED States.Runtime" {
		t.Error(got)
	}
}

// Variables are seen by what follows and by what is within, and all expressions
// of an Assign see the values from before.
func TestVariables(t *testing.T) {
	got, _ := run(t, `{"StartAt":"A","States":{
		"A":{"Type":"Pass","Assign":{"x":1,"y":2},"Next":"B"},
		"B":{"Type":"Pass","Assign":{"x.$":"$y","y.$":"$x"},"Next":"P"},
		"P":{"Type":"Parallel","Branches":[{"StartAt":"I","States":{"I":{"Type":"Pass","Parameters":{"x.$":"$x"},"Assign":{"x":9},"End":true}}}],"Next":"C"},
		"C":{"Type":"Pass","Parameters":{"in.$":"$[0].x","x.$":"$x","y.$":"$y"},"End":true}}}`, `{}`)
	if got != `{"in":2,"x":2,"y":1}` {
		t.Error(got)
	}
}

func TestFail(t *testing.T) {
	for definition, want := range map[string]string{
		`"Error":"E","Cause":"C"`: "E C",
		`"ErrorPath":"$.e","CausePath":"States.Format('because {}', $.c)"`: "bad because 1",
	} {
		r, _ := newRun(t, `{"StartAt":"F","States":{"F":{"Type":"Fail",`+definition+`}}}`, `{"e":"bad","c":1}`)
		if r.Advance(start); r.Failure == nil || r.Failure.Name+" "+r.Failure.Cause != want {
			t.Errorf("%v, want %s", r.Failure, want)
		}
	}
}

// A task gets the role of its Credentials.
func TestCredentials(t *testing.T) {
	for _, credentials := range []string{`"Credentials":{"RoleArn":"arn:aws:iam::111111111111:role/r"},`, `"Credentials":{"RoleArn.$":"$.role"},`} {
		_, h := run(t, strings.Replace(task("echo", credentials), `,
		"Caught":{"Type":"Pass","Parameters":{"error.$":"$.e.Error","cause.$":"$.e.Cause","kept.$":"$.kept"},"End":true}`, "", 1), `{"role":"arn:aws:iam::111111111111:role/r"}`)
		if h.tasks[0].Role != "arn:aws:iam::111111111111:role/r" || !strings.Contains(h.texts.String(), `"taskCredentials":{"roleArn":"arn:aws:iam::111111111111:role/r"}`) {
			t.Errorf("%q %s", h.tasks[0].Role, h.texts.String())
		}
	}
}
