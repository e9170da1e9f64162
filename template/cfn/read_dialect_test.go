package cfn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/template/cfn"
)

func TestAliasesAndMergeKeys(t *testing.T) {
	document := []byte("a: &a {x: 1, y: [2]}\nb: {<<: *a, x: 3}\nc: *a\nd:\n  <<: [{z: 1}, *a]\n")
	if _, err := cfn.Parse(document); err == nil {
		t.Error("CloudFormation itself takes no aliases")
	}
	n, err := cfn.Dialect{Aliases: true}.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	got, err := n.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":{"x":1,"y":[2]},"b":{"x":3,"y":[2]},"c":{"x":1,"y":[2]},"d":{"z":1,"x":1,"y":[2]}}`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := (cfn.Dialect{Aliases: true}).Parse([]byte("a: {<<: text}\n")); err == nil || !strings.Contains(err.Error(), "merge key") {
		t.Errorf("merging text gives %v", err)
	}
}

// A few lines of YAML must not become a tree that fills the memory.
func TestAliasesAreBounded(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	for name, document := range map[string]string{"wide": bomb.String(), "circular": "a: &a [*a, *a]\n", "merged circle": "a: &a {<<: *a}\n"} {
		if _, err := (cfn.Dialect{Aliases: true}).Parse([]byte(document)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMacros(t *testing.T) {
	document := []byte("a: !Contains [[x], !Ref P]\n32: !Rain::Module y\n")
	if _, err := cfn.Parse(document); err == nil {
		t.Error("CloudFormation itself has no such function")
	}
	n, err := cfn.Dialect{Macros: true}.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	got, err := n.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":{"Fn::Contains":[["x"],{"Ref":"P"}]},"32":{"Fn::Rain::Module":"y"}}`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDialectSize(t *testing.T) {
	large := []byte(`{"a":"` + strings.Repeat("x", cfn.MaxURLSize) + `"}`)
	if _, err := cfn.Parse(large); err == nil {
		t.Error("more than a template may have was read")
	}
	if _, err := (cfn.Dialect{MaxSize: 2 * cfn.MaxURLSize}).Parse(large); err != nil {
		t.Error(err)
	}
}
