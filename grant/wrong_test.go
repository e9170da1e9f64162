package grant_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossaccount/crossaccount/grant"
)

// Every manifest in testdata/wrong is refused; the file beside it has the
// errors.
func TestWrongManifests(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d manifests, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			m, err := grant.Parse(read(t, file))
			if err == nil {
				_, err = grant.Compile(m, grant.Options{})
			}
			var e *grant.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want one with places", err)
			}
			for _, p := range e.Problems {
				if p.Position.Line == 0 || p.Position.Column == 0 || p.Rule == "" || p.Message == "" {
					t.Errorf("the problem has no place, rule or message: %#v", p)
				}
			}
			compare(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(err.Error()+"\n"))
		})
	}
}

// Aliases can make an endless or enormous document of a few characters.
func TestAliasesAreBounded(t *testing.T) {
	bomb := "version: 1\nresources:\n  x:\n    kind: s3-bucket\n    create:\n      a0: &a0 [x, x]\n"
	for i := 1; i < 40; i++ {
		bomb += fmt.Sprintf("      a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	for name, data := range map[string]string{
		"endless list": "resources: {x: {create: {y: &b [*b]}}}", "endless mapping": "resources: &a {x: {create: &b {y: *b}}}", "doubling": bomb,
	} {
		_, err := grant.Parse([]byte(data))
		if err == nil || !strings.Contains(err.Error(), "too large or too deep") {
			t.Errorf("%s: error %.300v, want one about its size", name, err)
		}
	}
}
