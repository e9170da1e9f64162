package eval_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// Every switch is in docs/evaluation.md with its setting.
func TestSwitchesAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/evaluation.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "switches.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "switch") {
			return true
		}
		found++
		row := fmt.Sprintf("| `%s` | %s |", spec.Names[0].Name, spec.Values[0].(*ast.Ident).Name)
		if !strings.Contains(string(data), row) {
			t.Errorf("docs/evaluation.md has no row that begins with %q", row)
		}
		return true
	})
	if found == 0 {
		t.Error("switches.go has no switches")
	}
}
