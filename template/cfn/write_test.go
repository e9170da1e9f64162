package cfn_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
	"github.com/crossaccount/crossaccount/template/cfn"
	"github.com/crossaccount/crossaccount/template/internal/stacktest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestWriteGolden(t *testing.T) {
	got, err := cfn.Write(stacktest.Full())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "write_full.json")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
	}
}

// Whatever a stack's texts contain, reading the template and resolving its
// functions gives what the stack itself resolves to.
func TestWrittenTemplatesMeanTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stack, values := stacktest.Hostile(t)
		data, err := cfn.Write(stack)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := cfn.Write(stack); !bytes.Equal(data, again) {
			t.Fatal("the same stack gives other bytes")
		}
		want, err := stack.Resolve(values)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, data, values, want)
	})
}

func TestFullTemplateMeansTheSame(t *testing.T) {
	for name, change := range map[string]map[string]string{
		"defaults": nil, "rotation": {"Previous": "older-id"}, "done": {"Phase": "neither", "Previous": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			values := stacktest.Values()
			for id, value := range change {
				values[id] = value
			}
			data, err := cfn.Write(stacktest.Full())
			if err != nil {
				t.Fatal(err)
			}
			want, err := stacktest.Full().Resolve(values)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, data, values, want)
		})
	}
}

// compare evaluates the template and compares every property and output.
func compare(t interface {
	Helper()
	Fatalf(string, ...any)
}, data []byte, values map[string]string, want *template.Stack) {
	t.Helper()
	read, err := cfn.Read(data)
	if err != nil {
		t.Fatalf("the template cannot be read: %v\n%s", err, data)
	}
	if err := read.Check(); err != nil {
		t.Fatalf("the template is refused: %v\n%s", err, data)
	}
	scope := cfn.Scope{Parameters: map[string]*cfn.Node{}, Pseudo: map[string]*cfn.Node{}}
	for _, p := range read.Parameters {
		scope.Parameters[p.Name] = p.Default
		if value, ok := values[p.Name]; ok {
			scope.Parameters[p.Name] = cfn.NewText(value)
		}
	}
	for name, value := range values {
		if strings.HasPrefix(name, "AWS::") {
			scope.Pseudo[name] = cfn.NewText(value)
		}
	}
	attribute := func(resource, name string) (*cfn.Node, error) {
		text := want.AttributeText(template.AttributeRef{Resource: resource, Attribute: name})
		return cfn.NewText(iam.ReplaceSymbols(text, func(id string) string { return values[id] })), nil
	}
	scope.GetAtt = attribute
	scope.Ref = func(resource string) (*cfn.Node, error) {
		r, ok := want.Resource(resource)
		if !ok {
			return nil, errors.New("no such resource")
		}
		if _, isRole := r.Kind.(*template.Role); isRole {
			return attribute(resource, "Name")
		}
		return attribute(resource, "Arn")
	}
	e, err := read.Evaluator(scope)
	if err != nil {
		t.Fatalf("evaluating: %v\n%s", err, data)
	}
	got := map[string]any{}
	for _, r := range read.Resources {
		if e.Condition(r.Condition) {
			got[r.Name] = plain(t, e, r.Properties)
		}
	}
	for _, o := range read.Outputs {
		got["output "+o.Name] = plain(t, e, o.Value)
	}
	expected := map[string]any{}
	for _, r := range want.Resources {
		expected[r.ID] = properties(t, want, r.Kind)
	}
	for _, o := range want.Outputs {
		expected["output "+o.ID] = o.Value
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Fatalf("-resolved stack +evaluated template:\n%s\n%s", diff, data)
	}
}

func plain(t interface{ Fatalf(string, ...any) }, e *cfn.Evaluator, n *cfn.Node) any {
	resolved, err := e.Resolve(n)
	if err != nil {
		t.Fatalf("resolving: %v", err)
	}
	data, err := json.Marshal(resolved)
	if err != nil {
		t.Fatalf("marshalling: %v", err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v", err)
	}
	return v
}

// properties returns what CloudFormation must be told about a resource of a
// resolved stack, as it comes out of a JSON decoder.
func properties(t interface{ Fatalf(string, ...any) }, s *template.Stack, k template.Kind) map[string]any {
	document := func(p *iam.Policy) any {
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("%v", err)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%v", err)
		}
		return v
	}
	all := map[string]any{}
	switch k := k.(type) {
	case *template.Role:
		all["RoleName"], all["Path"], all["Description"], all["PermissionsBoundary"] = k.Name, k.Path, k.Description, k.PermissionsBoundary
		if k.MaxSessionDuration != 0 {
			all["MaxSessionDuration"] = float64(k.MaxSessionDuration)
		}
		all["AssumeRolePolicyDocument"] = document(k.Trust)
		var inline, arns, tags []any
		for _, p := range k.Inline {
			inline = append(inline, map[string]any{"PolicyName": p.Name, "PolicyDocument": document(p.Document)})
		}
		for _, arn := range k.ManagedPolicyARNs {
			arns = append(arns, arn)
		}
		for _, tag := range k.Tags {
			tags = append(tags, map[string]any{"Key": tag.Key, "Value": tag.Value})
		}
		for name, list := range map[string][]any{"Policies": inline, "ManagedPolicyArns": arns, "Tags": tags} {
			if list != nil {
				all[name] = list
			}
		}
	case *template.ManagedPolicy:
		all["ManagedPolicyName"], all["Path"], all["Description"] = k.Name, k.Path, k.Description
		all["PolicyDocument"] = document(k.Document)
		var roles []any
		for _, id := range k.Roles {
			role, _ := s.Resource(id)
			roles = append(roles, role.Kind.(*template.Role).Name)
		}
		all["Roles"] = roles
	default:
		t.Fatalf("this test does not know %T yet; add it", k)
	}
	for name, v := range all {
		if v == "" {
			delete(all, name)
		}
	}
	return all
}

func TestWriteRefuses(t *testing.T) {
	t.Run("an illegal stack", func(t *testing.T) {
		s := stacktest.Full()
		s.Resources = nil
		var e *template.Error
		if _, err := cfn.Write(s); !errors.As(err, &e) {
			t.Errorf("error %v, want a *template.Error", err)
		}
	})
	t.Run("names that are functions", func(t *testing.T) {
		for _, key := range []string{"Ref", "Fn::Sub", "Fn::Transform"} {
			s := stacktest.Full()
			p := s.Resources[1].Kind.(*template.ManagedPolicy)
			p.Document.Statements[0].Conditions = []iam.Condition{{Operator: "StringEquals", Key: key, Values: []string{"AWS::AccountId"}}}
			data, err := cfn.Write(s)
			if err == nil {
				t.Errorf("a condition key %q was written:\n%s", key, data)
			}
		}
	})
	t.Run("a template larger than CloudFormation accepts", func(t *testing.T) {
		s := stacktest.Full()
		for i := range 190 {
			s.Parameters = append(s.Parameters, template.Parameter{ID: "P" + strings.Repeat("x", i), Description: strings.Repeat("é", 4000)})
		}
		_, err := cfn.Write(s)
		var e *template.Error
		if !errors.As(err, &e) || e.Problems[0].Field != "Template" || !strings.Contains(err.Error(), "1000000") {
			t.Errorf("error %.200v, want one that names the limit", err)
		}
	})
}

// Every kind of resource has a writer here.
func TestAllKindsAreWritten(t *testing.T) {
	written := map[string]bool{}
	for _, r := range stacktest.Full().Resources {
		written[r.Kind.Type()] = true
	}
	for _, k := range template.Kinds() {
		if !written[k.Type()] {
			t.Errorf("stacktest.Full has no %s, so nothing shows that it is written", k.Type())
		}
	}
}
