package api_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The golden file shows every change of the API in review.
func TestOpenAPI(t *testing.T) {
	w := newWorld(t)
	got := append(w.handler.OpenAPI(), '\n')
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the API changed; run go test ./api -update and read the diff (-want +got):\n%s", diff)
	}
	if bytes.Contains(got, []byte("ErrorModel")) {
		t.Error("the document describes errors that are never sent")
	}
	for _, path := range []string{"/openapi.json", "/openapi.yaml"} {
		response, body := w.request(http.MethodGet, path, "", "Authorization", "")
		if response.StatusCode != http.StatusOK || !strings.Contains(body, "3.1.0") {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

// Every code of both packages has a status that was chosen for it: only faults
// of the server are a 500.
func TestEveryCodeHasAStatus(t *testing.T) {
	faults := map[crossaccount.Code]bool{
		crossaccount.CodeInvalidConfig: true, crossaccount.CodeTemplate: true,
		crossaccount.CodeDecrypt: true, crossaccount.CodeRandom: true, api.CodeInternal: true,
	}
	seen := 0
	for _, file := range []string{"../errors.go", "problem.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
				return true
			}
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			seen++
			code := crossaccount.Code(text)
			status := api.StatusOf(code)
			if (status == http.StatusInternalServerError) != faults[code] {
				t.Errorf("%s: status %d", code, status)
			}
			if status >= 500 && !faults[code] && !api.Retryable(code) {
				t.Errorf("%s: is our fault, but not retryable", code)
			}
			return true
		})
	}
	if seen < 30 {
		t.Errorf("found only %d codes", seen)
	}
}
