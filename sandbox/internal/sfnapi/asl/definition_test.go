package asl_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crossaccount/crossaccount/sandbox/internal/sfnapi/asl"
)

// What AWS refuses when a state machine is made is refused here, at the same
// place.
func TestDefinitionsAreChecked(t *testing.T) {
	one := func(state string) string { return `{"StartAt":"A","States":{"A":` + state + `}}` }
	for _, c := range []struct{ definition, want string }{
		{``, "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object"},
		{`[]`, "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object"},
		{`{}`, "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /"},
		{`{"States":{"A":{"Type":"Succeed"}}}`, "SCHEMA_VALIDATION_FAILED: These fields are required: [StartAt] at /"},
		{`{"StartAt":"B","States":{"A":{"Type":"Succeed"}}}`, "MISSING_TRANSITION_TARGET: Missing 'StartAt' target: B at /StartAt"},
		{one(`{"Type":"Pass","Next":"B"}`), "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/A/Next"},
		{`{"StartAt":"A","States":{"A":{"Type":"Succeed"},"B":{"Type":"Succeed"}}}`, `MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/B`},
		{one(`{"Type":"Pass"}`), "SCHEMA_VALIDATION_FAILED: These fields are required: [Next or End] at /States/A"},
		{one(`{"Type":"Pass","Next":"A","End":true}`), "Only one of the fields Next and End"},
		{one(`{"Type":"Bass","End":true}`), "/States/A/Type"},
		{one(`{"Type":"Pass","End":true,"Retry":[]}`), "Field 'Retry' is not supported at /States/A/Retry"},
		{one(`{"Type":"Pass","End":true,"ResultPath":"$..x"}`), "not a reference path"},
		{one(`{"Type":"Pass","End":true,"Parameters":{"x.$":"x"}}`), "the value for the field 'x.$' must be a valid JSONPath or a valid intrinsic function call"},
		{one(`{"Type":"Pass","End":true,"Parameters":{"x.$":1}}`), "must be a string"},
		{one(`{"Type":"Pass","End":true,"Parameters":{"x.$":"States.Nothing()"}}`), "no intrinsic function"},
		{one(`{"Type":"Pass","End":true,"Parameters":{"x.$":"States.ArrayLength()"}}`), "arguments"},
		{one(`{"Type":"Task","End":true}`), "These fields are required: [Resource] at /States/A"},
		{one(`{"Type":"Task","Resource":"x","End":true}`), "not a valid resource ARN at /States/A/Resource"},
		{one(`{"Type":"Task","Resource":"arn:aws:states:::x:y","End":true,"TimeoutSeconds":0}`), "/States/A/TimeoutSeconds"},
		{one(`{"Type":"Task","Resource":"arn:aws:states:::x:y","End":true,"TimeoutSeconds":5,"HeartbeatSeconds":5}`), "HeartbeatSeconds must be smaller"},
		{one(`{"Type":"Task","Resource":"arn:aws:states:::x:y","End":true,"Credentials":{}}`), "/States/A/Credentials"},
		{one(`{"Type":"Task","Resource":"arn:aws:states:::x:y","End":true,"Retry":[{"ErrorEquals":["States.ALL"]},{"ErrorEquals":["X"]}]}`), "States.ALL must appear alone"},
		{one(`{"Type":"Task","Resource":"arn:aws:states:::x:y","End":true,"Retry":[{"ErrorEquals":[]}]}`), "at least one error"},
		{one(`{"Type":"Task","Resource":"arn:aws:states:::x:y","End":true,"Retry":[{"ErrorEquals":["X"],"BackoffRate":0.5}]}`), "/States/A/Retry[0]/BackoffRate"},
		{one(`{"Type":"Task","Resource":"arn:aws:states:::x:y","End":true,"Catch":[{"ErrorEquals":["X"],"Next":"Z"}]}`), "Missing 'Next' target: Z at /States/A/Catch[0]/Next"},
		{one(`{"Type":"Choice","Choices":[]}`), "These fields are required: [Choices]"},
		{one(`{"Type":"Choice","Choices":[{"Variable":"$.a","Next":"A"}],"Default":"A"}`), "needs a comparison operator"},
		{one(`{"Type":"Choice","Choices":[{"Variable":"$.a","StringEquals":1,"Next":"A"}],"Default":"A"}`), "does not fit the operator StringEquals"},
		{one(`{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true,"IsString":true,"Next":"A"}],"Default":"A"}`), "one comparison operator"},
		{one(`{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true}],"Default":"A"}`), "These fields are required: [Next]"},
		{one(`{"Type":"Wait","End":true}`), "Exactly one of the fields Seconds"},
		{one(`{"Type":"Wait","Seconds":1,"Timestamp":"2026-01-01T00:00:00Z","End":true}`), "Exactly one of the fields Seconds"},
		{one(`{"Type":"Wait","Timestamp":"tomorrow","End":true}`), "not a valid timestamp"},
		{one(`{"Type":"Parallel","End":true}`), "These fields are required: [Branches]"},
		{one(`{"Type":"Parallel","End":true,"Branches":[{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}]}`), "DUPLICATE_STATE_NAME: Duplicate state name: A at /States/A/Branches[0]/States/A"},
		{one(`{"Type":"Parallel","End":true,"Branches":[{"StartAt":"B","States":{"B":{"Type":"Pass","Next":"A"}}}]}`), "Missing 'Next' target: A at /States/A/Branches[0]/States/B/Next"},
		{one(`{"Type":"Map","End":true}`), "These fields are required: [ItemProcessor]"},
		{one(`{"Type":"Fail","Error":"a","ErrorPath":"$.a"}`), "Only one of the fields Error and ErrorPath"},
		{one(`{"Type":"Pass","End":true,"Assign":{"1x":1}}`), "name of a variable"},
		{strings.Repeat(`{"StartAt":"A","States":{"A":{"Type":"Parallel","End":true,"Branches":[`, 200) + strings.Repeat(`]}}}`, 200), "nested too deeply"},
	} {
		m, diagnostics, err := asl.Parse(c.definition, asl.Standard)
		var got []string
		for _, d := range diagnostics {
			got = append(got, d.String())
		}
		if text := strings.Join(got, "\n"); m != nil || err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%s\n got %s (%v)\nwant %s", c.definition, text, err, c.want)
		}
	}
	if _, diagnostics, _ := asl.Parse("{\n\"StartAt\": x}", asl.Standard); len(diagnostics) != 1 || diagnostics[0].Code != "INVALID_JSON_DESCRIPTION" || diagnostics[0].Location != "[line: 2]" {
		t.Errorf("%v", diagnostics)
	}
	// A loop without end is legal; AWS's validation may warn.
	if m, diagnostics, err := asl.Parse(one(`{"Type":"Pass","Next":"A"}`), asl.Standard); m == nil || len(diagnostics) != 1 || !diagnostics[0].Warning || err != nil {
		t.Errorf("%v %v", diagnostics, err)
	}
}

// What AWS has and the sandbox has not is said, and not misunderstood.
func TestUnsupportedDefinitions(t *testing.T) {
	for definition, want := range map[string]string{
		`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","Output":"{% 1 %}","End":true}}}`:                                                                                         "JSONata",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","QueryLanguage":"JSONata","Output":"x","End":true}}}`:                                                                                               "JSONata",
		`{"StartAt":"A","States":{"A":{"Type":"Map","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"B","States":{"B":{"Type":"Succeed"}}},"End":true}}}`: "DISTRIBUTED",
	} {
		if _, _, err := asl.Parse(definition, asl.Standard); !errors.Is(err, asl.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", definition, err)
		}
	}
	for resource, want := range map[string]string{
		"arn:aws:states:::sqs:sendMessage.waitForTaskToken":     ".waitForTaskToken",
		"arn:aws:states:::states:startExecution.sync:2":         ".sync",
		"arn:aws:states:us-east-1:111111111111:activity:person": "Activity",
	} {
		definition := `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"` + resource + `","End":true}}}`
		if m, diagnostics, _ := asl.Parse(definition, asl.Express); m != nil || !strings.Contains(diagnostics[0].Message, want) {
			t.Errorf("Express with %s: %v", resource, diagnostics)
		}
	}
}

// Definitions that would take for ever, or fill the memory, end.
func TestHostileDefinitionsEnd(t *testing.T) {
	var doubling strings.Builder
	for i := range 30 {
		doubling.WriteString(`"S` + string(rune('a'+i)) + `":{"Type":"Pass","Parameters":{"a.$":"$","b.$":"$"},"Next":"S` + string(rune('a'+i+1)) + `"},`)
	}
	for name, c := range map[string]struct{ definition, input, want string }{
		"a loop":              {`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"A"}}}`, `{}`, "FAILED States.Runtime"},
		"a loop of data":      {`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"A"}}}`, `"` + strings.Repeat("x", 200<<10) + `"`, "FAILED States.Runtime"},
		"doubling":            {`{"StartAt":"Sa","States":{` + doubling.String() + `"S` + string(rune('a'+30)) + `":{"Type":"Succeed"}}}`, `"` + strings.Repeat("x", 1000) + `"`, "FAILED States.DataLimitExceeded"},
		"paths that multiply": {pass(`"Parameters":{"r.$":"$..*..*..*..*..*"},`), `{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":[1,[2,[3,[4,[5,[6,[7,[8,[9,[10,[11,[12,[13,[14,[15,[16,[17,[18,[19,[20]]]]]]]]]]]]]]]]]]]]}}}}}}}}`, "FAILED States.Runtime"},
		"maps within maps": {`{"StartAt":"A","States":{"A":{"Type":"Map","ItemsPath":"$.l","ItemSelector":{"l.$":"$.l"},"End":true,"ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Map","ItemsPath":"$.l","ItemSelector":{"l.$":"$.l"},"End":true,
			"ItemProcessor":{"StartAt":"C","States":{"C":{"Type":"Map","ItemsPath":"$.l","End":true,"ItemProcessor":{"StartAt":"D","States":{"D":{"Type":"Pass","End":true}}}}}}}}}}}}`,
			`{"l":[` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + `]}`, "FAILED States.Runtime"},
		"texts that grow": {`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"r.$":"States.Format('{}{}{}{}{}{}{}{}', $.r, $.r, $.r, $.r, $.r, $.r, $.r, $.r)"},"Next":"A"}}}`, `{"r":"xxxxxxxx"}`, "FAILED States.IntrinsicFailure"},
	} {
		began := time.Now()
		if got, _ := run(t, c.definition, c.input); got != c.want {
			t.Errorf("%s: %.200s, want %s", name, got, c.want)
		}
		t.Logf("%s: %s", name, time.Since(began))
	}
}

// Nothing that parses may panic or run without end.
func FuzzDefinition(f *testing.F) {
	for _, seed := range []string{
		pass(`"Parameters":{"a.$":"States.Format('{}', $.x)"},"ResultPath":"$.y[0]",`), task("busy", `"Retry":[{"ErrorEquals":["States.ALL"]}],`),
		`{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.x","ItemProcessor":{"StartAt":"W","States":{"W":{"Type":"Wait","SecondsPath":"$","End":true}}},"End":true}}}`,
		`{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{"Not":{"Variable":"$..x[?(@.a>1)]","IsPresent":true},"Next":"C"}],"Default":"F"},"F":{"Type":"Fail"}}}`,
	} {
		f.Add(seed, `{"x":[1,2,{"a":2}]}`)
	}
	f.Fuzz(func(t *testing.T, definition, input string) {
		m, diagnostics, err := asl.Parse(definition, asl.Standard)
		if m == nil {
			if err == nil && len(diagnostics) == 0 {
				t.Fatal("refused without a reason")
			}
			return
		}
		in, err := asl.Decode([]byte(input))
		if err != nil {
			return
		}
		r := asl.Start(asl.Options{Machine: m, Kind: asl.Standard, Input: in, Host: &host{}, Random: &seed{}, Now: start, Limit: time.Hour})
		r.Advance(start.Add(2 * time.Hour))
		if r.Status == asl.Running {
			t.Fatal("still running after its time limit")
		}
		if r.Status == asl.Succeeded {
			if _, err := asl.Decode([]byte(asl.Encode(r.Output))); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A path that parses can be evaluated, and written down it means the same.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{`$.a[0]['b'].*`, `$..a[?(@.x == 'y' && !(@.z > 1))]`, `$$.State.Name`, `$var.a[-1:2]`, `States.Format('{}\'', $.a)`} {
		f.Add(seed, shop)
	}
	f.Fuzz(func(t *testing.T, text, input string) {
		in, err := asl.Decode([]byte(input))
		if err != nil {
			return
		}
		if p, err := asl.ParsePath(text); err == nil {
			if p.String() != text {
				t.Fatalf("%q became %q", text, p)
			}
			a, errA := p.Get(asl.Scope{Input: in})
			b, errB := p.Get(asl.Scope{Input: in})
			if (errA == nil) != (errB == nil) || asl.Encode(a) != asl.Encode(b) {
				t.Fatal("not the same twice")
			}
		}
		if e, err := asl.ParseExpression(text); err == nil && e.String() != text {
			t.Fatalf("%q became %q", text, e)
		}
	})
}
