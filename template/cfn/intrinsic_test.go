package cfn_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template/cfn"
)

// world is a template for expressions to be tried in.
const world = `
Parameters:
  Name: {Type: String}
  Names: {Type: CommaDelimitedList}
  Empty: {Type: String}
Mappings:
  Accounts: {prod: {Id: "012345678901", Zones: [a, b]}}
Conditions:
  IsDemo: !Equals [!Ref Name, demo]
  IsOther: !Not [!Condition IsDemo]
  Both: !And [!Condition IsDemo, !Condition IsOther]
  Either: !Or [!Condition IsDemo, !Condition IsOther]
  Lists: !Equals [!Join [",", !Ref Names], "x,y,z"]
Resources:
  Role: {Type: T}
  Absent: {Type: T, Condition: IsOther}
  Tried: {Type: T, Properties: {Value: EXPRESSION}}
`

func evaluate(t *testing.T, expression string) (string, error) {
	t.Helper()
	template, err := cfn.Read([]byte(strings.Replace(world, "EXPRESSION", expression, 1)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := template.Evaluator(cfn.Scope{
		Parameters:  map[string]*cfn.Node{"Name": cfn.NewText("demo"), "Names": cfn.NewTextList([]string{"x", "y", "z"}), "Empty": cfn.NewText("")},
		Pseudo:      map[string]*cfn.Node{"AWS::Partition": cfn.NewText(iam.Symbol("AWS::Partition")), "AWS::Region": cfn.NewText("us-east-1")},
		Ref:         func(name string) (*cfn.Node, error) { return cfn.NewText("ref-" + name), nil },
		GetAtt:      func(name, attribute string) (*cfn.Node, error) { return cfn.NewText(name + "/" + attribute), nil },
		ImportValue: func(name string) (*cfn.Node, error) { return cfn.NewText("imported-" + name), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Resolve(template.Resource("Tried").Properties)
	if err != nil {
		return "", err
	}
	data, err := v.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return iam.ReplaceSymbols(strings.TrimSuffix(strings.TrimPrefix(string(data), `{"Value":`), "}"), func(id string) string { return "<" + id + ">" }), nil
}

func TestFunctions(t *testing.T) {
	tests := []struct{ expression, want string }{
		{`!Ref Name`, `"demo"`},
		{`!Ref Names`, `["x","y","z"]`},
		{`!Ref Role`, `"ref-Role"`},
		{`!Ref AWS::Region`, `"us-east-1"`},
		{`!Ref AWS::NoValue`, `{}`}, // the property is gone; see evaluate
		{`[a, !Ref AWS::NoValue, {b: !Ref AWS::NoValue}]`, `["a",{}]`},
		{`!GetAtt Role.Arn`, `"Role/Arn"`},
		{`!GetAtt Role.Deep.Arn`, `"Role/Deep.Arn"`},
		{`!GetAtt [Role, !Ref Name]`, `"Role/demo"`},
		{`!Sub "${Name}-${Role}-${Role.Arn}-${AWS::Region}"`, `"demo-ref-Role-Role/Arn-us-east-1"`},
		{`!Sub "arn:${AWS::Partition}:iam::"`, `"arn:<AWS::Partition>:iam::"`},
		{`!Sub "${!Name} $Name $ ${"`, `"${Name} $Name $ ${"`},
		{`!Sub ["${A}-${Name}", {A: !GetAtt Role.Arn}]`, `"Role/Arn-demo"`},
		{`!Sub ["${Name}", {Name: hidden}]`, `"hidden"`},
		{`!Join [":", [a, !Ref Name, ""]]`, `"a:demo:"`},
		{`!Join ["-", !Ref Names]`, `"x-y-z"`},
		{`!Join ["-", !Split [":", "a:b"]]`, `"a-b"`},
		{`!Select [1, !Ref Names]`, `"y"`},
		{`!Select ["0", [!Ref Name, b]]`, `"demo"`},
		{`!Select [4, !Split [":", "arn:aws:iam::111122223333:role"]]`, `"111122223333"`},
		{`!Split [",", !Sub "${Name},b"]`, `["demo","b"]`},
		{`!FindInMap [Accounts, prod, Id]`, `"012345678901"`},
		{`!FindInMap [Accounts, prod, Zones]`, `["a","b"]`},
		{`!Base64 demo`, `"ZGVtbw=="`},
		{`!ImportValue shared`, `"imported-shared"`},
		{`{"Fn::ImportValue": !Sub "${Name}-x"}`, `"imported-demo-x"`},
		{`!If [IsDemo, a, b]`, `"a"`},
		{`!If [IsOther, a, !Ref Name]`, `"demo"`},
		{`!If [Both, a, !If [Either, {x: !Ref Name}, c]]`, `{"x":"demo"}`},
		{`!If [Lists, same, different]`, `"same"`},
		{`!If [IsDemo, a, !Select [9, []]]`, `"a"`}, // the branch not taken is not evaluated
		{`{Condition: {StringEquals: {a: b}}}`, `{"Condition":{"StringEquals":{"a":"b"}}}`},
		{`[1, true, 012]`, `[1,true,"012"]`},
	}
	for _, test := range tests {
		t.Run(test.expression, func(t *testing.T) {
			got, err := evaluate(t, test.expression)
			if err != nil {
				t.Fatal(err)
			}
			if got == "{" {
				got = "{}" // Value itself was left out
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestFunctionErrors(t *testing.T) {
	tests := []struct{ expression, want string }{
		{`!Select [3, !Ref Names]`, "Fn::Select cannot select nonexistent value at index 3"},
		{`!Select [-1, !Ref Names]`, "nonexistent value at index -1"},
		{`!Select [x, !Ref Names]`, "the index of Fn::Select must be a whole number"},
		{`!Select [0, !Ref Name]`, "Fn::Select requires a list"},
		{`!Join [":", !Ref Name]`, "Fn::Join requires a list of strings"},
		{`!Join [":", [[a]]]`, "Fn::Join requires a list of strings; it has a list"},
		{`!Join [":"]`, "every Fn::Join object requires a list of exactly 2 parameters."},
		{`!Split ["", a]`, "the delimiter of Fn::Split must be a string that is not empty"},
		{`!Sub "${Names}"`, "the variable Names in Fn::Sub must be a single string, not a list"},
		{`!Sub "${a b}"`, "variable names in Fn::Sub syntax must contain only alphanumeric characters"},
		{`!Sub [a]`, "Fn::Sub intrinsic functions don't specify expected arguments"},
		{`!Sub "${Nobody}"`, "unresolved reference to Nobody"},
		{`!GetAtt Role`, "requires two non-empty parameters"},
		{`!GetAtt Nobody.Arn`, "references undefined resource Nobody"},
		{`!FindInMap [Accounts, !Ref Name, Id]`, "Unable to get mapping for Accounts::demo::Id"},
		{`!If [Nobody, a, b]`, "Fn::If references the undefined condition Nobody"},
		{`!Equals [a, b]`, "Fn::Equals can only be used in the Conditions section"},
		{`!GetAZs ""`, "the function Fn::GetAZs is not supported"},
	}
	for _, test := range tests {
		t.Run(test.expression, func(t *testing.T) {
			got, err := evaluate(t, test.expression)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %s, %v, want the error %q", got, err, test.want)
			}
		})
	}
}

// What is resolved knows where it was written.
func TestResolvedPositions(t *testing.T) {
	template, err := cfn.Read([]byte("Resources:\n  R:\n    Type: T\n    Properties:\n      A: !Sub x\n      B: {C: [!Ref AWS::NoValue, !Ref AWS::Region]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := template.Evaluator(cfn.Scope{Pseudo: map[string]*cfn.Node{"AWS::Region": cfn.NewText("us-east-1")}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Resolve(template.Resources[0].Properties)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][2]int)
	v.Walk(func(path string, n *cfn.Node) bool {
		got[path] = [2]int{n.Position.Line, n.Position.Column}
		return true
	})
	want := map[string][2]int{"": {5, 7}, "/A": {5, 10}, "/B": {6, 10}, "/B/C": {6, 14}, "/B/C/0": {6, 34}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOrder(t *testing.T) {
	template, err := cfn.Read([]byte(`
Conditions: {Never: !Equals [a, b]}
Resources:
  A: {Type: T, Properties: {X: !If [Never, !Ref D, !Sub "${C.Arn}"]}}
  B: {Type: T, DependsOn: [A, Gone]}
  C: {Type: T}
  D: {Type: T, DependsOn: A}
  Gone: {Type: T, Condition: Never, Properties: {X: !Ref Gone}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := template.Check(); err != nil {
		t.Fatal(err)
	}
	e, err := template.Evaluator(cfn.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	order, err := e.Order()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range order {
		got = append(got, r.Name)
	}
	// A would be in a circle with D if the branch not taken counted.
	if want := []string{"C", "A", "B", "D"}; !cmp.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

// The order puts every resource after those it depends on, or else the
// template has a circle, and then every resource named is in one.
func TestOrderIsTopological(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := strings.Split("ABCDEFG", "")
		depends := make(map[string][]string)
		var text strings.Builder
		text.WriteString("Resources:\n")
		for _, name := range names {
			depends[name] = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, rapid.ID).Draw(t, name)
			text.WriteString("  " + name + ": {Type: T, DependsOn: [" + strings.Join(depends[name], ", ") + "]}\n")
		}
		template, err := cfn.Read([]byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		e, err := template.Evaluator(cfn.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		order, err := e.Order()
		if err != nil {
			_, list, ok := strings.Cut(err.Error(), "Circular dependency between resources: [")
			if !ok {
				t.Fatal(err)
			}
			for _, name := range strings.Split(strings.TrimSuffix(list, "]"), ", ") {
				if !reaches(depends, name, name) && !between(depends, names, name) {
					t.Fatalf("%s is not in a circle:\n%s%v", name, &text, err)
				}
			}
			return
		}
		placed := make(map[string]bool)
		for _, r := range order {
			for _, name := range depends[r.Name] {
				if !placed[name] {
					t.Fatalf("%s comes before %s:\n%s", r.Name, name, &text)
				}
			}
			placed[r.Name] = true
		}
		if len(placed) != len(names) {
			t.Fatalf("%d of %d resources are in the order", len(placed), len(names))
		}
	})
}

// reaches reports whether one resource depends on another, at any distance.
func reaches(depends map[string][]string, from, to string) bool {
	seen := make(map[string]bool)
	var visit func(string) bool
	visit = func(name string) bool {
		for _, next := range depends[name] {
			if next == to {
				return true
			}
			if !seen[next] {
				seen[next] = true
				if visit(next) {
					return true
				}
			}
		}
		return false
	}
	return visit(from)
}

// between reports whether a resource lies on the way from one circle to
// another, which CloudFormation's message names too.
func between(depends map[string][]string, names []string, name string) bool {
	var before, after bool
	for _, other := range names {
		if reaches(depends, other, other) {
			before = before || reaches(depends, other, name)
			after = after || reaches(depends, name, other)
		}
	}
	return before && after
}
