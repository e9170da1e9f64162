package cfn_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/template/cfn"
)

// The tree of a YAML document, written as JSON: short tags are long, and
// scalars are what CloudFormation takes them for.
func TestParseYAML(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"scalars", `[text, "quoted", 'single', 1, -2.5, 1e3, true, ~]`, `["text","quoted","single",1,-2.5,1e3,true,null]`},
		{"words of YAML 1.1", `[yes, No, on, OFF, y, n, "yes"]`, `[true,false,true,false,"y","n","yes"]`},
		{"account ids", `[123456789012, 012345678901, 000000000007]`, `[123456789012,"012345678901","000000000007"]`},
		{"numbers JSON would not write", `[0x1F, 1_000, +5, .5, 1., .inf, 12:30:45]`, `["0x1F","1_000","+5",".5","1.",".inf","12:30:45"]`},
		{"dates", `2012-10-17`, `"2012-10-17"`},
		{"block text", "|\n  a\n  b\n", `"a\nb\n"`},
		{"Ref", `!Ref Name`, `{"Ref":"Name"}`},
		{"Ref to a number", `!Ref 12`, `{"Ref":"12"}`},
		{"GetAtt", `!GetAtt Role.Arn`, `{"Fn::GetAtt":["Role","Arn"]}`},
		{"GetAtt with dots", `!GetAtt Nested.Outputs.Arn`, `{"Fn::GetAtt":["Nested","Outputs.Arn"]}`},
		{"GetAtt with a list", `!GetAtt [Role, !Ref Name]`, `{"Fn::GetAtt":["Role",{"Ref":"Name"}]}`},
		{"Sub", `!Sub "arn:${AWS::Partition}:iam::"`, `{"Fn::Sub":"arn:${AWS::Partition}:iam::"}`},
		{"nesting", "!If\n- C\n- !Join [\"\", [a, !Ref B]]\n- !Ref AWS::NoValue\n", `{"Fn::If":["C",{"Fn::Join":["",["a",{"Ref":"B"}]]},{"Ref":"AWS::NoValue"}]}`},
		{"conditions", `!And [!Condition A, !Not [!Equals [!Ref P, ""]]]`, `{"Fn::And":[{"Condition":"A"},{"Fn::Not":[{"Fn::Equals":[{"Ref":"P"},""]}]}]}`},
		{"long form", "Fn::GetAtt: [Role, Arn]\n", `{"Fn::GetAtt":["Role","Arn"]}`},
		{"keys that look like booleans", "on: 1\nno: 2\n", `{"on":1,"no":2}`},
		{"anchor without alias", "a: &x 1\n", `{"a":1}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n, err := cfn.Parse([]byte(test.yaml))
			if err != nil {
				t.Fatal(err)
			}
			got, err := n.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	tests := []struct{ name, document, want string }{
		{"alias", "a: &x [1]\nb: *x\n", "2:4: Template error: YAML aliases are not allowed in CloudFormation templates (line 2, column 4)"},
		{"billion laughs", "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "2:8: Template error: YAML aliases are not allowed"},
		{"merge key", "a: {<<: {b: 1}}\n", "1:5: Template format error: [/a] merge keys (<<) are not supported"},
		{"duplicate key, YAML", "a: 1\nb: 2\na: 3\n", `3:1: Template format error: [/] duplicate key "a" (line 3, column 1)`},
		{"duplicate key, JSON", `{"a": {"b": 1, "b": 2}}`, `1:16: Template format error: [/a] duplicate key "b" (line 1, column 16)`},
		{"numeric key", "m:\n  123456789012: x\n", "2:3: Template format error: [/m] map keys must be strings; received numeric [123456789012] instead"},
		{"list as key", "? [a]\n: b\n", "map keys must be strings; received a list instead"},
		{"unknown tag", "a: !Reff b\n", "1:4: Template format error: [/a] unsupported YAML tag !Reff"},
		{"binary", "a: !!binary aGk=\n", "unsupported YAML tag !!binary"},
		{"two documents", "a: 1\n---\nb: 2\n", "YAML not well-formed"},
		{"text after JSON", `{"a": 1} x`, "There is text after the template's end."},
		{"JSON cut short", `{"a": [1, `, "JSON not well-formed"},
		{"not UTF-8", "a: \xff", "not valid UTF-8"},
		{"nothing", " \n", "the template is empty"},
		{"deep JSON", `{"a":` + deep + `}`, "nested more than 100 levels deep"},
		{"deep YAML", "a: " + deep, "nested more than 100 levels deep"},
		{"too large", strings.Repeat("#", 1<<20) + "\na: 1", "at most 1048576 are allowed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n, err := cfn.Parse([]byte(test.document))
			var bad *cfn.SyntaxError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v and %v, want a SyntaxError", n, err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %s\nwant %s", err, test.want)
			}
		})
	}
}

// Positions are right beyond ASCII, and the same in JSON and YAML.
func TestPositions(t *testing.T) {
	for name, document := range map[string]string{
		"YAML": "# Größe\nResources:\n  Bücher: {Type: ü, Properties: [a, !Ref b]}\n",
		"JSON": "\n{\"Resources\": {\n \"Bücher\": {\"Type\": \"ü\", \"Properties\": [\"a\", {\"Ref\": \"b\"}]}}}\n",
	} {
		n, err := cfn.Parse([]byte(document))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n.Walk(func(path string, n *cfn.Node) bool {
			lines := strings.Split(document, "\n")
			pos := n.Position
			if pos.Line < 1 || pos.Column < 1 {
				t.Errorf("%s: %s has position %+v", name, path, pos)
				return true
			}
			offset := pos.Column - 1
			for _, line := range lines[:pos.Line-1] {
				offset += len(line) + 1
			}
			if offset != pos.Offset {
				t.Errorf("%s: %s is at offset %d, but line and column say %d", name, path, pos.Offset, offset)
			}
			rest := document[pos.Offset:]
			if n.Kind == cfn.NodeText && !strings.HasPrefix(strings.TrimLeft(rest, `"`), n.Text) && !strings.HasPrefix(rest, "!Ref "+n.Text) {
				t.Errorf("%s: %s is %q, but its position shows %.12q", name, path, n.Text, rest)
			}
			return true
		})
	}
}

func TestReadCollectsProblems(t *testing.T) {
	_, err := cfn.Read([]byte(`
Parameters:
  a-b: {Type: String}
  P: {Typ: String}
Resources:
  R: {Type: T, DeletionPolicy: Forget, Colour: red}
Outputs:
  O: {Export: x}
`))
	var bad *cfn.SyntaxError
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range bad.Problems {
		got = append(got, p.Path+" "+p.String())
	}
	want := []string{
		"/Parameters/a-b 3:3: Template format error: Parameter name a-b is non alphanumeric.",
		"/Parameters/P/Typ 4:7: Invalid template parameter property 'Typ'",
		"/Parameters/P 4:3: Template format error: Every Parameters object must contain a Type member.",
		"/Resources/R/DeletionPolicy 6:32: Template format error: Unrecognized DeletionPolicy Forget; it must be one of Delete, Retain, RetainExceptOnCreate, Snapshot",
		"/Resources/R/Colour 6:40: Invalid template resource property 'Colour'",
		"/Outputs/O/Export 8:15: Template format error: [/Outputs/O/Export] Export must be an object with the single member Name.",
		"/Outputs/O 8:3: Template format error: Every Outputs member must contain a Value object",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// anyValue makes JSON values whose strings would be traps if they were not
// quoted.
func anyValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 4
		if depth > 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]string{"yes", "012", "2012-10-17", "~", "a: b", "!Ref x", "*x", "&x", "<<", "{", "\u00e4\U0001F600", "", "\n", "<&>\u2028"}).Draw(t, "text")
		case 1:
			return rapid.String().Draw(t, "text")
		case 2:
			return rapid.Bool().Draw(t, "bool")
		case 3:
			return float64(rapid.Int32().Draw(t, "number"))
		case 4:
			return rapid.SliceOfN(anyValue(depth-1), 0, 4).Draw(t, "list")
		}
		return rapid.MapOfN(rapid.String(), anyValue(depth-1), 0, 4).Draw(t, "map")
	})
}

// What is read from JSON and written again means the same.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := map[string]any{"root": anyValue(3).Draw(t, "value")}
		document, err := json.MarshalIndent(value, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		n, err := cfn.Parse(document)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		written, err := n.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := json.Unmarshal(document, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &got); err != nil {
			t.Fatalf("%v in %s", err, written)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		again, err := cfn.Parse(written)
		if err != nil || !n.Equal(again) {
			t.Fatalf("the second reading differs (%v): %s", err, written)
		}
	})
}

// FuzzRead reads anything without a panic, and what it accepts can be written
// as JSON and is then read as the same template.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"Resources: {R: {Type: AWS::IAM::Role, Properties: {RoleName: !Sub '${AWS::StackName}-x', Path: !If [C, /a/, !Ref AWS::NoValue]}}}\nConditions: {C: !Equals [a, !Ref P]}\nParameters: {P: {Type: String, Default: yes}}",
		`{"Resources": {"R": {"Type": "AWS::IAM::Role", "DependsOn": ["S"]}, "S": {"Type": "T"}}, "Outputs": {"O": {"Value": {"Fn::GetAtt": ["R", "Arn"]}, "Export": {"Name": "x"}}}}`,
		"Mappings: {M: {a: {b: [c, d]}}}\nResources: {R: {Type: T, Properties: {A: !Select [0, !FindInMap [M, a, b]], B: !Base64 {'Fn::Join': [',', !Split [';', 'a;b']]}}}}",
		"a: &x [*x]", "? {a: b}\n: c", "\ufeff{}", "Resources: {R: !GetAtt .}", "Resources: {R: {Type: T, Properties: {A: !Sub ['${a}${b.c}${!d}${', {a: 1}]}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		template, err := cfn.Read(data)
		if err != nil {
			var bad *cfn.SyntaxError
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("got %T %v, want a SyntaxError with problems", err, err)
			}
			return
		}
		written, err := template.Root.MarshalJSON()
		if err != nil || !json.Valid(written) {
			t.Fatalf("wrote %s (%v)", written, err)
		}
		again, err := cfn.Read(written)
		if err != nil {
			t.Fatalf("read %s after writing: %v", written, err)
		}
		if !again.Root.Equal(template.Root) {
			t.Fatalf("%q is read as %s, which is read as something else", data, written)
		}
		if (template.Check() == nil) != (again.Check() == nil) {
			t.Fatal("only one of the two passes Check")
		}
		e, err := template.Evaluator(cfn.Scope{
			Ref:    func(string) (*cfn.Node, error) { return cfn.NewText("ref"), nil },
			GetAtt: func(string, string) (*cfn.Node, error) { return cfn.NewText("attribute"), nil },
		})
		if err != nil {
			return
		}
		e.Order()
		for _, r := range template.Resources {
			if r.Properties != nil {
				e.Resolve(r.Properties)
			}
		}
	})
}
